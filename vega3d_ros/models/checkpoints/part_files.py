"""Files and folders of networks that are kept beside models, which share them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vega3d_ros.models.checkpoints.model_paths import VARIABLE, detector_folders, first_found
from vega3d_ros.models.checkpoints.modules import CheckpointError
from vega3d_ros.models.checkpoints.published import PUBLISHED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def find_part(what: str, names: Sequence[str], model: Path) -> Path:
    """The first of a part's names that is anywhere.

    Args:
        what: What it is, in words.
        names: One is enough.
        model: The folder of the model that needs it.

    Raises:
        CheckpointError: If it is nowhere; the message says what to do.
    """
    folders = detector_folders(model)
    if (found := first_found(names, folders)) is not None:
        return found
    known = [PUBLISHED[name] for name in names if name in PUBLISHED]
    get_it = f"run `vega3d download {model.name}`" if known else "get it from its authors"
    published = f" (published at {', '.join(one.url for one in known)})" if known else ""
    msg = (
        f"model {model.name} needs {what}, {' or '.join(names)}{published}, and it is in none of "
        f"{', '.join(map(str, folders))}; {get_it}, or set {VARIABLE}=FOLDER"
        f"[{os.pathsep}FOLDER...] to where it lies"
    )
    raise CheckpointError(msg)
