"""Settings from JSON and YAML: dataclasses whose values are all checked, or one sentence.

A settings type is a dataclass, or a ``pydantic.dataclasses.dataclass`` with ``STRICT``, which is
also checked where code makes one. Ranges are ``Annotated[int, Field(ge=0)]``.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.core.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_core import ErrorDetails

T = TypeVar("T")

STRICT = ConfigDict(strict=True, extra="forbid")
"""Values keep their type, and names that do not exist are refused."""

_LONGEST_VALUE = 60
_UNKNOWN = "unexpected_keyword_argument"


class SettingsError(Vega3dError, ValueError):
    """Settings that cannot be used; the message names the first wrong one."""


def read_settings(kind: type[T], values: object, what: str = "") -> T:
    """A settings dataclass from the plain values of a JSON or YAML file.

    Args:
        kind: The dataclass; it may hold others.
        values: Its settings by name; absent ones take their defaults.
        what: What the settings belong to, as errors name it (``prior`` in ``prior.width``).

    Raises:
        SettingsError: If a name is unknown or missing, or a value has the wrong type or range.
    """
    try:
        # By way of JSON, in which a list is a tuple and 3 is a float, but "3" is no number.
        text = json.dumps(values, default=str)
        return TypeAdapter(kind).validate_json(text, strict=True, extra="forbid")
    except ValidationError as error:
        found = error.errors(include_url=False)
        # A misspelt name comes before the one that is then missing.
        details = next((d for d in found if d["type"] == _UNKNOWN), found[0])
        raise SettingsError(_sentence(kind, details, what)) from error


def _sentence(kind: type, details: ErrorDetails, what: str) -> str:
    """What pydantic found, as one sentence that names the setting."""
    place = details["loc"]
    path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in place)
    path = (what + path).removeprefix(".") or "the file"
    if details["type"] == "missing":
        return f"{path} is missing"
    if details["type"] == _UNKNOWN:
        known = [field.name for field in fields(cast("Any", _kind_at(kind, place[:-1])))]
        near = nearest(str(place[-1]), known)
        hint = f" (did you mean {near}?)" if near else ""
        return f"unknown setting {path}{hint}; known: {', '.join(known)}"
    if details["type"] == "value_error":
        return str(details["ctx"]["error"])
    if details["type"] == "dataclass_type":
        return f"{path} must hold settings by name, not {_short(details['input'])}"
    said = re.sub(r"^\w+ should ", "must ", details["msg"])
    return f"{path} {said}, not {_short(details['input'])}"


def _kind_at(kind: type, place: Sequence[int | str]) -> type:
    """The dataclass at a place below another one."""
    for part in place:
        hint = get_type_hints(kind)[str(part)]
        kind = next(t for t in (hint, *get_args(hint)) if isinstance(t, type) and is_dataclass(t))
    return kind


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
