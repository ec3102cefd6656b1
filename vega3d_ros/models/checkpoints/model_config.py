"""What a ``model.json`` says, checked as a whole before anything of the model is built.

Format 2 names the ``type`` of each part; ``prior`` and ``grounder`` may be null. Format 1, which
had one kind of each part, is read too.
"""

from __future__ import annotations

from dataclasses import dataclass as plain_dataclass
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.core.json_io import JsonError, read_object
from vega3d_ros.core.registry import RegistryError
from vega3d_ros.core.settings import STRICT, SettingsError, read_settings
from vega3d_ros.models.fusion.fusion_module import FusionConfig
from vega3d_ros.models.mllms.qwen2_5_vl.language import PromptFormat  # noqa: TC001  (read by type)
from vega3d_ros.models.priors import PRIORS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from vega3d_ros.models.priors.base import PriorConfig

FORMAT = 2

Side = Annotated[int, Field(gt=0, le=8192)]
Share = Annotated[float, Field(ge=0, le=1)]
Word = Annotated[str, Field(min_length=1)]


class ModelConfigError(Vega3dError, ValueError):
    """A ``model.json`` that describes no model; the message names what is wrong with it."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LanguageConfig:
    """Vision tower and language model.

    Attributes:
        type: Their family.
        prompt: Text around frames and questions.
        image_size: Width and height of the picture that the vision tower is shown, pixels.
    """

    type: Literal["qwen2_5_vl"] = "qwen2_5_vl"
    prompt: PromptFormat
    image_size: tuple[Side, Side]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GrounderConfig:
    """What finds objects."""

    type: Literal["token_head"] = "token_head"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class _Settings:
    """The rest of the file, see ``modules.Modules``; it stays as it is written."""

    labels: tuple[Word, ...] = ()
    colors: tuple[Word, ...] = ()
    threshold: Share = 0.5
    listing_threshold: Share = 0.5
    measured_answers: bool = False
    card: str = ""
    license: str = ""
    blind: bool = False


@plain_dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A model's parts and settings.

    Attributes:
        format: Of the folder: how its files and their tensors are called.
        prior: Settings of the prior; None for a model without one.
        fusion: Shape of projector and gate.
        language: Vision tower and language model.
        grounder: What finds objects; None for a model that answers only.
        settings: Everything else, as in ``modules.Modules``.
    """

    format: int
    prior: PriorConfig | None
    fusion: FusionConfig
    language: LanguageConfig
    grounder: GrounderConfig | None
    settings: dict[str, Any]


def read_model_config(file: Path, prior: Mapping[str, Any] | None = None) -> ModelConfig:
    """Read and check a ``model.json``.

    Args:
        file: The file.
        prior: Settings of the prior instead of the model's own.

    Raises:
        ModelConfigError: If it cannot be read, or describes no model.
    """
    try:
        values = read_object(file)
    except JsonError as error:
        msg = f"{error}; copy the model folder again"
        raise ModelConfigError(msg) from error
    if "format" not in values:
        msg = f"{file} is not a description of a vega3d model (no 'format' field)"
        raise ModelConfigError(msg)
    if values["format"] not in (1, FORMAT):
        found = values["format"]
        msg = f"{file} has format {found!r}, this package reads 1 and {FORMAT}; update vega3d_ros"
        raise ModelConfigError(msg)
    try:
        return _parse(_from_format_1(values) if values["format"] == 1 else values, prior or {})
    except (RegistryError, SettingsError) as error:
        msg = f"{file} does not describe a model of this package: {error}"
        raise ModelConfigError(msg) from error


def _prior_config(values: Any, instead: Mapping[str, Any]) -> PriorConfig:
    """Settings of a prior by their ``type``.

    Args:
        values: Of ``model.json``.
        instead: Settings that win over them.

    Raises:
        RegistryError: If there is no such type.
        SettingsError: If they do not fit it.
    """
    if not isinstance(values, dict) or not isinstance(values.get("type"), str):
        msg = f"prior must hold settings by name, its type among them, not {str(values)[:60]}"
        raise SettingsError(msg)
    return read_settings(PRIORS.get(values["type"]).Config, {**values, **instead}, "prior")


def _from_format_1(values: dict[str, Any]) -> dict[str, Any]:
    """The same in format 2."""
    found = {k: v for k, v in values.items() if k not in {"prior", "bridge", "prompt"}}
    language = {"prompt": values.get("prompt"), "image_size": found.pop("image_size", None)}
    prior = values.get("prior")
    if isinstance(prior, dict):
        prior = {"type": "wan", **prior}
    return {
        **found,
        "prior": prior,
        "fusion": values.get("bridge"),
        "language": language,
        "grounder": {"type": "token_head"},
    }


def _parse(values: dict[str, Any], instead: Mapping[str, Any]) -> ModelConfig:
    parts = [field.name for field in fields(ModelConfig) if field.name != "settings"]
    if missing := sorted(set(parts) - set(values)):
        msg = f"{', '.join(missing)} is missing"
        raise SettingsError(msg)
    known = {"package", *parts}
    settings = {name: value for name, value in values.items() if name not in known}
    read_settings(_Settings, settings)
    prior, grounder = values["prior"], values["grounder"]
    language = read_settings(LanguageConfig, values["language"], "language")
    if not all("{text}" in text for text in (language.prompt.question, language.prompt.ground)):
        msg = "language.prompt.question and language.prompt.ground must hold {text}"
        raise SettingsError(msg)
    return ModelConfig(
        format=values["format"],
        prior=None if prior is None else _prior_config(prior, instead),
        fusion=read_settings(FusionConfig, values["fusion"], "fusion"),
        language=language,
        grounder=None if grounder is None else read_settings(GrounderConfig, grounder, "grounder"),
        settings=settings,
    )
