"""A live run: what the node replied and published, in the form of an offline run.

So both are scored and drawn alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vega3d_ros.core.frames import sample_uniformly
from vega3d_ros.core.geometry import Box3D
from vega3d_ros.core.objects import SceneObject
from vega3d_ros.core.stamps import nanoseconds
from vega3d_ros.evaluation.run_log import RunLog, SceneRecord
from vega3d_ros.evaluation.sources.offline import QuestionSchedule
from vega3d_ros.sensing.bags.reader import open_bag, read_frames
from vega3d_ros.sensing.image_decoding import image_to_rgb

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from vega3d_ros.core.frames import Frame
    from vega3d_ros.core.geometry import SE3
    from vega3d_ros.evaluation.schema import Prediction
    from vega3d_ros.sensing.bags.reader import Bag, CameraTopics

NODE = "/perception"
DIAGNOSTICS = "/diagnostics"
_FOREVER_NS = 2**62
_SAME_M = 1e-5
_SAME_SCORE = 1e-5


@dataclass(kw_only=True)
class RunResult:
    """The results of a live run.

    Attributes:
        replies: In the order of asking.
        mapped_objects: Objects in the node's map at the end, in ``fixed_frame``.
        fixed_frame: Frame of ``mapped_objects``.
        played_s: Seconds of the recording that were played.
        published: Messages sent, by topic.
        recorded: Messages received from the node, by topic.
        worst_delay_s: Greatest delay of a sent message.
        ready_s: Seconds until the node was active.
    """

    replies: list[Prediction] = field(default_factory=list)
    mapped_objects: tuple[SceneObject, ...] = ()
    fixed_frame: str = ""
    played_s: float = 0.0
    published: dict[str, int] = field(default_factory=dict)
    recorded: dict[str, int] = field(default_factory=dict)
    worst_delay_s: float = 0.0
    ready_s: float = 0.0


def scene_objects(messages: Iterable[Any], frame_id: str) -> tuple[SceneObject, ...]:
    """Objects from GroundedObject messages of rclpy or rosbags, in the frame of their header."""
    return tuple(_scene_object(message, frame_id) for message in messages)


def seconds(duration: Any) -> float:
    """A Time or Duration message in seconds."""
    return float(duration.sec) + float(duration.nanosec) * 1e-9


def _scene_object(message: Any, frame_id: str) -> SceneObject:
    return SceneObject(
        label=message.label,
        query=message.query,
        score=float(message.score),
        box=Box3D.from_message(message.pose.pose, message.size),
        frame_id=frame_id,
        stamp_ns=nanoseconds(message.last_seen),
        covariance=np.array(message.pose.covariance, np.float64).reshape(6, 6),
        orientation_estimated=bool(message.orientation_estimated),
        observations=int(message.observations),
        depth_coverage=float(message.depth_coverage),
        id=message.id,
        source=getattr(message, "source", ""),  # older recordings do not have it
    )


@dataclass
class RecordedOutputs:
    """The node's published scenes, gates and diagnostics.

    Attributes:
        scenes: In the order of publishing; camera and pose are not known here.
        sequence: Number of each scene; a gap is a lost message.
        gates: Stamps of the gate images.
        diagnostics: Last message and values of every status, by name.
    """

    scenes: list[SceneRecord] = field(default_factory=list)
    sequence: list[int] = field(default_factory=list)
    gates: set[int] = field(default_factory=set)
    diagnostics: dict[str, dict[str, str]] = field(default_factory=dict)

    def sample_stamps(self, most: int = 200) -> set[int]:
        """Stamps of at most ``most`` scenes, evenly over the run."""
        chosen = sample_uniformly(len(self.scenes), most)
        return {self.scenes[i].stamp_ns for i in chosen}

    def rate_hz(self) -> float:
        """Scenes per second of the recording; 0 below two scenes."""
        if len(self.scenes) < 2:
            return 0.0
        span_s = (self.scenes[-1].at_ns - self.scenes[0].at_ns) * 1e-9
        return (len(self.scenes) - 1) / span_s if span_s > 0 else 0.0

    def latency_s(self, share: float) -> float:
        """Quantile of the latencies, seconds; NaN without a scene."""
        if not self.scenes:
            return float("nan")
        return float(np.quantile([scene.latency_ms for scene in self.scenes], share)) * 1e-3

    def lost(self) -> int:
        """Scenes that were published but did not arrive."""
        if not self.scenes:
            return 0
        return self.sequence[-1] - self.sequence[0] + 1 - len(self.scenes)

    def mean_gate(self) -> float | None:
        """The generative tokens' mean share in the last diagnostics; None if not reported."""
        for values in self.diagnostics.values():
            for key, value in values.items():
                if "gate" in key:
                    try:
                        return float(value.split()[0])
                    except (ValueError, IndexError):
                        continue
        return None

    def drops(self) -> dict[str, str]:
        """Counts of dropped and lost inputs in the last diagnostics."""
        return {
            key: value
            for values in self.diagnostics.values()
            for key, value in values.items()
            if ("drop" in key or "lost" in key) and value != "0"
        }


