"""Where things really were in a drive: from the simulator's record, or from a topic of the bag."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from vega3d_ros.core.geometry import SE3, Box3D
from vega3d_ros.core.stamps import stamp_ns
from vega3d_ros.evaluation.question_file import COUNTED_PIXELS, RunError, load_truth
from vega3d_ros.simulation.visibility import SEEN_PIXELS
from vega3d_ros.viz.floor_plan import TrueObject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vega3d_ros.evaluation.question_file import Truth
    from vega3d_ros.evaluation.run_log import SceneRecord
    from vega3d_ros.sensing.bags.reader import Bag

DETECTIONS = "vision_msgs/msg/Detection3DArray"
OBJECTS = "vega3d_ros/msg/GroundedObjectArray"
_NEAR_NS = 100_000_000  # a message this far from a scene's stamp still is about it
_IN_VIEW_M = 8.0


class Sight(NamedTuple):
    """A true object at the time of a scene.

    Attributes:
        item: Its label, and its box in the scene's frame.
        visible: Whether the clip shows it.
        share: How much of an image it fills at most; None where that is not known.
    """

    item: TrueObject
    visible: bool
    share: float | None


class TruthSource(Protocol):
    """Knows the true objects."""

    @property
    def record(self) -> Truth | None:
        """The simulator's record, where it is one."""

    def at(self, scene: SceneRecord) -> Mapping[str, Sight] | None:
        """True objects by id; None where they are not known for this scene."""


class RecordedTruth:
    """The simulator's record beside a bag."""

    def __init__(self, record: Truth) -> None:
        self.record: Truth | None = record
        self._truth = record
        self._stamps = sorted(record.pixels)

    def at(self, scene: SceneRecord) -> Mapping[str, Sight] | None:
        """See ``TruthSource``. What shows well in an image between those of the clip counts."""
        if scene.frame_id != self._truth.fixed_frame:
            return None
        begin = bisect_left(self._stamps, scene.start_ns)
        end = bisect_right(self._stamps, scene.stamp_ns)
        images = [self._truth.pixels[stamp] for stamp in self._stamps[begin:end]]
        sights = {}
        for name, item in self._truth.objects.items():
            if images:
                most = max(image.get(name, 0) for image in images)
                sights[name] = Sight(item, most >= SEEN_PIXELS, most / COUNTED_PIXELS)
            else:
                sights[name] = Sight(item, _in_view(item.box, scene), None)
        return sights


class TopicTruth:
    """A topic of detections in the bag: one message for all, or one near each scene.

    Args:
        bag: The recording.
        topic: Of GroundedObjectArray or Detection3DArray.
    """

    record: Truth | None = None

    def __init__(self, bag: Bag, topic: str) -> None:
        self._messages: dict[int, tuple[str, dict[str, TrueObject]]] = {}
        read = _detections if bag.topics[topic] == DETECTIONS else _grounded
        for raw in bag.raw_messages([topic]):
            message = bag.decode(raw)
            self._messages[stamp_ns(message)] = (message.header.frame_id, read(message))
        self._stamps = sorted(self._messages)

    def at(self, scene: SceneRecord) -> Mapping[str, Sight] | None:
        """See ``TruthSource``. What the newest image has in its middle eight metres is visible."""
        if not self._stamps:
            return None
        nearest = min(self._stamps, key=lambda stamp: abs(stamp - scene.stamp_ns))
        if len(self._stamps) > 1 and abs(nearest - scene.stamp_ns) > _NEAR_NS:
            return None
        frame_id, objects = self._messages[nearest]
        if frame_id == scene.frame_id:
            placed = objects
        elif frame_id == scene.camera_frame and scene.pose is not None:
            placed = {
                name: TrueObject(item.label, item.box.transformed(scene.pose))
                for name, item in objects.items()
            }
        else:
            return None
        return {
            name: Sight(item, _in_view(item.box, scene), None) for name, item in placed.items()
        }


def find_truth(bag: Bag, wish: str = "auto") -> tuple[TruthSource | None, str]:
    """The truth of a recording, and in words where it comes from.

    Args:
        bag: The recording.
        wish: ``auto``, ``none``, or the topic to take.

    Raises:
        DriveError: If the topic or the simulator's record cannot be used.
    """
    if wish == "none":
        return None, "none, as asked"
    if wish != "auto":
        kind = bag.topics.get(wish)
        if kind not in (DETECTIONS, OBJECTS):
            msg = f"--truth {wish} is {kind or 'not in the bag'}; give {DETECTIONS} or {OBJECTS}"
            raise RunError(msg)
        return TopicTruth(bag, wish), f"topic {wish}"
    record = load_truth(bag.path)
    if record is not None:
        return RecordedTruth(record), "truth.json"
    found = sorted(n for n, t in bag.topics.items() if t in (DETECTIONS, OBJECTS))
    # A node's own output in a recording is no truth.
    found = [name for name in found if not name.endswith(("/objects", "/detections"))]
    if found:
        return TopicTruth(bag, found[0]), f"topic {found[0]}"
    return None, "none"


def _in_view(box: Box3D, scene: SceneRecord) -> bool:
    if scene.camera is None:
        return False
    posed = scene.pose if scene.frame_id != scene.camera_frame else SE3.identity()
    if posed is None:
        return False
    center = posed.inverse().apply(box.center)
    u, v = scene.camera.project(center)
    inside = 0 <= u < scene.camera.width and 0 <= v < scene.camera.height
    return bool(inside and center[2] <= _IN_VIEW_M)


def _grounded(message: Any) -> dict[str, TrueObject]:
    found = {}
    for i, item in enumerate(message.objects):
        box = Box3D.from_message(item.pose.pose, item.size)
        found[item.id or f"{item.label}_{i}"] = TrueObject(item.label, box)
    return found


def _detections(message: Any) -> dict[str, TrueObject]:
    found = {}
    for i, item in enumerate(message.detections):
        if item.results:
            label = max(item.results, key=lambda r: r.hypothesis.score).hypothesis.class_id
            box = Box3D.from_message(item.bbox.center, item.bbox.size)
            found[item.id or f"{label}_{i}"] = TrueObject(label, box)
    return found
