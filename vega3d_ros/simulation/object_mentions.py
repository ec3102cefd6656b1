"""The objects that a text names."""

from __future__ import annotations

import re
from typing import NamedTuple

from vega3d_ros.simulation.primitives import COLORS
from vega3d_ros.simulation.questions import plural
from vega3d_ros.simulation.rooms import LABELS


class Mention(NamedTuple):
    """Words that name an object or a kind of object.

    Attributes:
        label: The label, singular.
        color: The colour named before it, or None.
        end: Index in the text behind the last character.
    """

    label: str
    color: str | None
    end: int


_LABEL_OF = {form: label for label in LABELS for form in (label, plural(label))}
_MENTION = re.compile(
    rf"\b(?:({'|'.join(COLORS)}) )?("
    + "|".join(sorted(map(re.escape, _LABEL_OF), key=len, reverse=True))
    + r")\b"
)


def mentions(text: str) -> tuple[Mention, ...]:
    """The objects that a text names, in order."""
    return tuple(
        Mention(_LABEL_OF[found[2]], found[1], found.end())
        for found in _MENTION.finditer(text.lower())
    )
