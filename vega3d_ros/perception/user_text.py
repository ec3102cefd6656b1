"""Questions and descriptions as people type them."""

from __future__ import annotations

from vega3d_ros.core.objects import LONGEST_TEXT
from vega3d_ros.perception.errors import PerceiverError


def cleaned(text: str, what: str) -> str:
    """A text without spaces that say nothing; its lines stay.

    Args:
        text: As typed.
        what: What it is, for the error.

    Raises:
        PerceiverError: If it is empty or too long.
    """
    lines = (" ".join(line.split()) for line in text.splitlines())
    kept = "\n".join(line for line in lines if line)
    if not kept:
        msg = f"the {what} is empty"
        raise PerceiverError(msg)
    if len(kept) > LONGEST_TEXT:
        msg = f"the {what} has {len(kept)} characters; {LONGEST_TEXT} are allowed"
        raise PerceiverError(msg)
    return kept
