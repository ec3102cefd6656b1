"""What the prompts of text detectors have in common."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ENDS = re.compile(r"[.?!;:,]+")
_ARTICLE = re.compile(r"^(?:a|an|the) ")


def phrase(text: str) -> str:
    """Lower case, one space between words, no punctuation that would end a phrase."""
    return " ".join(_ENDS.sub(" ", text.lower()).split())


def without_article(text: str) -> str:
    """A phrase that an article can be put before."""
    return _ARTICLE.sub("", text)


def passes(lengths: Sequence[int], limit: int) -> Iterator[range]:
    """Which texts go together: as many as fit, in order.

    Args:
        lengths: Tokens of each text, with what divides it from the next.
        limit: Tokens of one prompt; a longer text has a prompt of its own.
    """
    start, total = 0, 0
    for index, length in enumerate(lengths):
        if index > start and total + length > limit:
            yield range(start, index)
            start, total = index, 0
        total += length
    if start < len(lengths):
        yield range(start, len(lengths))
