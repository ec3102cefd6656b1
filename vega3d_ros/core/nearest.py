"""The known name that somebody meant, for messages about one that is not known."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like this one, whatever the case; empty where none is like it."""
    by_lower = {one.lower(): one for one in known}
    near = get_close_matches(name.lower(), by_lower, 1)
    return by_lower[near[0]] if near else ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What to put behind an unknown name: `` (did you mean 'cpu'?)``, or nothing."""
    near = nearest(name, known)
    return f" (did you mean {near!r}?)" if near else ""
