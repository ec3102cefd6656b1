"""Ground truth of a recording: the simulator's truth file, or a topic of the bag."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from vega3d_ros.core.geometry import SE3, Box3D
from vega3d_ros.core.stamps import stamp_ns
from vega3d_ros.evaluation.question_file import RunError, load_truth
from vega3d_ros.sensing.bags.reader import BagError
from vega3d_ros.simulation.visibility import IMAGE_PIXELS, SEEN_PIXELS
from vega3d_ros.viz.floor_plan import TrueObject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vega3d_ros.evaluation.question_file import Truth
    from vega3d_ros.evaluation.run_log import SceneRecord
    from vega3d_ros.sensing.bags.reader import Bag

DETECTIONS = "vision_msgs/msg/Detection3DArray"
OBJECTS = "vega3d_ros/msg/GroundedObjectArray"
_NEAR_NS = 100_000_000  # greatest distance from a scene's stamp to its truth message
_IN_VIEW_M = 8.0


class GroundTruthObject(NamedTuple):
    """A true object at the time of a scene.

    Attributes:
        item: Its label, and its box in the scene's frame.
        visible: Whether the clip shows it.
        share: Greatest share of an image that it fills; None if unknown.
    """

    item: TrueObject
    visible: bool
    share: float | None


class TruthSource(Protocol):
    """A source of true objects."""

    @property
    def record(self) -> Truth | None:
        """The simulator's truth, if the source is one."""

    def at(self, scene: SceneRecord) -> Mapping[str, GroundTruthObject] | None:
        """True objects by id; None if they are unknown for this scene."""


class RecordedTruth:
    """The simulator's truth file beside a bag."""

    def __init__(self, record: Truth) -> None:
        self.record: Truth | None = record
        self._truth = record
        self._stamps = sorted(record.pixels)

    def at(self, scene: SceneRecord) -> Mapping[str, GroundTruthObject] | None:
        """See ``TruthSource``. An object is visible if any image of the clip's time shows it."""
        if scene.frame_id != self._truth.fixed_frame:
            return None
        begin = bisect_left(self._stamps, scene.start_ns)
        end = bisect_right(self._stamps, scene.stamp_ns)
        images = [self._truth.pixels[stamp] for stamp in self._stamps[begin:end]]
        true_objects = {}
        for name, item in self._truth.objects.items():
            if images:
                most = max(image.get(name, 0) for image in images)
                true_objects[name] = GroundTruthObject(
                    item, most >= SEEN_PIXELS, most / IMAGE_PIXELS
                )
            else:
                true_objects[name] = GroundTruthObject(item, _in_view(item.box, scene), None)
        return true_objects


class TopicTruth:
    """A GroundedObjectArray or Detection3DArray topic: one message, or one near each scene."""

    record: Truth | None = None

    def __init__(self, bag: Bag, topic: str) -> None:
        self._messages: dict[int, tuple[str, dict[str, TrueObject]]] = {}
        read = _detections if bag.topics[topic] == DETECTIONS else _grounded
        for raw in bag.raw_messages([topic]):
            with suppress(BagError):  # counted by the bag
                message = bag.decode(raw)
                self._messages[stamp_ns(message)] = (message.header.frame_id, read(message))
        self._stamps = sorted(self._messages)

    def at(self, scene: SceneRecord) -> Mapping[str, GroundTruthObject] | None:
        """See ``TruthSource``. An object within 8 m in the newest image is visible."""
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
            name: GroundTruthObject(item, _in_view(item.box, scene), None)
            for name, item in placed.items()
        }


def find_truth(bag: Bag, source: str = "auto") -> tuple[TruthSource | None, str]:
    """The truth of a recording, and its source in words.

    Args:
        bag: The recording.
        source: ``auto``, ``none``, or the topic to take.

    Raises:
        RunError: If the topic or the simulator's record cannot be used.
    """
    if source == "none":
        return None, "none, as asked"
    if source != "auto":
        kind = bag.topics.get(source)
        if kind not in (DETECTIONS, OBJECTS):
            msg = f"--truth {source} is {kind or 'not in the bag'}; give {DETECTIONS} or {OBJECTS}"
            raise RunError(msg)
        return TopicTruth(bag, source), f"topic {source}"
    record = load_truth(bag.path)
    if record is not None:
        return RecordedTruth(record), "truth.json"
    # Objects in a recording may be the output of any node: only the user knows which are true.
    found = sorted(n for n, t in bag.topics.items() if t in (DETECTIONS, OBJECTS))
    hint = f"; --truth may name {', '.join(found)}" if found else ""
    return None, f"none{hint}"


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
