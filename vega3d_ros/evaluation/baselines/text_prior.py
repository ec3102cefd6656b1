"""Answers guessed from the words of a question alone, fitted on answered questions."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from vega3d_ros.evaluation.metrics.simulated import NUMERIC_KINDS, UNKNOWN
from vega3d_ros.simulation.object_mentions import mentions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Least number of questions about a combination of labels.
_SUPPORT = 3
_CHOICE = re.compile(r"the ([a-z ]+) or the ([a-z ]+)\?$")
_CHOICE_KINDS = frozenset({"relative_distance", "appearance_order"})


@cache
def labels(text: str) -> tuple[str, ...]:
    """Labels that a text names, in order."""
    return tuple(mention.label for mention in mentions(text))


def typical(kind: str, answers: Sequence[str]) -> str:
    """The median of numbers, else the most frequent answer (of equals the first by name).

    "unknown" only where there is no other answer, because it scores only where it is the truth.
    """
    known = [answer for answer in answers if answer != UNKNOWN] or [UNKNOWN]
    if kind in NUMERIC_KINDS and known != [UNKNOWN]:
        middle = float(np.median([float(answer) for answer in known]))
        return f"{middle:.1f}" if kind == "absolute_distance" else f"{middle:.0f}"
    return most_frequent(known)


def most_frequent(answers: Iterable[str]) -> str:
    """The first by name of those that are equally frequent; empty where there are none."""
    counts = Counter(answers)
    return min(counts, key=lambda answer: (-counts[answer], answer), default="")


class TextPrior:
    """Guesses answers, fitted on answered questions: kind, text and true answer of each.

    The guess is the typical answer to questions of the kind about the same labels, where there are
    enough; between two named objects, the one that more often is the answer; else the typical
    answer to the kind.
    """

    def __init__(self, known: Iterable[tuple[str, str, str]]) -> None:
        answers: dict[tuple[Any, ...], list[str]] = defaultdict(list)
        wins, offers = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for kind, question, answer in known:
            for key in _keys(kind, question):
                answers[key].append(answer)
            for option in _options(kind, question):
                label = labels(option)[0]
                offers[kind, label] += 1
                wins[kind, label] += option == answer
        self._typical = {
            key: typical(key[0], found)
            for key, found in answers.items()
            if len(found) >= _SUPPORT or len(key) == 1
        }
        self._rate = {key: (wins[key] + 1) / (offers[key] + 2) for key in offers}

    def answer(self, kind: str, question: str) -> str | None:
        """The likeliest answer; None to a kind of question that was never met."""
        if (kind,) not in self._typical:
            return None
        options = _options(kind, question)
        if options:
            rates = [self._rate.get((kind, labels(option)[0]), 0.5) for option in options]
            return options[int(np.argmax(rates))]
        return next(self._typical[key] for key in _keys(kind, question) if key in self._typical)


def _keys(kind: str, question: str) -> list[tuple[Any, ...]]:
    """From the most to the least special."""
    if kind in _CHOICE_KINDS:
        return [(kind,)]
    named = labels(question)
    return [(kind, named), (kind, frozenset(named)), (kind,)]


def _options(kind: str, question: str) -> list[str]:
    """The two things that a question offers as answers, if it does."""
    offered = _CHOICE.search(question) if kind in _CHOICE_KINDS else None
    return [option for option in offered.groups() if labels(option)] if offered else []
