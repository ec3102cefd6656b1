"""A file from the web: goes on where an earlier try broke off, and has the known checksum."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from vega3d_ros.models.checkpoints.modules import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT_S = 60
_BLOCK = 1 << 16
_TRIES = 10
_COMPLETE = 416  # the range asked for begins at the file's end, or behind it


Progress = Callable[[int, "int | None"], None]
"""Told how many bytes are there, and how many there will be; None where unknown."""


def part_of(file: Path) -> Path:
    """Where a file lies until it is complete; of the same suffix."""
    return file.with_name(f"{file.stem}.part{file.suffix}")


def fetch(url: str, file: Path, *, sha256: str, progress: Progress) -> None:
    """Download a file to ``part_of`` it; a part that is there already is gone on with.

    A connection that breaks off is taken up again as long as each try brings something. Where a
    part and what was added to it do not fit together, the file is fetched once more from its
    beginning.

    Args:
        url: Where it is.
        file: Where it will lie, once its user has accepted it.
        sha256: Of its content, in hexadecimal; empty where none is known.
        progress: Told after each block.

    Raises:
        CheckpointError: If it cannot be had, or is not the file that is meant.
    """
    part = part_of(file)
    part.parent.mkdir(parents=True, exist_ok=True)
    resumed = _size(part) > 0
    _complete(url, part, progress)
    if sha256 and resumed and sha256_of(part) != sha256:
        part.unlink()
        _complete(url, part, progress)
    if sha256 and (found := sha256_of(part)) != sha256:
        part.unlink()
        msg = (
            f"{url} does not give the file that is known: its SHA-256 is {found}, not {sha256}; "
            "nothing of it was kept"
        )
        raise CheckpointError(msg)


def _complete(url: str, part: Path, progress: Progress) -> None:
    for _ in range(_TRIES):
        before = _size(part)
        try:
            _append(url, part, progress)
        except HTTPError as error:
            raise _failure(url, part, error) from error
        except (OSError, HTTPException) as error:
            if _size(part) <= before:
                raise _failure(url, part, error) from error
        else:
            return
    msg = f"{url} broke off {_TRIES} times{_rest(part)}"
    raise CheckpointError(msg)


def _append(url: str, part: Path, progress: Progress) -> None:
    """Add what is missing, or start over where the server gives whole files only.

    Raises:
        OSError: If it cannot be had, or ends before its length.
    """
    start = _size(part)
    headers = {"Range": f"bytes={start}-"} if start else {}
    request = Request(url, headers=headers)  # noqa: S310 - of the published files, https
    try:
        answer: HTTPResponse = urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310
    except HTTPError as error:
        if error.code != _COMPLETE or not start:
            raise
        if error.headers.get("Content-Range", "") != f"bytes */{start}":
            part.unlink()  # longer than the file, so not of it
            _append(url, part, progress)
        return
    with answer:
        given = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range") or "")
        goes_on = answer.status == 206 and given is not None and int(given[1]) == start
        if answer.status == 206 and not goes_on:
            msg = f"it gives bytes from {given[1] if given else '?'} on, not from {start}"
            raise OSError(msg)
        done = start if goes_on else 0
        length = answer.headers.get("Content-Length")
        total = None if length is None else done + int(length)
        with part.open("ab" if goes_on else "wb") as out:
            while block := answer.read(_BLOCK):
                out.write(block)
                done += len(block)
                progress(done, total)
    if total is not None and done < total:
        msg = f"it broke off after {done} of {total} bytes"
        raise ConnectionError(msg)


def _failure(url: str, part: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{url} cannot be downloaded: {error}{_rest(part)}")


def _rest(part: Path) -> str:
    if not (size := _size(part)):
        return ""
    return f"; {size} bytes are kept in {part}: the same command goes on from there"


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


def sha256_of(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
