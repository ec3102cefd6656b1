"""What of a recording cannot be read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

_MOST_TOPICS = 4


class _Loss(NamedTuple):
    where: str
    what: str
    messages: Mapping[str, int]


class Damage:
    """Counts losses. One that is met again, as in a second reading, is counted once."""

    def __init__(self) -> None:
        self._losses: dict[Hashable, _Loss] = {}

    def add(self, key: Hashable, where: str, what: str, messages: Mapping[str, int]) -> None:
        """Count a loss.

        Args:
            key: Tells it from all others.
            where: Name of the file or topic.
            what: What is wrong there; losses with the same words are told together.
            messages: How many messages are lost, by topic; empty where that is not known.
        """
        self._losses.setdefault(key, _Loss(where, what, messages))

    def sentences(self) -> tuple[str, ...]:
        """All losses, in the order in which they were met."""
        groups: dict[tuple[str, str], list[_Loss]] = {}
        for loss in self._losses.values():
            groups.setdefault((loss.where, loss.what), []).append(loss)
        return tuple(
            f"{where}: {f'{len(losses)} times: ' if len(losses) > 1 else ''}{what}{_lost(losses)}"
            for (where, what), losses in groups.items()
        )


def _lost(losses: list[_Loss]) -> str:
    counts: Counter[str] = Counter()
    for loss in losses:
        counts.update(loss.messages)
    if not counts:
        return ""
    told = [f"{number} of {topic}" for topic, number in counts.most_common(_MOST_TOPICS)]
    more = f" and of {len(counts) - _MOST_TOPICS} other topics" if len(counts) > len(told) else ""
    return f"; messages lost: {', '.join(told)}{more}"
