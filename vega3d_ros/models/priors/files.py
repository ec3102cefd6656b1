"""What the folders of all priors have in common: ``prior.json`` and diffusers' weight files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from safetensors import SafetensorError, safe_open

from vega3d_ros.core.json_io import JsonError, read_object
from vega3d_ros.core.settings import SettingsError, read_settings
from vega3d_ros.models.priors.base import PriorConfig, PriorError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

Config = TypeVar("Config", bound=PriorConfig)
CONFIG_FILE = "prior.json"


def save_config(config: PriorConfig, folder: Path) -> None:
    """Write settings as ``prior.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(
        json.dumps(config.to_dict(), indent=2) + "\n", encoding="utf-8"
    )


def load_config(folder: Path, kind: type[Config], config: PriorConfig | None = None) -> Config:
    """Settings of ``prior.json``, or those that are given instead.

    Raises:
        PriorError: If the file is missing or damaged, or they are another prior's settings.
    """
    if config is None:
        try:
            return read_settings(kind, read_json(folder / CONFIG_FILE), "prior")
        except SettingsError as error:
            msg = f"{folder / CONFIG_FILE}: {error}"
            raise PriorError(msg) from error
    if not isinstance(config, kind):
        msg = f"settings of a prior of type {config.type!r} are no {kind.__name__}; give those"
        raise PriorError(msg)
    return config


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; raises :class:`PriorError` where there is none."""
    try:
        return read_object(path)
    except JsonError as error:
        msg = f"{error}; is the prior's folder complete?"
        raise PriorError(msg) from error


def read_weights(folder: Path, wanted: Callable[[str], bool]) -> dict[str, Tensor]:
    """The wanted tensors of a diffusers model folder, sharded or not."""
    paths = sorted(folder.glob("diffusion_pytorch_model*.safetensors"))
    if not paths:
        msg = f"{folder} has no diffusion_pytorch_model*.safetensors; is the folder complete?"
        raise PriorError(msg)
    return {key: value for path in paths for key, value in read_tensors(path, wanted).items()}


def read_tensors(path: Path, wanted: Callable[[str], bool]) -> dict[str, Tensor]:
    """The wanted tensors of a file; raises :class:`PriorError` where it is missing or damaged."""
    try:
        with safe_open(path, "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys() if wanted(key)}  # noqa: SIM118
    except OSError as error:
        msg = f"cannot read {path}: {error}; is the prior's folder complete?"
        raise PriorError(msg) from error
    except SafetensorError as error:
        msg = f"{path} is damaged or not a safetensors file: {error}"
        raise PriorError(msg) from error
