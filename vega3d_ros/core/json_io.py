"""Files that hold JSON, and files that are replaced as a whole."""

from __future__ import annotations

import json
import math
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.errors import Vega3dError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class JsonError(Vega3dError, ValueError):
    """A file that does not hold the JSON it must; the message names it."""


def read_json(file: Path) -> Any:
    """The JSON value that a file holds.

    Raises:
        JsonError: If it cannot be read.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except RecursionError as error:
        msg = f"{file} is nested too deeply"
        raise JsonError(msg) from error
    except (OSError, ValueError) as error:
        msg = f"{file} cannot be read: {error}"
        raise JsonError(msg) from error


def read_object(file: Path) -> dict[str, Any]:
    """The JSON object that a file holds.

    Raises:
        JsonError: If it cannot be read, or is something else.
    """
    value = read_json(file)
    if not isinstance(value, dict):
        msg = f"{file} must hold a JSON object"
        raise JsonError(msg)
    return value


def read_lines(file: Path, *, mend: bool = False) -> list[dict[str, Any]]:
    """The JSON objects that a file holds, one a line; a last line that was cut short is left out.

    Args:
        file: The file.
        mend: Make the file end after its last whole line, so that more can be appended.

    Raises:
        JsonError: If it cannot be read, or another line is no JSON object.
    """
    try:
        data = file.read_bytes()
        lines = data.splitlines()
        found = {number: _object(line) for number, line in enumerate(lines, 1) if line.strip()}
        if found.get(len(lines), {}) is None:  # cut short
            del found[len(lines)], lines[-1]
        bad = next((number for number, row in found.items() if row is None), 0)
        whole = b"".join(line + b"\n" for line in lines)
        if mend and not bad and whole != data:
            with replacing(file) as scratch:
                scratch.write_bytes(whole)
    except OSError as error:
        msg = f"{file} cannot be read: {error}"
        raise JsonError(msg) from error
    if bad:
        msg = f"{file}, line {bad} is no JSON object; delete the line or the file"
        raise JsonError(msg)
    return [row for row in found.values() if row is not None]


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (RecursionError, ValueError):
        return None
    return row if isinstance(row, dict) else None


def write_json(file: Path, value: Any, indent: int | None = 1) -> None:
    """Write a JSON value so that a reader never sees half of it."""
    with replacing(file) as scratch:
        scratch.write_text(json.dumps(value, indent=indent) + "\n", encoding="utf-8")


def finite(value: Any) -> Any:
    """The same without NaN and infinity, which JSON does not know."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A scratch file of the same suffix, which takes the place of ``file`` if all goes well."""
    scratch = file.with_name(f".{os.getpid()}.{file.name}")
    try:
        yield scratch
        scratch.replace(file)
    finally:
        scratch.unlink(missing_ok=True)
