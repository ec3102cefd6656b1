"""The node's parameters: declared with ranges and units, read and checked as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

from vega3d_ros.frames import KeyframePolicy

if TYPE_CHECKING:
    from rclpy.node import Node


_CHOICES = {
    "dtype": ("auto", "float32", "bfloat16"),
    "acceleration": ("none", "graphs", "compile", "compile_graphs"),
    "image_qos": ("auto", "reliable", "best_effort"),
}


class ParameterError(ValueError):
    """A parameter that cannot be used; the message names it and says what to set."""


def _parameter(
    default: Any, text: str, low: float | None = None, high: float | None = None
) -> Any:
    return field(default=default, metadata={"text": text, "low": low, "high": high})


@dataclass(frozen=True)
class Parameters:
    """Every parameter with its default. Changes take effect with the next ``configure``."""

    model: str = _parameter(
        "nano", "name of a shipped model, or a model folder, or a Hugging Face id"
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
    image_qos: str = _parameter(
        "auto",
        "reliability asked of image and depth: auto (as their publisher offers), reliable, "
        "best_effort",
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
    min_score: float = _parameter(
        0.2, "objects less probable than this are not published", 0.0, 1.0
    )
    max_objects: int = _parameter(256, "objects remembered over time", 1, 100_000)
    query_timeout_s: float = _parameter(10.0, "for requests that give no timeout, s", 0.1, 600.0)
    max_waiting_queries: int = _parameter(
        16, "requests in the queue before new ones are refused", 1, 1000
    )
    silence_warning_s: float = _parameter(
        3.0, "diagnostics warn after this long without an image, s", 0.1, 3600.0
    )

    def __post_init__(self) -> None:
        if not self.model:
            msg = (
                "parameter `model` is empty; set a shipped model (nano), a model folder or a "
                "Hugging Face id"
            )
            raise ParameterError(msg)
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                choices = f"{', '.join(known[:-1])} or {known[-1]}"
                msg = f"parameter `{name}` is {getattr(self, name)!r}; set {choices}"
                raise ParameterError(msg)
        if self.fixed_frame.startswith("/"):
            msg = (
                f"parameter `fixed_frame` is {self.fixed_frame!r}; frames of TF have no leading "
                f"slash"
            )
            raise ParameterError(msg)
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
        if len(set(self.queries)) < len(self.queries):
            msg = f"parameter `queries` names something twice: {list(self.queries)}"
            raise ParameterError(msg)

    @property
    def model_name(self) -> str:
        """The model's short name, for messages."""
        return PurePath(self.model).name

    @property
    def keyframe_policy(self) -> KeyframePolicy:
        """When a frame becomes a keyframe."""
        return KeyframePolicy(
            self.keyframe_translation_m,
            self.keyframe_rotation_rad,
            self.keyframe_max_interval_s,
            self.keyframe_min_interval_s,
        )


def declare_parameters(node: Node) -> None:
    """Declare every parameter; ROS itself then refuses wrong types and values out of range."""
    for item in fields(Parameters):
        # An empty list has no type in ROS; one empty string stands for it.
        default = list(item.default) or [""] if isinstance(item.default, tuple) else item.default
        descriptor = ParameterDescriptor(description=item.metadata["text"])
        low, high = item.metadata["low"], item.metadata["high"]
        if isinstance(item.default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high))
            ]
        elif low is not None:
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
        node.declare_parameter(item.name, default, descriptor)


def read_parameters(node: Node) -> Parameters:
    """Read and check all parameters.

    Raises:
        ParameterError: If one of them, or two together, cannot be used.
    """
    values = {item.name: node.get_parameter(item.name).value for item in fields(Parameters)}
    values["queries"] = tuple(query.strip() for query in values["queries"] if query.strip())
    return Parameters(**values)
