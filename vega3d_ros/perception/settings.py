"""The node's parameters as plain values, checked as a whole, with ROS or without."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.core.frames import KeyframePolicy
from vega3d_ros.core.nearest import did_you_mean
from vega3d_ros.core.objects import LONGEST_TEXT
from vega3d_ros.core.threads import AUTOMATIC, MOST
from vega3d_ros.perception.parameter_file import ParameterFileError, read_sections
from vega3d_ros.sensing.camera_settings import RECTIFICATIONS, CameraSettings
from vega3d_ros.sensing.clip_builder import ClipSettings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_CHOICES = {
    "dtype": ("auto", "float32", "bfloat16"),
    "acceleration": ("none", "graphs", "compile", "compile_graphs"),
    "image_qos": ("auto", "reliable", "best_effort"),
    "rectification": RECTIFICATIONS,
}
_DEVICE = re.compile(r"auto|cpu|(cuda|mps|xpu)(:\d+)?")

MAX_QUERIES = 256  # every one is searched for in every scene


class ParameterError(Vega3dError, ValueError):
    """A parameter that cannot be used; the message names it and says what to set."""


def _parameter(
    default: Any, text: str, low: float | None = None, high: float | None = None
) -> Any:
    return field(default=default, metadata={"text": text, "low": low, "high": high})


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Every parameter with its default."""

    model: str = _parameter(
        "auto",
        "name of a shipped model, or a model folder, or a downloaded one's name; auto: the best "
        "one for real cameras that is downloaded and fits the device, else nano, which knows "
        "simulation only",
    )
    device: str = _parameter(
        "auto", "where the model runs: auto (CUDA where present), cpu, cuda, cuda:1, ..."
    )
    dtype: str = _parameter(
        "auto",
        "type of the weights: auto (bfloat16 on GPUs that compute with it, else float32), "
        "float32, bfloat16",
    )
    acceleration: str = _parameter(
        "none",
        "of the prior: none, graphs (CUDA graphs, seconds to load), compile (minutes), "
        "compile_graphs",
    )
    threads: int = _parameter(
        AUTOMATIC,
        "of the processor, for the model; 0: OMP_NUM_THREADS where it is set, else one, and more "
        "where one is slow and more are clearly faster",
        AUTOMATIC,
        MOST,
    )
    autostart: bool = _parameter(
        False, "configure and activate by itself; leave false under a lifecycle manager"
    )
    queries: tuple[str, ...] = _parameter(
        (), "what every scene is searched for; one empty string: the model's own list"
    )
    fixed_frame: str = _parameter(
        "map",
        "frame of the results, z up, looked up in TF at each image's stamp; empty: the camera's "
        "optical frame",
    )
    publish_rate: float = _parameter(
        0.0, "scenes in a second, at most; 0: as many as there are keyframes", 0.0, 1000.0
    )
    image_qos: str = _parameter(
        "auto",
        "reliability asked of image and depth: auto (as their publisher offers), reliable, "
        "best_effort",
    )
    camera_frame: str = _parameter(
        "", "optical frame of the images; empty: their header.frame_id, which must be one"
    )
    rectification: str = _parameter(
        "auto",
        "whether images are raw (K and D are used) or rectified (P): auto (by the topic's name, "
        "else raw where D is not zero), raw, rectified",
    )
    depth_scale: float = _parameter(
        0.0,
        "metres of one stored unit of depth; 0: by its encoding (16UC1 0.001, 32FC1 1)",
        0.0,
        1000.0,
    )
    clip_length: int = _parameter(8, "frames looked at together", 1, 64)
    clip_capacity: int = _parameter(
        8, "keyframes kept, of which a clip takes clip_length evenly", 1, 512
    )
    keyframe_translation_m: float = _parameter(
        0.15, "keep a frame this far from the last keyframe, m", 0.0, 100.0
    )
    keyframe_rotation_rad: float = _parameter(
        0.17, "keep a frame turned this far from it, rad", 0.0, 3.15
    )
    keyframe_max_interval_s: float = _parameter(
        2.0, "keep a frame after this long in any case, s", 0.0, 3600.0
    )
    keyframe_min_interval_s: float = _parameter(
        0.05, "never keep two frames closer than this, s", 0.0, 3600.0
    )
    pair_tolerance_s: float = _parameter(
        0.02, "largest difference between image and depth stamps, s", 0.0, 1.0
    )
    wait_s: float = _parameter(
        0.3, "longest time an image is held for its depth, camera_info and transform, s", 0.0, 5.0
    )
    min_score: float = _parameter(0.2, "objects of a lower score are not published", 0.0, 1.0)
    max_objects: int = _parameter(256, "objects remembered over time", 1, 100_000)
    query_timeout_s: float = _parameter(10.0, "for requests that give no timeout, s", 0.1, 600.0)
    max_waiting_queries: int = _parameter(
        16, "requests in the queue before new ones are refused", 1, 1000
    )
    silence_warning_s: float = _parameter(
        3.0, "diagnostics warn after this long without an image, s", 0.1, 3600.0
    )

    def __post_init__(self) -> None:
        for name in _CHECKED:
            check_value(name, getattr(self, name))
        if self.clip_length > self.clip_capacity:
            msg = (
                f"parameter `clip_length` ({self.clip_length}) is above `clip_capacity` "
                f"({self.clip_capacity}); raise the capacity or shorten the clip"
            )
            raise ParameterError(msg)
        if self.keyframe_min_interval_s > self.keyframe_max_interval_s:
            msg = (
                "parameter `keyframe_min_interval_s` is above `keyframe_max_interval_s`; lower it"
            )
            raise ParameterError(msg)

    @property
    def model_name(self) -> str:
        """The model's short name, for messages."""
        return PurePath(self.model).name

    @property
    def camera_settings(self) -> CameraSettings:
        """What the user says of the camera."""
        return CameraSettings(
            camera_frame=self.camera_frame,
            rectification=self.rectification,
            depth_scale=self.depth_scale,
        )

    @property
    def clip_settings(self) -> ClipSettings:
        """How frames become clips."""
        return ClipSettings(
            length=self.clip_length,
            capacity=self.clip_capacity,
            policy=KeyframePolicy(
                self.keyframe_translation_m,
                self.keyframe_rotation_rad,
                self.keyframe_max_interval_s,
                max(
                    self.keyframe_min_interval_s,
                    1 / self.publish_rate if self.publish_rate else 0.0,
                ),
            ),
            fixed_frame=self.fixed_frame,
            pair_tolerance_ns=int(self.pair_tolerance_s * 1e9),
            wait_ns=int(self.wait_s * 1e9),
            camera=self.camera_settings,
        )


