"""Where downloaded models are kept."""

from __future__ import annotations

import os
from pathlib import Path


def downloads() -> Path:
    """The folder of downloaded models, ``~/.cache/vega3d_ros`` (or below ``XDG_CACHE_HOME``)."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "vega3d_ros"
