"""Files that hold one JSON object, wherever they come from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.errors import Vega3dError

if TYPE_CHECKING:
    from pathlib import Path


class JsonError(Vega3dError, ValueError):
    """A file that holds no JSON object; the message names it."""


def read_object(file: Path) -> dict[str, Any]:
    """The JSON object that a file holds.

    Raises:
        JsonError: If it cannot be read, or is something else.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except RecursionError as error:
        msg = f"{file} is nested too deeply"
        raise JsonError(msg) from error
    except (OSError, ValueError) as error:
        msg = f"{file} cannot be read: {error}"
        raise JsonError(msg) from error
    if not isinstance(value, dict):
        msg = f"{file} must hold a JSON object"
        raise JsonError(msg)
    return value
