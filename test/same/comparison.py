"""Compares trees of outputs: texts and counts exactly, floats relative to their magnitude.

A tree is made of dictionaries, lists, arrays and plain values. Numbers that stand together, as in
an array or in a list of floats, are one group: their differences are measured against the largest
magnitude among them, so that a coordinate near zero is held to the scale of its vector.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

NEAR_ZERO = 1e-2
"""A group of smaller numbers counts as one of this magnitude."""


@dataclass
class Comparison:
    """What a comparison found.

    Attributes:
        values: Values compared.
        largest: The largest relative difference of floats.
        where: Its path.
        identical: Whether all floats are equal bit for bit.
        differences: In words, each with its path; empty where the outputs are equal.
        added: Paths of fields that only the present outputs have, which is no difference.
    """

    values: int = 0
    largest: float = 0.0
    where: str = ""
    identical: bool = True
    differences: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)


def compare(
    stored: Any,
    present: Any,
    *,
    tolerance: float,
    renamed: Mapping[str, str | None] | None = None,
) -> Comparison:
    """Compare outputs with stored ones.

    Args:
        stored: The tree of stored outputs.
        present: The tree of present outputs.
        tolerance: Relative difference of floats that still counts as equal.
        renamed: Present names of fields by their stored names; None for a field that is gone.
    """
    found = Comparison()
    _Walk(found, tolerance, renamed or {}).nodes(stored, present, "")
    return found


class _Walk:
    def __init__(
        self, found: Comparison, tolerance: float, renamed: Mapping[str, str | None]
    ) -> None:
        self._found, self._tolerance, self._renamed = found, tolerance, renamed

    def nodes(self, stored: Any, present: Any, path: str) -> None:
        if isinstance(stored, dict) and isinstance(present, dict):
            self._fields(stored, present, path)
            return
        numbers, others = floats(stored), floats(present)
        if (numbers is None) != (others is None):
            # What is whole by chance is written as a count.
            numbers, others = _numbers(stored), _numbers(present)
        if numbers is not None and others is not None:
            self._group(numbers, others, path)
        elif isinstance(stored, list) and isinstance(present, list):
            self._items(stored, present, path)
        else:
            self._found.values += 1
            if type(stored) is not type(present) or stored != present:
                self._differ(path, f"{stored!r} was stored, {present!r} is here")

    def _fields(self, stored: dict[str, Any], present: dict[str, Any], path: str) -> None:
        known = set()
        for old, value in stored.items():
            name = self._renamed.get(old, old)
            if name is None:
                continue
            known.add(name)
            if name in present:
                self.nodes(value, present[name], _below(path, name))
            else:
                self._differ(_below(path, name), "was stored, is missing")
        self._found.added += [_below(path, name) for name in present if name not in known]

    def _items(self, stored: list[Any], present: list[Any], path: str) -> None:
        self._found.values += 1
        if len(stored) != len(present):
            self._differ(path, f"{len(stored)} items were stored, {len(present)} are here")
            return
        for index, (one, other) in enumerate(zip(stored, present, strict=True)):
            self.nodes(one, other, _below(path, str(index)))

    def _group(self, stored: NDArray[np.float64], present: NDArray[np.float64], path: str) -> None:
        self._found.values += stored.size
        if stored.shape != present.shape:
            self._differ(path, f"shape {stored.shape} was stored, {present.shape} is here")
            return
        if np.array_equal(stored, present, equal_nan=True):
            return
        self._found.identical = False
        finite = np.isfinite(stored)
        same = np.array_equal(stored[~finite], present[~finite], equal_nan=True)
        if not (same and np.isfinite(present[finite]).all()):
            self._differ(path, "other values are missing or infinite")
            return
        magnitude = max(float(np.abs(stored[finite]).max()), NEAR_ZERO)
        apart = np.where(finite, np.abs(stored - present), 0.0)
        relative = float(apart.max()) / magnitude
        if relative > self._found.largest:
            self._found.largest, self._found.where = relative, path
        if relative > self._tolerance:
            worst = np.unravel_index(int(apart.argmax()), apart.shape)
            one, other = float(stored[worst]), float(present[worst])
            self._differ(path, f"{one:.7g} was stored, {other:.7g} is here ({relative:.1e})")

    def _differ(self, path: str, words: str) -> None:
        self._found.differences.append(f"{path or 'all'}: {words}")


def floats(value: Any) -> NDArray[np.float64] | None:
    """A float, an array, or nested lists of numbers with a float among them; None for others."""
    if isinstance(value, float | np.ndarray):
        return np.asarray(value, np.float64)
    if isinstance(value, list) and value and _holds_float(value):
        return _numbers(value)
    return None


def _numbers(value: Any) -> NDArray[np.float64] | None:
    if isinstance(value, np.ndarray):
        return np.asarray(value, np.float64)
    if not _is_numeric(value):
        return None
    try:
        return np.array(value, np.float64)
    except ValueError:  # lists of different lengths
        return None


def _is_numeric(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(_is_numeric(item) for item in value)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _holds_float(value: Any) -> bool:
    if isinstance(value, list):
        return any(_holds_float(item) for item in value)
    return isinstance(value, float)


def _below(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
