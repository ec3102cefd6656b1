"""Where models that have a name are kept, and the files that models share."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VARIABLE = "VEGA3D_MODELS"
"""Environment variable: folders to look for models and detectors in, as in ``PATH``."""


def downloads() -> Path:
    """The folder of downloaded models, ``~/.cache/vega3d_ros`` (or below ``XDG_CACHE_HOME``)."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "vega3d_ros"


def detector_downloads() -> Path:
    """The folder of downloaded detectors, which models share."""
    return downloads() / "detectors"


def shipped() -> Path:
    """The folder of the models that come with the package."""
    return Path(str(resources.files("vega3d_ros"))) / "weights"


def user_folders() -> tuple[Path, ...]:
    """The folders that ``VEGA3D_MODELS`` names."""
    return tuple(
        Path(folder).expanduser()
        for folder in os.environ.get(VARIABLE, "").split(os.pathsep)
        if folder
    )


def places(name: str | Path) -> tuple[Path, ...]:
    """Where a model may lie: at this path, or by this name where models are kept."""
    return tuple(
        Path(name) if folder is None else folder / name
        for folder in (None, shipped(), *user_folders(), downloads())
    )


def detector_folders(model: Path) -> tuple[Path, ...]:
    """Where the detector of a model folder may lie, in the order in which it is looked for."""
    return model, *user_folders(), detector_downloads()


def first_found(names: Sequence[str], folders: Sequence[Path]) -> Path | None:
    """The first name that is in any of the folders, or None."""
    for name in names:
        for folder in folders:
            if (folder / name).exists():
                return folder / name
    return None


def needed_parts(description: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """What a model needs that is kept beside it: the names of which one is enough.

    Args:
        description: Of its ``model.json``.

    Returns:
        By what they are: "detector", "masks", "depth network" and "networks", as far as it names
            files of them.
    """
    grounder = description.get("grounder")
    detector = grounder.get("detector") if isinstance(grounder, dict) else None
    masks = detector.get("masks") if isinstance(detector, dict) else None
    depth = grounder.get("depth") if isinstance(grounder, dict) else None
    named = {"detector": detector, "masks": masks, "depth network": depth}
    parts = {
        what: tuple(one["files"])
        for what, one in named.items()
        if isinstance(one, dict) and one.get("files")
    }
    if networks := description.get("networks"):
        parts["networks"] = (str(networks),)
    return parts


def found_parts(description: Mapping[str, Any], model: Path) -> dict[str, Path | None]:
    """Where the parts of a model folder lie, by what they are; None for one that is nowhere.

    Args:
        description: Of its ``model.json``.
        model: The folder.
    """
    folders = detector_folders(model)
    return {
        what: next((one for one in places(names[0]) if one.is_dir()), None)
        if what == "networks"
        else first_found(names, folders)
        for what, names in needed_parts(description).items()
    }
