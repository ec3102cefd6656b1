"""Answers without looking: what can be had from the words of a question and the habits of rooms.

A model that sees must beat these. They are fitted on training clips.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vega3d_ros.evaluation.heldout import ON_OBJECT, Grounding, Responses
from vega3d_ros.evaluation.metrics.simulated import NUMERIC_KINDS, UNKNOWN
from vega3d_ros.geometry import SE3, Box3D
from vega3d_ros.simulation.mentions import mentions
from vega3d_ros.simulation.questions import SEEN_PIXELS
from vega3d_ros.token_geometry import level
from vega3d_ros.training.samples import coverage, truth_boxes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from vega3d_ros.evaluation.heldout import Asked
    from vega3d_ros.simulation.dataset import ClipRecord

# Fewer training questions than this say nothing about a combination of labels.
_SUPPORT = 3
_CHOICE = re.compile(r"the ([a-z ]+) or the ([a-z ]+)\?$")
_CHOICE_KINDS = frozenset({"relative_distance", "appearance_order"})


def _labels(text: str) -> tuple[str, ...]:
    """Labels that a text speaks of, in order."""
    return tuple(mention.label for mention in mentions(text))


def _typical(kind: str, answers: Sequence[str]) -> str:
    """Median of numbers, else the most frequent answer (the first of equals by name).

    "unknown" only where nothing else was ever the answer: it scores only where it is the truth.
    """
    known = [answer for answer in answers if answer != UNKNOWN] or [UNKNOWN]
    if kind in NUMERIC_KINDS and known != [UNKNOWN]:
        middle = float(np.median([float(answer) for answer in known]))
        return f"{middle:.1f}" if kind == "absolute_distance" else f"{middle:.0f}"
    counts = Counter(known)
    return min(counts, key=lambda answer: (-counts[answer], answer))


class Constant:
    """One answer per kind of question; one token and one box for everything.

    Args:
        records: Training clips.
        grid: Rows and columns of a frame's visual tokens.
    """

    name = "constant"

    def __init__(self, records: Sequence[ClipRecord], grid: tuple[int, int]) -> None:
        by_kind: dict[str, list[str]] = defaultdict(list)
        for record in records:
            for q in record.truth["questions"]:
                by_kind[q["kind"]].append(q["answer"])
        self._answers = {kind: _typical(kind, answers) for kind, answers in by_kind.items()}
        self._grid = grid
        seen = _seen_by_label(records, grid)
        self._place = _Place.fit([one for label in sorted(seen) for one in seen[label]])

    def respond(
        self, record: ClipRecord, questions: Sequence[Asked], texts: Sequence[str]
    ) -> Responses:
        """See ``Candidate``."""
        answers = [self._answers.get(q.kind, UNKNOWN) for q in questions]
        grounding = self._place.grounding(record.truth)
        return Responses(answers, [grounding] * len(texts), self._grid)


class Blind:
    """Reads the question, never looks.

    The typical training answer to questions of the kind about the same labels, where there were
    enough; between two named things, the one that more often is the answer; else the kind's
    typical answer. A description gets its label's most frequent token and median box.

    Args:
        records: Training clips.
        grid: Rows and columns of a frame's visual tokens.
    """

    name = "blind statistics"

    def __init__(self, records: Sequence[ClipRecord], grid: tuple[int, int]) -> None:
        self._grid = grid
        answers: dict[tuple[Any, ...], list[str]] = defaultdict(list)
        wins, offers = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for record in records:
            for q in record.truth["questions"]:
                kind, answer = q["kind"], q["answer"]
                for key in self._keys(kind, q["question"]):
                    answers[key].append(answer)
                for option in _options(kind, q["question"]):
                    label = _labels(option)[0]
                    offers[kind, label] += 1
                    wins[kind, label] += option == answer
        self._typical = {
            key: _typical(key[0], found)
            for key, found in answers.items()
            if len(found) >= _SUPPORT or len(key) == 1
        }
        self._rate = {key: (wins[key] + 1) / (offers[key] + 2) for key in offers}
        seen = _seen_by_label(records, grid)
        self._places = {label: _Place.fit(found) for label, found in seen.items()}
        self._anywhere = _Place.fit([one for label in sorted(seen) for one in seen[label]])

    @staticmethod
    def _keys(kind: str, text: str) -> list[tuple[Any, ...]]:
        """From the most to the least special."""
        if kind in _CHOICE_KINDS:
            return [(kind,)]
        named = _labels(text)
        return [(kind, named), (kind, frozenset(named)), (kind,)]

    def respond(
        self, record: ClipRecord, questions: Sequence[Asked], texts: Sequence[str]
    ) -> Responses:
        """See ``Candidate``."""
        groundings = []
        for text in texts:
            named = _labels(text)
            place = self._places.get(named[0], self._anywhere) if named else self._anywhere
            groundings.append(place.grounding(record.truth))
        return Responses([self._answer(q) for q in questions], groundings, self._grid)

    def _answer(self, asked: Asked) -> str:
        options = _options(asked.kind, asked.text)
        if options:
            rates = [self._rate.get((asked.kind, _labels(o)[0]), 0.5) for o in options]
            return options[int(np.argmax(rates))]
        for key in self._keys(asked.kind, asked.text):
            if key in self._typical:
                return self._typical[key]
        return UNKNOWN


def _options(kind: str, text: str) -> list[str]:
    """The two things that a question offers as answers, if it does."""
    offered = _CHOICE.search(text) if kind in _CHOICE_KINDS else None
    return [option for option in offered.groups() if _labels(option)] if offered else []


class _Seen(NamedTuple):
    """An object seen in a clip, the clip's truth, and which tokens show it [T, rows, columns]."""

    item: Mapping[str, Any]
    truth: Mapping[str, Any]
    shown: NDArray[np.bool_]


