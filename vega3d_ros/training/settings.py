"""Settings of a training stage from its YAML file."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import yaml

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
    return _build(kind, {**values, **overrides}, str(file))


def _build(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    hints = get_type_hints(kind)
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    for name in values:
        if name not in names:
            msg = f"{where}: unknown setting {name!r}; known: {', '.join(names)}"
            raise TrainingError(msg)
    try:
        return kind(**{k: _convert(hints[k], v, f"{where}: {k}") for k, v in values.items()})
    except (TypeError, ValueError) as error:
        msg = f"{where}: {error}"
        raise TrainingError(msg) from error


def _convert(kind: Any, value: Any, where: str) -> Any:
    if is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, dict):
            msg = f"{where} must hold settings by name, not {value!r}"
            raise TrainingError(msg)
        return _build(kind, value, where)
    if isinstance(value, list):
        return tuple(value)
    if kind in (int, float, str, bool) and not isinstance(
        value, (int, float) if kind is float else kind
    ):
        msg = f"{where} must be {kind.__name__}, not {value!r}"
        raise TrainingError(msg)
    return value
