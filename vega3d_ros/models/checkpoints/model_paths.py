"""Where models that have a name are kept."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path


def downloads() -> Path:
    """The folder of downloaded models, ``~/.cache/vega3d_ros`` (or below ``XDG_CACHE_HOME``)."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "vega3d_ros"


def shipped() -> Path:
    """The folder of the models that come with the package."""
    return Path(str(resources.files("vega3d_ros"))) / "weights"


def places(name: str | Path) -> tuple[Path, ...]:
    """Where a model may lie: at this path, or by this name among the shipped or downloaded."""
    return Path(name), shipped() / name, downloads() / name
