"""The log of a run: scenes and replies as lines of JSON, written as they come, read to resume.

Numbers are written exactly.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from vega3d_ros.core.frames import Camera
from vega3d_ros.core.geometry import SE3, Box3D
from vega3d_ros.core.json_io import read_lines
from vega3d_ros.core.objects import SceneObject
from vega3d_ros.evaluation.schema import Prediction, Question

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Self

    from numpy.typing import NDArray

LOG = "log.jsonl"


@dataclass(frozen=True, eq=False, kw_only=True)
class SceneRecord:
    """One scene.

    Attributes:
        stamp_ns: Stamp of the newest image used.
        start_ns: Stamp of the oldest image used.
        frames: Images used.
        frame_id: Frame of the objects.
        at_ns: When the newest image was complete, in the recording's time.
        objects: Published objects: tracked, with ids, above the score threshold.
        found: The model's detections before tracking; ``names`` has their ids in order. Both are
            empty in a live run, where they are not published.
        latency_ms: Offline, the time to compute the scene; live, from image to objects.
        stages_ms: Time of each stage.
        gate: Gate of the newest image, [rows, columns]; None without a gate.
        gate_mean: Mean gate of all images of the clip.
        camera: Camera of the newest image.
        pose: Pose of the newest image, in its fixed frame.
        camera_frame: Optical frame of the newest image.
        after_reset: Whether time jumped back before it.
        looks: Frames that the object map was shown. The evidence of such a scene is not in the
            log, so a resumed run computes it again.
    """

    stamp_ns: int
    start_ns: int
    frames: int
    frame_id: str
    at_ns: int
    objects: tuple[SceneObject, ...]
    found: tuple[SceneObject, ...] = ()
    names: tuple[str, ...] = ()
    latency_ms: float = 0.0
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    gate: NDArray[np.float32] | None = None
    gate_mean: float | None = None
    camera: Camera | None = None
    pose: SE3 | None = None
    camera_frame: str = ""
    after_reset: bool = False
    looks: int = 0


@dataclass
class RunLog:
    """All scenes and replies of a run, in order."""

    scenes: list[SceneRecord] = field(default_factory=list)
    replies: list[Prediction] = field(default_factory=list)


class LogWriter:
    """Appends lines to the log of a run."""

    def __init__(self, path: Path, *, fresh: bool) -> None:
        self._file = path.open("w" if fresh else "a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def scene(self, record: SceneRecord) -> None:
        self._write({"scene": _scene_json(record)})

    def reply(self, reply: Prediction) -> None:
        question = {name: value for name, value in asdict(reply.question).items() if value}
        self._write({"reply": asdict(reply) | {"question": question}})

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def read_log(path: Path) -> RunLog:
    """Read a log. An incomplete last line is removed from the file, so that a run can resume."""
    log = RunLog()
    for row in read_lines(path, mend=True) if path.is_file() else ():
        ((kind, value),) = row.items()
        if kind == "scene":
            log.scenes.append(_scene(value))
        else:
            log.replies.append(_reply(value))
    return log


def object_json(item: SceneObject) -> dict[str, Any]:
    """An object in plain values."""
    plain = {f.name: getattr(item, f.name) for f in fields(item) if f.name != "evidence"}
    plain["box"] = [item.box.center.tolist(), item.box.size.tolist(), item.box.rotation.tolist()]
    plain["covariance"] = np.asarray(item.covariance).tolist()
    return plain


def read_object(plain: Mapping[str, Any]) -> SceneObject:
    """The object behind ``object_json``."""
    center, size, rotation = (np.array(part) for part in plain["box"])
    values = {
        **plain,
        "box": Box3D(center, size, rotation),
        "covariance": np.array(plain["covariance"]),
        "alternatives": tuple((name, share) for name, share in plain["alternatives"]),
        "colors": tuple((name, share) for name, share in plain["colors"]),
    }
    return SceneObject(**values)


def _scene_json(record: SceneRecord) -> dict[str, Any]:
    plain = {f.name: getattr(record, f.name) for f in fields(record)}
    plain["objects"] = [object_json(item) for item in record.objects]
    plain["found"] = [object_json(item) for item in record.found]
    plain["gate"] = None if record.gate is None else np.round(record.gate, 4).tolist()
    plain["camera"] = None if record.camera is None else asdict(record.camera)
    plain["pose"] = None if record.pose is None else record.pose.matrix.tolist()
    return plain


def _scene(plain: dict[str, Any]) -> SceneRecord:
    gate, camera, pose = plain["gate"], plain["camera"], plain["pose"]
    values = {
        **plain,
        "objects": tuple(read_object(item) for item in plain["objects"]),
        "found": tuple(read_object(item) for item in plain["found"]),
        "names": tuple(plain["names"]),
        "gate": None if gate is None else np.array(gate, np.float32),
        "camera": None if camera is None else Camera(**camera),
        "pose": None if pose is None else SE3.from_matrix(pose),
    }
    return SceneRecord(**values)


def _reply(plain: dict[str, Any]) -> Prediction:
    question = Question(**plain.pop("question"))
    return Prediction(question=question, **{**plain, "predicates": tuple(plain["predicates"])})