def read_recorded_outputs(path: Path, node: str = NODE) -> RecordedOutputs:
    """Read the recording of a node's output.

    Raises:
        BagError: If it holds no message or is damaged.
    """
    outputs = RecordedOutputs()
    with open_bag(path) as bag:
        objects, gates = f"{node}/objects", f"{node}/gate_image"
        topics = [name for name in (objects, gates, DIAGNOSTICS) if name in bag.topics]
        for raw, message in bag.decoded(topics):
            if raw.topic == objects:
                header = message.header
                outputs.sequence.append(int(message.sequence))
                outputs.scenes.append(
                    SceneRecord(
                        stamp_ns=nanoseconds(header.stamp),
                        at_ns=raw.stamp_ns,
                        objects=scene_objects(message.objects, header.frame_id),
                        latency_ms=seconds(message.latency) * 1e3,
                        start_ns=nanoseconds(message.clip_start),
                        frames=int(message.clip_frames),
                        frame_id=header.frame_id,
                    )
                )
            elif raw.topic == gates:
                outputs.gates.add(nanoseconds(message.header.stamp))
            else:
                for status in message.status:
                    values = {item.key: item.value for item in status.values}
                    outputs.diagnostics[status.name] = {"message": status.message, **values}
    return outputs


def read_gate_images(
    path: Path, stamps: set[int], node: str = NODE
) -> dict[int, NDArray[np.uint8]]:
    """The gate images of some stamps, [H, W, 3] uint8 RGB."""
    pictures: dict[int, NDArray[np.uint8]] = {}
    with open_bag(path) as bag:
        if (topic := f"{node}/gate_image") in bag.topics:
            for _, message in bag.decoded([topic]):
                if (stamp := nanoseconds(message.header.stamp)) in stamps:
                    pictures[stamp] = image_to_rgb(message)
    return pictures


def read_run_outputs(
    bag: Bag, topics: CameraTopics, stamps: set[int], until_ns: int
) -> tuple[dict[int, Frame], dict[int, SE3]]:
    """The frames of some stamps, and the camera's pose at every stamp, up to a time."""
    frames: dict[int, Frame] = {}
    path: dict[int, SE3] = {}
    for frame in read_frames(bag, topics):
        if frame.stamp_ns > until_ns:
            break
        if frame.pose is not None:
            path[frame.stamp_ns] = frame.pose
        if frame.stamp_ns in stamps:
            frames[frame.stamp_ns] = frame
    return frames, path


def live_log(
    bag: Bag, topics: CameraTopics, result: RunResult, outputs: RecordedOutputs
) -> RunLog:
    """The log of a live run, up to the end of the recording's first pass."""
    scenes: list[SceneRecord] = []
    for scene in outputs.scenes:
        if scenes and scene.stamp_ns <= scenes[-1].stamp_ns:
            break  # the recording is played again
        scenes.append(scene)
    frames, _ = read_run_outputs(bag, topics, {scene.stamp_ns for scene in scenes}, _FOREVER_NS)
    records = [_seen_from(scene, frames.get(scene.stamp_ns)) for scene in scenes]
    return RunLog(records, list(result.replies))


def _seen_from(scene: SceneRecord, frame: Frame | None) -> SceneRecord:
    """A scene with the camera and pose of its newest image."""
    if frame is None:
        return scene
    return replace(scene, camera=frame.camera, pose=frame.pose, camera_frame=frame.frame_id)


def as_live(log: RunLog) -> QuestionSchedule:
    """A schedule that asks every question offline about the scene that the live node used."""
    asked = [(r.index, r.question, r.stamp_ns) for r in log.replies if r.stamp_ns]
    return QuestionSchedule(asked, of_scenes=True)


def differences(live: RunLog, offline: RunLog) -> list[str]:
    """The differences between a live run and the same run offline, in words.

    ``offline`` has the same scenes and questions (``OfflineRun`` with ``only`` and ``as_live``).
    """
    found = []
    scenes = {scene.stamp_ns: scene for scene in offline.scenes}
    for scene in live.scenes:
        other = scenes.get(scene.stamp_ns)
        if other is None:
            found.append(f"scene {scene.stamp_ns}: only live")
        elif (scene.start_ns, scene.frames) != (other.start_ns, other.frames):
            found.append(f"scene {scene.stamp_ns}: other images")
        elif scene.frame_id != other.frame_id or not _alike(scene.objects, other.objects):
            found.append(f"scene {scene.stamp_ns}: other objects")
    replies = {reply.index: reply for reply in offline.replies}
    for reply in live.replies:
        if reply.stamp_ns and not reply.error:
            texts = [_reply_text(r) for r in (reply, replies.get(reply.index))]
            if texts[0] != texts[1]:
                found.append(f"question {reply.index}: {texts[0]} live, {texts[1]} offline")
    return found


def _alike(objects: Sequence[SceneObject], others: Sequence[SceneObject]) -> bool:
    """Whether objects are equal up to the single precision of messages, in any order."""
    if len(objects) != len(others):
        return False
    named = {item.id: item for item in others}
    return all(
        (other := named.get(item.id)) is not None
        and item.label == other.label
        and np.allclose(item.box.center, other.box.center, atol=_SAME_M)
        and np.allclose(item.box.size, other.box.size, atol=_SAME_M)
        and np.allclose(item.box.rotation, other.box.rotation, atol=_SAME_M)
        and abs(item.score - other.score) < _SAME_SCORE
        and item.stamp_ns == other.stamp_ns
        for item in objects
    )


def _reply_text(reply: Prediction | None) -> str:
    if reply is None:
        return "nothing"
    words = ", ".join(reply.predicates) if reply.question.is_relation else reply.text
    return f"{words!r} of {reply.stamp_ns}"
