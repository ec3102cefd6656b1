"""The messages that the node published during a run, read from their recording."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.core.frames import sample_uniformly
from vega3d_ros.core.stamps import nanoseconds
from vega3d_ros.evaluation.replies import scene_objects, seconds
from vega3d_ros.evaluation.run_log import SceneRecord
from vega3d_ros.sensing.bags.reader import open_bag, read_frames
from vega3d_ros.sensing.image_decoding import image_to_rgb

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from vega3d_ros.core.frames import Frame
    from vega3d_ros.core.geometry import SE3
    from vega3d_ros.sensing.bags.reader import Bag, CameraTopics

NODE = "/perception"
DIAGNOSTICS = "/diagnostics"


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