def _seen_by_label(records: Iterable[ClipRecord], grid: tuple[int, int]) -> dict[str, list[_Seen]]:
    seen: dict[str, list[_Seen]] = defaultdict(list)
    for record in records:
        objects = record.truth["objects"]
        shown = np.stack([coverage(f, len(objects), *grid) for f in record.instance], axis=1)
        for item, tokens in zip(objects, shown >= ON_OBJECT, strict=True):
            if max(item["visible_pixels"]) >= SEEN_PIXELS:
                seen[item["label"]].append(_Seen(item, record.truth, tokens))
    return seen


class _Place:
    """Where objects mostly are: a token of the clip, and a box in that frame's levelled camera."""

    def __init__(self, token: tuple[int, int, int], box: Box3D) -> None:
        self.token, self.box = token, box

    @classmethod
    def fit(cls, seen: Sequence[_Seen]) -> _Place:
        """The token that shows most of the objects, and the median of their boxes in its frame."""
        votes = np.sum([one.shown for one in seen], axis=0)
        frame, row, column = (int(v) for v in np.unravel_index(votes.argmax(), votes.shape))
        in_frame = [s for s in seen if s.item["visible_pixels"][frame] >= SEEN_PIXELS] or seen
        boxes = [
            truth_boxes([item])[0].transformed(_levelled(truth, frame).inverse())
            for item, truth, _ in in_frame
        ]
        center = np.median([box.center for box in boxes], axis=0)
        size = np.median([box.size for box in boxes], axis=0)
        # Headings are alike modulo half a turn: their mean is that of the doubled angles.
        yaw = float(np.angle(np.mean([np.exp(2j * box.yaw) for box in boxes])) / 2)
        return cls((frame, row, column), Box3D.upright(center, size, yaw))

    def grounding(self, truth: Mapping[str, Any]) -> Grounding:
        """The place in a clip; of its truth only the camera's pose is read."""
        box = self.box.transformed(_levelled(truth, self.token[0]))
        return Grounding(box, self.token, box)


def _levelled(truth: Mapping[str, Any], frame: int) -> SE3:
    fixed_from_level = level(SE3.from_matrix(truth["poses"][frame]))[1]
    return fixed_from_level if fixed_from_level is not None else SE3.identity()
