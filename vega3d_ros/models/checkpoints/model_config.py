"""What a ``model.json`` says, checked as a whole before anything of the model is built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.core.json_io import JsonError, read_object
from vega3d_ros.models.fusion.fusion_module import FusionConfig
from vega3d_ros.models.mllms.qwen2_5_vl.language import PromptFormat
from vega3d_ros.models.priors.base import PriorConfig, PriorError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

FORMAT = 1
_LARGEST_SIDE = 8192

T = TypeVar("T", FusionConfig, PromptFormat)


class ModelConfigError(Vega3dError, ValueError):
    """A ``model.json`` that describes no model; the message names what is wrong with it."""


@dataclass(frozen=True)
class ModelConfig:
    """A model's parts and settings.

    Attributes:
        prior: Settings of the prior; None for a model without one.
        bridge: Shape of projector and gate.
        prompt: Words around frames and questions.
        image_size: Width and height of the picture that the vision tower sees, pixels.
        settings: Everything else, as in ``checkpoint.Modules``.
    """

    prior: PriorConfig | None
    bridge: FusionConfig
    prompt: PromptFormat
    image_size: tuple[int, int]
    settings: dict[str, Any]


def read_model_config(file: Path, prior: Mapping[str, Any] | None = None) -> ModelConfig:
    """Read and check a ``model.json``.

    Args:
        file: The file.
        prior: Settings of the prior instead of the model's own.

    Raises:
        DescriptionError: If it cannot be read, or describes no model.
    """
    try:
        values = read_object(file)
    except JsonError as error:
        msg = f"{error}; copy the model folder again"
        raise ModelConfigError(msg) from error
    if "format" not in values:
        msg = f"{file} is not a description of a vega3d model (no 'format' field)"
        raise ModelConfigError(msg)
    if values["format"] != FORMAT:
        found = values["format"]
        msg = f"{file} has format {found!r}, this package reads {FORMAT}; update vega3d_ros"
        raise ModelConfigError(msg)
    try:
        return _described(values, prior or {})
    except (ModelConfigError, PriorError) as error:
        msg = f"{file} does not describe a model of this package: {error}"
        raise ModelConfigError(msg) from error


def _described(values: dict[str, Any], prior: Mapping[str, Any]) -> ModelConfig:
    known = {"format", "package", "prior", "bridge", "prompt", "image_size"}
    if missing := sorted(known - {"package"} - set(values)):
        msg = f"{', '.join(missing)} is missing"
        raise ModelConfigError(msg)
    own = values["prior"]
    settings = {name: value for name, value in values.items() if name not in known}
    for name, (wanted, fits) in _SETTINGS.items():
        if name in settings and not fits(settings[name]):
            msg = f"{name} must be {wanted}, not {_short(settings[name])}"
            raise ModelConfigError(msg)
    bridge = _filled(FusionConfig, values["bridge"], "bridge")
    prompt = _filled(PromptFormat, values["prompt"], "prompt")
    if "{text}" not in prompt.question or "{text}" not in prompt.ground:
        msg = "question and ground of the prompt must hold {text}"
        raise ModelConfigError(msg)
    size = values["image_size"]
    sound = isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size)
    if not sound or not all(0 < side <= _LARGEST_SIDE for side in size):
        msg = f"image_size must be [width, height], not {_short(size)}"
        raise ModelConfigError(msg)
    return ModelConfig(
        None if own is None else PriorConfig.from_dict({**_object(own, "prior"), **prior}),
        bridge,
        prompt,
        (size[0], size[1]),
        settings,
    )


def _filled(kind: type[T], values: Any, part: str) -> T:
    """A flat dataclass of strings and counts from plain values."""
    hints = get_type_hints(kind)
    for name, value in _object(values, part).items():
        if name not in hints:
            msg = f"unknown setting {name!r} of {part}; known: {', '.join(hints)}"
            raise ModelConfigError(msg)
        hint = hints[name]
        if get_origin(hint) is Literal:
            wanted, fits = " or ".join(get_args(hint)), value in get_args(hint)
        else:
            wanted, fits = hint.__name__, type(value) is hint
        if not fits or (hint is int and value < 0):
            msg = f"{name} of {part} must be {wanted}, not {_short(value)}"
            raise ModelConfigError(msg)
    try:
        return kind(**values)
    except TypeError as error:
        msg = f"{part}: {error}"
        raise ModelConfigError(msg) from error


def _object(value: Any, part: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        msg = f"{part} must be an object, not {_short(value)}"
        raise ModelConfigError(msg)
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) and word for word in value)


def _is_share(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


_SETTINGS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "labels": ("a list of words", _are_words),
    "colors": ("a list of words", _are_words),
    "threshold": ("in [0, 1]", _is_share),
    "listing_threshold": ("in [0, 1]", _is_share),
    "card": ("a text", lambda value: isinstance(value, str)),
    "blind": ("true or false", lambda value: isinstance(value, bool)),
}
