"""Settings of a training stage from its YAML file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from vega3d_ros.core.settings import SettingsError, read_settings
from vega3d_ros.training.loop import TrainingError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

T = TypeVar("T")


def load_settings(kind: type[T], file: Path, overrides: Mapping[str, Any]) -> T:
    """Read a dataclass from YAML; ``overrides`` (command-line values) win.

    Raises:
        TrainingError: If the file is unreadable, or a name or value is not one of the stage's.
    """
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        msg = f"{file} cannot be read: {error}"
        raise TrainingError(msg) from error
    if not isinstance(values, dict):
        msg = f"{file} must hold settings by name"
        raise TrainingError(msg)
    try:
        return read_settings(kind, {**values, **overrides})
    except SettingsError as error:
        msg = f"{file}: {error}"
        raise TrainingError(msg) from error
