"""Answers guessed without images: from the kind of a question, or from its words."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from vega3d_ros.evaluation.metrics.simulated import UNKNOWN, answer_score
from vega3d_ros.simulation.object_mentions import mentions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Least number of questions about a combination of labels.
_SUPPORT = 3
_CHOICE = re.compile(r"the ([a-z ]+) or the ([a-z ]+)\?$")
_CHOICE_KINDS = frozenset({"relative_distance", "appearance_order"})
_score = cache(answer_score)


@cache
def labels(text: str) -> tuple[str, ...]:
    """Labels that a text names, in order."""
    return tuple(mention.label for mention in mentions(text))


def best_answer(kind: str, answers: Sequence[str]) -> str:
    """The answer among them that, given to all their questions, scores best.

    Of equals the first by name; "unknown" only where there is no other answer, because it scores
    only where it is the truth.
    """
    counts = _counts(answers)
    return max(sorted(counts), key=lambda guess: _total(kind, guess, counts))


def _counts(answers: Iterable[str]) -> Counter[str]:
    return Counter(answer for answer in answers if answer != UNKNOWN) or Counter([UNKNOWN])


def _total(kind: str, guess: str, truths: Counter[str]) -> float:
    return sum(count * _score(kind, guess, truth) for truth, count in truths.items())


def most_frequent(answers: Iterable[str]) -> str:
    """The first by name of those that are equally frequent; empty where there are none."""
    counts = Counter(answers)
    return min(counts, key=lambda answer: (-counts[answer], answer), default="")


class ConstantRules:
    """Guesses that hang on nothing but the kind of a question; the baseline of habits.

    Of each kind that rule is taken which scores best on answered questions (kind, text and true
    answer of each): one answer for all, or the first or the second of the things that a question
    offers. Of equals the place.
    """

    def __init__(self, known: Iterable[tuple[str, str, str]]) -> None:
        asked: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for kind, question, answer in known:
            asked[kind].append((question, answer))
        self._rules = {kind: _best_rule(kind, pairs) for kind, pairs in asked.items()}

    def answer(self, kind: str, question: str) -> str | None:
        """The answer by the kind's rule; None to a kind of question that was never met."""
        rule = self._rules.get(kind)
        return _offered(question, rule) if isinstance(rule, int) else rule


def _best_rule(kind: str, asked: Sequence[tuple[str, str]]) -> str | int:
    """An answer, or the place of the answer among the things that a question offers."""
    scores: dict[str | int, float] = {
        place: sum(
            _score(kind, _offered(question, place), truth)
            for question, truth in asked
            if truth != UNKNOWN
        )
        for place in (0, 1)
    }
    truths = [truth for _, truth in asked]
    answer = best_answer(kind, truths)
    scores[answer] = _total(kind, answer, _counts(truths))
    return max(scores, key=scores.__getitem__)


def _offered(question: str, place: int) -> str:
    offered = _CHOICE.search(question)
    return offered[place + 1] if offered else UNKNOWN


class TextPrior:
    """Guesses answers, fitted on answered questions: kind, text and true answer of each.

    The guess is the best answer to questions of the kind about the same labels, where there are
    enough; between two named objects, the one that more often is the answer; else the best answer
    to the kind.
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
        self._best = {
            key: best_answer(key[0], found)
            for key, found in answers.items()
            if len(found) >= _SUPPORT or len(key) == 1
        }
        self._rate = {key: (wins[key] + 1) / (offers[key] + 2) for key in offers}

    def answer(self, kind: str, question: str) -> str | None:
        """The likeliest answer; None to a kind of question that was never met."""
        if (kind,) not in self._best:
            return None
        options = _options(kind, question)
        if options:
            rates = [self._rate.get((kind, labels(option)[0]), 0.5) for option in options]
            return options[int(np.argmax(rates))]
        return next(self._best[key] for key in _keys(kind, question) if key in self._best)


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
