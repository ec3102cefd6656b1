"""What a ``model.json`` says, checked as a whole before anything of the model is built.

Format 2 names the ``type`` of each part. ``prior`` and ``grounder`` may be null; ``fusion`` and
``language`` may both be, which leaves a model of a detector and geometry alone, or one that takes
the ``networks`` of another. Format 1, which
had one kind of each part, is read too.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from dataclasses import dataclass as plain_dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.core.json_io import JsonError, read_object
from vega3d_ros.core.registry import RegistryError
from vega3d_ros.core.settings import STRICT, SettingsError, read_settings
from vega3d_ros.models.depth import DEPTHS
from vega3d_ros.models.detectors.loading import DETECTORS
from vega3d_ros.models.fusion.fusion_module import FusionConfig
from vega3d_ros.models.grounders import GROUNDERS
from vega3d_ros.models.mllms.qwen2_5_vl.language import PromptFormat  # noqa: TC001  (read by type)
from vega3d_ros.models.priors import PRIORS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from vega3d_ros.models.priors.base import PriorConfig

FORMAT = 2
TOKEN_HEAD = "token_head"  # noqa: S105 - a type of grounder

Side = Annotated[int, Field(gt=0, le=8192)]
Share = Annotated[float, Field(ge=0, le=1)]
Word = Annotated[str, Field(min_length=1)]
Files = Annotated[tuple[Word, ...], Field(min_length=1)]


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
class MasksConfig:
    """What finds the pixels in a detector's boxes: SAM 2 or EdgeTAM, kept beside models.

    Attributes:
        files: Its folder by name; the first that is found is taken.
    """

    files: Files

    def __post_init__(self) -> None:
        """Refuse names that lead out of the folders looked in."""
        _refuse_paths("grounder.detector.masks.files", self.files)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DetectorConfig:
    """A 2D detector that is kept beside models, not in them.

    Attributes:
        type: Of ``detectors.DETECTORS``.
        files: Its file or folder by name; the first that is found is taken.
        threshold: Lowest score given; None: the detector's own.
        masks: What finds the pixels in its boxes; None where the boxes are enough.
    """

    type: str
    files: Files
    threshold: Share | None = None
    masks: MasksConfig | None = None

    def __post_init__(self) -> None:
        """Refuse unknown types, and names that lead out of the folders looked in."""
        if self.type not in DETECTORS:
            msg = f"unknown detector {self.type!r}; known: {', '.join(sorted(DETECTORS))}"
            raise ValueError(msg)
        _refuse_paths("grounder.detector.files", self.files)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DepthConfig:
    """Where depth comes from for frames of which the sensor has none.

    Attributes:
        type: Of ``depth.DEPTHS``.
        files: Its folder by name, kept beside models as detectors are; the first found is taken.
        hub: Its id on the Hugging Face hub, taken where no folder is found.
        revision: On the hub: branch, tag or commit.
        canonical_focal: See ``depth.network.NetworkDepth``.
    """

    type: str = "sensor"
    files: tuple[Word, ...] = ()
    hub: Word | None = None
    revision: Word | None = None
    canonical_focal: Annotated[float, Field(gt=0)] | None = None

    def __post_init__(self) -> None:
        """Refuse unknown types, and a network that is nowhere to be found.

        Raises:
            RegistryError: If the type is unknown.
        """
        if self.type not in DEPTHS.names:
            DEPTHS.get(self.type)
        if self.type == "network" and not (self.files or self.hub):
            msg = "grounder.depth must say by files or hub where its network is"
            raise ValueError(msg)
        for name in self.files:
            if PurePath(name).name != name:
                msg = f"grounder.depth.files must be names without folders, not {name!r}"
                raise ValueError(msg)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GrounderConfig:
    """What finds objects.

    Attributes:
        type: Of ``grounders.GROUNDERS``.
        detector: What it finds them with; None for a grounder without a 2D detector.
        depth: Beside the sensor's; None: no other.
    """

    type: str = TOKEN_HEAD
    detector: DetectorConfig | None = None
    depth: DepthConfig | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be made.

        Raises:
            RegistryError: If the type is unknown.
        """
        if self.type not in GROUNDERS.names:
            GROUNDERS.get(self.type)
        if self.type == "lifted" and self.detector is None:
            msg = "grounder.detector is missing: a lifted grounder needs one"
            raise ValueError(msg)
        if self.depth is not None and self.detector is None:
            msg = "grounder.depth is of use beside grounder.detector only"
            raise ValueError(msg)

    def to_dict(self) -> dict[str, Any]:
        """As ``model.json`` holds it."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class _Settings:
    """The rest of the file, see ``modules.Modules``; it stays as it is written."""

    labels: tuple[Word, ...] = ()
    colors: tuple[Word, ...] = ()
    threshold: Share = 0.5
    listing_threshold: Share = 0.5
    measured_answers: bool = False
    described_objects: bool = False
    depth_votes: bool = False
    card: str = ""
    license: str = ""
    blind: bool = False


@plain_dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A model's parts and settings.

    Attributes:
        format: Of the folder: how its files and their tensors are called.
        prior: Settings of the prior; None for a model without one.
        fusion: Shape of projector and gate; None where there is no language model.
        language: Vision tower and language model; None where answers are measured alone.
        grounder: What finds objects; None for a model that answers only.
        networks: Name of the model whose prior, fusion and language model it takes, all of which
            are None then; None for a model of its own.
        settings: Everything else, as in ``modules.Modules``.
    """

    format: int
    prior: PriorConfig | None
    fusion: FusionConfig | None
    language: LanguageConfig | None
    grounder: GrounderConfig | None
    settings: dict[str, Any]
    networks: str | None = None


