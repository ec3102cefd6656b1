"""Whether a model's name stands for one on this machine, told before any library is loaded."""

from __future__ import annotations

import re

from vega3d_ros.core.json_io import JsonError, read_object
from vega3d_ros.core.nearest import did_you_mean
from vega3d_ros.models.checkpoints.auto_model import AUTO, PHOTO_MODELS, lacking
from vega3d_ros.models.checkpoints.model_paths import (
    downloads,
    found_parts,
    places,
    shipped,
    user_folders,
)

DOWNLOADED = ("vega3d-sr-7b", *PHOTO_MODELS)
"""Models that ``vega3d download`` fetches, or the parts of which it does."""


def why_missing(name: str) -> str:
    """Why a name stands for no model here, with the remedy; empty where it may stand for one.

    What is in a folder, and what the hub has, is left to ``load.locate``.
    """
    folder = next((one for one in places(name) if one.is_dir()), None)
    if folder is not None:
        return _lacking(name) if folder == shipped() / name else ""
    if name == AUTO or re.fullmatch(r"\w[^/]*/\w[^/]*", name):  # the second as on the hub
        return ""
    if name in DOWNLOADED:
        return f"model {name!r} is not downloaded: run `vega3d download {name}`"
    known = installed_names()
    hint = did_you_mean(name, {*known, *DOWNLOADED, AUTO})
    return (
        f"model {name!r} is no folder{hint}; give a model folder, or one of: "
        f"{', '.join(known) or '-'}"
    )


def installed_names() -> list[str]:
    """The models that come with the package or lie where models are kept, in order."""
    kept = (shipped(), *user_folders(), downloads())
    return sorted({file.parent.name for folder in kept for file in folder.glob("*/model.json")})


def _lacking(name: str) -> str:
    folder = shipped() / name
    try:
        parts = found_parts(read_object(folder / "model.json"), folder)
    except JsonError:
        return ""
    missing = [what for what, found in parts.items() if found is None]
    return lacking(name, missing) if missing else ""
