"""A folder from the Hugging Face hub that appears whole, each file compared with a checksum."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING, Any

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (
    DryRunError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)

from vega3d_ros.models.checkpoints.hub import FILES
from vega3d_ros.models.checkpoints.modules import CheckpointError
from vega3d_ros.models.checkpoints.resumable import sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from huggingface_hub import DryRunFileInfo

    from vega3d_ros.models.checkpoints.published import PublishedFolder

_FAILURES = (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, DryRunError, OSError)
_NOTES = ".cache"  # of the hub's library, beside what it fetches
_SHA256_DIGITS = 64


def fetch_folder(published: PublishedFolder, folder: Path, say: Callable[[str], None]) -> None:
    """Download a repository; what an earlier try has brought is kept.

    Args:
        published: Which one.
        folder: Where it goes. Until it is complete, all lies in a folder beside it.
        say: Told what was compared with which checksum.

    Raises:
        CheckpointError: If it cannot be had, or a file is not the one that is meant.
    """
    part = folder.with_name(f"{folder.name}.part")
    commit = download_files(published.repository, part, FILES, published.revision)
    known = _known_checksums(part)
    unverified = _compare(part, {**known, **published.sha256}, published.url)
    if published.revision:
        say(f"  commit {published.revision}, as pinned")
    else:
        say(f"  commit {commit}: none is pinned, so this is its newest")
    if unverified:
        say(f"  not verified, as no checksum is known: {', '.join(unverified)}")
    else:
        say("  every file has the checksum that is published for it")
    shutil.rmtree(part / _NOTES, ignore_errors=True)
    part.rename(folder)


def download_files(
    repository: str, folder: Path, patterns: Sequence[str], revision: str = ""
) -> str:
    """Download files of a repository; what is there already is kept, what broke off goes on.

    Without a network the hub's library returns a folder that is not complete, so it is asked
    first which files there are.

    Returns:
        The commit.

    Raises:
        CheckpointError: If it cannot be had whole.
    """
    options: dict[str, Any] = {"allow_patterns": list(patterns), "local_dir": folder}
    try:
        listed: list[DryRunFileInfo] = snapshot_download(
            repository, revision=revision or None, dry_run=True, **options
        )
        commit = listed[0].commit_hash if listed else ""
        if listed:
            snapshot_download(repository, revision=commit, **options)
    except _FAILURES as error:
        raise CheckpointError(_why(repository, error)) from error
    missing = [
        one.filename
        for one in listed
        if not (file := folder / one.filename).is_file()
        or one.file_size not in {None, file.stat().st_size}
    ]
    if missing or not listed:
        what = f"{', '.join(missing)} did not come whole" if missing else "it holds no such files"
        msg = f"{repository} cannot be downloaded: {what}; run the same command again"
        raise CheckpointError(msg)
    return commit


def _why(repository: str, error: Exception) -> str:
    """One sentence on a repository that could not be downloaded."""
    if constants.HF_HUB_OFFLINE:
        return f"{repository} cannot be downloaded: HF_HUB_OFFLINE is set; unset it to download"
    if isinstance(error, DryRunError):
        cause = error.__cause__ or error
        return (
            f"{repository} cannot be downloaded: the hub cannot be reached "
            f"({type(cause).__name__}: {cause}); connect this machine, or copy the folder from "
            "another one"
        )
    return f"{repository} cannot be downloaded: {error}"


def _known_checksums(part: Path) -> dict[str, str]:
    """What the hub said of each file: SHA-256 of large ones, git's name of others."""
    notes = part / _NOTES / "huggingface" / "download"
    known = {}
    for note in sorted(notes.rglob("*.metadata")):
        if len(lines := note.read_text(encoding="utf-8").split()) >= 2:
            known[str(note.relative_to(notes)).removesuffix(".metadata")] = lines[1]
    return known


def _compare(part: Path, known: Mapping[str, str], url: str) -> list[str]:
    """The files for which there is no checksum.

    Raises:
        CheckpointError: If a file has another one; it is deleted.
    """
    unverified = []
    for file in sorted(part.rglob("*")):
        name = file.relative_to(part)
        if not file.is_file() or name.parts[0] == _NOTES:
            continue
        if (expected := known.get(str(name))) is None:
            unverified.append(str(name))
        elif (found := _checksum(file, sha256=len(expected) == _SHA256_DIGITS)) != expected:
            file.unlink()
            msg = (
                f"{url} does not give the {name} that is known: its checksum is {found}, not "
                f"{expected}; it was deleted, and the same command fetches it again"
            )
            raise CheckpointError(msg)
    return unverified


def _checksum(file: Path, *, sha256: bool) -> str:
    """SHA-256, or the name that git gives to the content."""
    return sha256_of(file) if sha256 else git_blob(file.read_bytes())


def git_blob(content: bytes) -> str:
    """The name that git gives to a file's content."""
    head = b"blob %d\0" % len(content)
    return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()
