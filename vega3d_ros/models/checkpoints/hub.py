"""Model folders on the Hugging Face hub: found in its cache, downloaded when asked, uploaded."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)

from vega3d_ros.models.checkpoints.modules import CheckpointError
from vega3d_ros.models.checkpoints.save import save_modules

if TYPE_CHECKING:
    from vega3d_ros.models.checkpoints.modules import Modules

FILES = ("*.safetensors", "*.json", "*.txt", "*.jinja", "*.md")
"""What is taken from the hub: no pickles, and nothing that could be run."""

_FAILURES = (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError)


def is_hub_id(name: str | Path) -> bool:
    """Whether a name has the form of a repository on the hub, ``organisation/name``."""
    return isinstance(name, str) and re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name) is not None


def hub_folder(
    name: str, *, revision: str | None = None, download: bool = False, to: Path | None = None
) -> Path:
    """The folder of a model on the hub.

    Args:
        name: ``organisation/name``.
        revision: Branch, tag or commit; None for the newest known.
        download: Ask the hub for what is not in its cache on this machine.
        to: Where downloaded files go instead of the hub's cache.

    Raises:
        CheckpointError: If it is not here, or cannot be downloaded.
    """
    what = f"{name} at {revision}" if revision else name
    try:
        folder = snapshot_download(
            name,
            revision=revision,
            allow_patterns=list(FILES),
            local_files_only=not download,
            local_dir=to,
        )
    except (*_FAILURES, HFValidationError) as error:
        if download:
            msg = f"model {what} cannot be downloaded: {error}"
        else:
            given = f" --revision {revision}" if revision else ""
            msg = (
                f"model {what} is not on this machine; run `vega3d download {name}{given}`, or "
                "give download=True"
            )
        raise CheckpointError(msg) from error
    return Path(folder)


def push_to_hub(
    modules: Modules, name: str, *, private: bool = False, message: str = "Upload model"
) -> str:
    """Write a model and its card to the hub, by the account that is logged in there.

    Args:
        modules: The model.
        name: ``organisation/name``; made where it does not exist.
        private: Whether a new repository is private.
        message: Of the commit.

    Returns:
        The address of the commit.

    Raises:
        CheckpointError: If it is an official checkpoint, or the hub refuses it.
    """
    api = HfApi()
    with TemporaryDirectory() as folder:
        save_modules(modules, Path(folder), name=name)
        try:
            api.create_repo(name, private=private, exist_ok=True)
            commit = api.upload_folder(repo_id=name, folder_path=folder, commit_message=message)
        except (*_FAILURES, HFValidationError) as error:
            msg = f"model {name} cannot be uploaded: {error}; log in with `hf auth login`"
            raise CheckpointError(msg) from error
    return str(commit)