def _refuse_paths(setting: str, names: tuple[str, ...]) -> None:
    for name in names:
        if PurePath(name).name != name:
            msg = f"{setting} must be names without folders, not {name!r}"
            raise ValueError(msg)


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
    parts = [one.name for one in fields(ModelConfig) if one.name not in {"settings", "networks"}]
    if missing := sorted(set(parts) - set(values)):
        msg = f"{', '.join(missing)} is missing"
        raise SettingsError(msg)
    known = {"package", "networks", *parts}
    settings = {name: value for name, value in values.items() if name not in known}
    read_settings(_Settings, settings)
    prior, grounder = values["prior"], values["grounder"]
    fusion, language = values["fusion"], values["language"]
    config = ModelConfig(
        format=values["format"],
        prior=None if prior is None else _prior_config(prior, instead),
        fusion=None if fusion is None else read_settings(FusionConfig, fusion, "fusion"),
        language=None if language is None else _language_config(language),
        grounder=None if grounder is None else read_settings(GrounderConfig, grounder, "grounder"),
        settings=settings,
        networks=_networks(values.get("networks")),
    )
    _refuse_incomplete(config)
    return config


def _networks(name: Any) -> str | None:
    if name is None or (isinstance(name, str) and name and PurePath(name).name == name):
        return name
    msg = f"networks must be the name of a model, without folders, or null, not {str(name)[:60]!r}"
    raise SettingsError(msg)


def _language_config(values: Any) -> LanguageConfig:
    language = read_settings(LanguageConfig, values, "language")
    if not all("{text}" in text for text in (language.prompt.question, language.prompt.ground)):
        msg = "language.prompt.question and language.prompt.ground must hold {text}"
        raise SettingsError(msg)
    return language


def _refuse_incomplete(config: ModelConfig) -> None:
    """Refuse parts that need another part.

    Raises:
        SettingsError: If one is missing.
    """
    if (config.fusion is None) != (config.language is None):
        msg = "fusion and language must both be there, or both be null"
        raise SettingsError(msg)
    if config.language is not None and config.networks is not None:
        msg = "networks names the model that brings fusion and language: they must be null"
        raise SettingsError(msg)
    if config.language is not None:
        return
    if config.prior is not None:
        msg = "prior must be null where language is: nothing would read its tokens"
        raise SettingsError(msg)
    if config.grounder is None or config.grounder.type == TOKEN_HEAD:
        msg = "without a language model, grounder must be one that needs none, such as lifted"
        raise SettingsError(msg)