_CHECKED = (*_CHOICES, "model", "device", "fixed_frame", "camera_frame", "queries")


def check_value(name: str, value: Any) -> None:
    """Check one parameter by itself.

    Raises:
        ParameterError: If it cannot be used, whatever the others are.
    """
    why = ""
    if name == "model" and not value:
        why = (
            " is empty; set auto, a shipped model (nano, photo-cpu), a model folder or the name "
            "of a downloaded one"
        )
    elif name in _CHOICES and value not in _CHOICES[name]:
        known = _CHOICES[name]
        choices = f"{', '.join(known[:-1])} or {known[-1]}"
        why = f" is {value!r}{did_you_mean(value, known)}; set {choices}"
    elif name == "device" and not _DEVICE.fullmatch(value):
        near = did_you_mean(value, ("auto", "cpu", "cuda"))
        why = f" is {value!r}{near}; set auto, cpu, cuda or cuda:1"
    elif name in {"fixed_frame", "camera_frame"} and value.startswith("/"):
        why = f" is {value!r}; frames of TF have no leading slash"
    elif name == "queries" and (unfit := unfit_queries(value)):
        why = f": {unfit}"
    if why:
        msg = f"parameter `{name}`{why}"
        raise ParameterError(msg)


def unfit_queries(queries: Sequence[str]) -> str:
    """Why scenes cannot be searched for these; empty where they can."""
    if not all(queries) or len(set(queries)) < len(queries):
        return "they must be different and not empty; an empty list asks for the model's own"
    if len(queries) > MAX_QUERIES:
        return f"these are {len(queries)}; at most {MAX_QUERIES} are searched for"
    longest = max(map(len, queries), default=0)
    if longest > LONGEST_TEXT:
        return f"one has {longest} characters; {LONGEST_TEXT} are allowed"
    return ""


def load_parameters(path: Path | None = None, **values: Any) -> Parameters:
    """Parameters without ROS: those of a file as the node reads it, and ``values`` over them.

    Args:
        path: YAML such as ``config/perception.yaml``; None for the defaults. Of its node names
            ``/**`` and those that end in ``perception`` count.
        values: By name; None leaves the file's or the default.

    Raises:
        ParameterError: If the file cannot be read, or a value cannot be used.
    """
    known = {item.name: item for item in fields(Parameters)}
    chosen = {} if path is None else _from_file(path)
    chosen |= {name: value for name, value in values.items() if value is not None}
    if unknown := sorted(set(chosen) - set(known)):
        hint = did_you_mean(unknown[0], known)
        msg = f"there is no parameter {', '.join(unknown)}{hint}; see config/perception.yaml"
        raise ParameterError(msg)
    for name, value in chosen.items():
        default, limits = known[name].default, known[name].metadata
        if isinstance(default, tuple):
            chosen[name] = tuple(text.strip() for text in value if text.strip())
        elif type(value) is not type(default):
            msg = f"parameter `{name}` is {value!r}; it must be a {type(default).__name__}"
            raise ParameterError(msg)
        elif limits["low"] is not None and not limits["low"] <= value <= limits["high"]:
            msg = (
                f"parameter `{name}` is {value}; it must be in [{limits['low']}, {limits['high']}]"
            )
            raise ParameterError(msg)
    return Parameters(**chosen)


def _from_file(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        for node, values in read_sections(path):
            if node == "/**" or node.endswith("perception"):
                found |= values
    except ParameterFileError as error:
        raise ParameterError(str(error)) from error
    # Time is the bag's, always.
    return {name: value for name, value in found.items() if name != "use_sim_time"}
