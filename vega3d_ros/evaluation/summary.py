"""From scored rows to figures with intervals, each beside its baselines."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vega3d_ros.evaluation.metrics.intervals import (
    NOTHING,
    Estimate,
    macro_mean,
    mean_over_clips,
    median_over_clips,
)
from vega3d_ros.evaluation.metrics.simulated import UNKNOWN, answer_score
from vega3d_ros.evaluation.results import RIGHT_IOU, claim_place, typical_place
from vega3d_ros.evaluation.scoring import typical
from vega3d_ros.evaluation.text_prior import TextPrior

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from vega3d_ros.core.geometry import Box3D
    from vega3d_ros.evaluation.schema import AnswerRow, ClaimRow, ObjectRow, ResultRows

# With fewer recordings, parts of recordings are resampled.
_ENOUGH_BAGS = 5
_PART_S = 10.0
MEAN = "mean of the kinds"
METRES = "median centre error, m"
_EDGES: Mapping[str, tuple[float, ...]] = {
    "distance": (0.0, 1.5, 3.0, 5.0, np.inf),
    "size": (0.0, 0.5, 1.0, 2.0, np.inf),
    "visibility": (0.0, 0.01, 0.05, 0.15, np.inf),
}
_UNITS = {"distance": "m", "size": "m", "visibility": "of the image"}
_CONFIDENCE_EDGES = np.linspace(0.0, 1.0, 6)


class Figure(NamedTuple):
    """A figure of the model and of two baselines without images; each may have no values.

    Attributes:
        model: The model.
        blind: The baseline that reads the words: the question, or the label of an object.
        constant: The baseline with one answer for each kind of question, or for all objects.
    """

    model: Estimate
    blind: Estimate = NOTHING
    constant: Estimate = NOTHING


class Bin(NamedTuple):
    """How often claims of one confidence are right."""

    low: float
    high: float
    confidence: float
    right: Estimate


@dataclass(frozen=True)
class Summary:
    """All figures that need ground truth.

    Attributes:
        answers: By kind of question.
        objects: Figures of the objects that scenes show.
        by: "distance", "size" and "visibility": share found with an overlap of a quarter, by bin.
        calibration: "objects" and "answers": bins of confidence.
        resampled: The units that the intervals resample, in words.
    """

    answers: Mapping[str, Figure]
    objects: Mapping[str, Figure]
    by: Mapping[str, Mapping[str, Figure]]
    calibration: Mapping[str, Sequence[Bin]]
    resampled: str


class Parts:
    """The units of resampling: recordings, or where there are few, parts of recordings."""

    def __init__(self, bags: Iterable[str]) -> None:
        self.whole = len(set(bags)) >= _ENOUGH_BAGS
        self._numbers: dict[tuple[str, int], int] = {}

    def __call__(self, bag: str, at_s: float) -> int:
        """The number of the part at a time of a recording."""
        key = (bag, 0 if self.whole else int(at_s // _PART_S))
        return self._numbers.setdefault(key, len(self._numbers))

    @property
    def words(self) -> str:
        return "recordings" if self.whole else f"parts of {_PART_S:.0f} s of each recording"


def summarise(rows: ResultRows) -> Summary:
    """All figures of some runs."""
    parts = Parts([*(row.source for row in rows.answers), *(row.source for row in rows.objects)])
    sides = (rows.objects, blind_objects(rows.objects), constant_objects(rows.objects))
    by = {name: _binned(sides, name, parts) for name in _EDGES}
    return Summary(
        _answers(rows.answers, parts),
        _objects(sides, rows.claims, parts),
        {name: bins for name, bins in by.items() if bins},
        _calibration(rows, parts),
        parts.words,
    )


def constant_answers(rows: Sequence[AnswerRow]) -> list[float]:
    """Score of each answer if it were the typical one of the other questions of its kind.

    The others are those of other recordings, or where none has the kind, of the same recording.
    Fitted on the test itself, this is the strongest constant baseline.
    """
    scores = []
    for row in rows:
        others = [other for other in rows if other.kind == row.kind and other is not row]
        foreign = [other for other in others if other.source != row.source]
        known = [other.truth for other in foreign or others if other.truth is not None]
        guess = typical(row.kind, known) if known else UNKNOWN
        scores.append(answer_score(row.kind, guess, row.truth or ""))
    return scores


def blind_answers(rows: Sequence[AnswerRow]) -> list[float | None]:
    """Score of each answer if it were guessed from the words of the question.

    The text prior is fitted on the other recordings; None where none has questions of the kind.
    The same recording would give answers away, because it asks about an object more than once.
    """
    known = {
        bag: TextPrior(
            (row.kind, row.question, row.truth)
            for row in rows
            if row.source != bag and row.truth is not None
        )
        for bag in {row.source for row in rows}
    }
    guesses = [known[row.source].answer(row.kind, row.question) for row in rows]
    return [
        None if guess is None else answer_score(row.kind, guess, row.truth or "")
        for row, guess in zip(rows, guesses, strict=True)
    ]


def constant_objects(rows: Sequence[ObjectRow]) -> list[ObjectRow]:
    """Each row as if the typical place of all other objects were claimed."""
    return _typical_objects(rows, lambda _: "")


def blind_objects(rows: Sequence[ObjectRow]) -> list[ObjectRow]:
    """Each row as if the typical place of other objects of its label were claimed."""
    return _typical_objects(rows, lambda row: row.label)


def _typical_objects(
    rows: Sequence[ObjectRow], group: Callable[[ObjectRow], str]
) -> list[ObjectRow]:
    """The others are those of other recordings, or where there are none, of the same."""
    groups: dict[str, list[ObjectRow]] = defaultdict(list)
    for row in rows:
        groups[group(row)].append(row)
    # All rows of one object get the same guess, which is fitted without that object.
    guesses: dict[tuple[str, str], Box3D | None] = {}
    for row in rows:
        if (row.source, row.id) not in guesses:
            alike = groups[group(row)]
            foreign = [other for other in alike if other.source != row.source]
            others = foreign or [other for other in alike if other.id != row.id]
            guesses[row.source, row.id] = typical_place(others)
    return [claim_place(row, guesses[row.source, row.id]) for row in rows]


def _answers(rows: Sequence[AnswerRow], parts: Parts) -> dict[str, Figure]:
    scored = [row for row in rows if row.score is not None and row.kind != "relation"]
    asked = [row for row in scored if row.truth != UNKNOWN]
    sides: tuple[Sequence[float | None], ...] = (
        [row.score for row in asked],
        blind_answers(asked),
        constant_answers(asked),
    )
    figures: dict[str, Figure] = {}
    groups: tuple[list[Any], ...] = ([], [], [])
    for kind in sorted({row.kind for row in asked}):
        chosen = [i for i, row in enumerate(asked) if row.kind == kind]
        clips = [parts(asked[i].source, asked[i].at_s) for i in chosen]
        for group, side in zip(groups, sides, strict=True):
            scores = [side[i] for i in chosen]
            # A baseline that answers only some questions is not comparable.
            group.append((scores, clips) if None not in scores else ((), ()))
        figures[kind] = Figure(*(mean_over_clips(*group[-1]) for group in groups))
    if len(figures) > 1:
        whole = [all(len(clips) for _, clips in group) for group in groups]
        figures[MEAN] = Figure(
            *(macro_mean(g) if w else NOTHING for g, w in zip(groups, whole, strict=True))
        )

    def share(chosen: Iterable[AnswerRow], value: Callable[[AnswerRow], float | None]) -> Figure:
        known = [(v, row) for row in chosen if (v := value(row)) is not None]
        clips = [parts(row.source, row.at_s) for _, row in known]
        return Figure(mean_over_clips([v for v, _ in known], clips))

    def unknown(row: AnswerRow) -> float:
        return float(row.answer.strip().rstrip(".").lower() == UNKNOWN)

    lost = [row for row in scored if row.truth == UNKNOWN]
    relations = [row for row in rows if row.kind == "relation"]
    more = {
        "relation: clearest direction named": share(relations, lambda row: row.score),
        "unknown, said of unanswerable (right)": share(lost, unknown),
        "unknown, said of answerable (wrong)": share(asked, unknown),
        "no answer (error)": share(rows, lambda row: float(bool(row.error))),
    }
    return figures | {name: figure for name, figure in more.items() if figure.model.count}


_OBJECT_SHARES: tuple[tuple[str, Callable[[ObjectRow], float]], ...] = (
    ("found near (1.5 m)", lambda row: float(row.found)),
    ("Acc@0.25", lambda row: float(row.iou >= 0.25)),
    ("Acc@0.5", lambda row: float(row.iou >= 0.5)),
    ("Acc@0.25 with headings", lambda row: float(row.iou_oriented >= 0.25)),
    ("Acc@0.5 with headings", lambda row: float(row.iou_oriented >= 0.5)),
)


def _objects(
    sides: Sequence[Sequence[ObjectRow]], claims: Sequence[ClaimRow], parts: Parts
) -> dict[str, Figure]:
    rows = sides[0]
    if not rows:
        return {}
    clips = [parts(row.source, row.at_s) for row in rows]
    figures = {
        name: Figure(*(mean_over_clips([value(row) for row in side], clips) for side in sides))
        for name, value in _OBJECT_SHARES
    }

    def metres(side: Sequence[ObjectRow]) -> Estimate:
        known = [
            (row.error_m, part)
            for row, part in zip(side, clips, strict=True)
            if row.error_m is not None
        ]
        return median_over_clips([error for error, _ in known], [part for _, part in known])

    figures[METRES] = Figure(*map(metres, sides))
    figures["claims that are right (Acc@0.25)"] = Figure(
        mean_over_clips(
            [float(claim.right) for claim in claims],
            [parts(claim.source, claim.at_s) for claim in claims],
        )
    )
    return figures


def _binned(sides: Sequence[Sequence[ObjectRow]], name: str, parts: Parts) -> dict[str, Figure]:
    read: Callable[[ObjectRow], float | None] = {
        "distance": lambda row: row.distance_m,
        "size": lambda row: row.size_m,
        "visibility": lambda row: row.share,
    }[name]
    bins = {}
    for low, high in pairwise(_EDGES[name]):
        inside = [
            i
            for i, row in enumerate(sides[0])
            if (value := read(row)) is not None and low <= value < high
        ]
        if not inside:
            continue
        clips = [parts(sides[0][i].source, sides[0][i].at_s) for i in inside]
        bins[_bin_name(name, low, high)] = Figure(
            *(
                mean_over_clips([float(side[i].iou >= RIGHT_IOU) for i in inside], clips)
                for side in sides
            )
        )
    return bins


def _bin_name(name: str, low: float, high: float) -> str:
    unit = _UNITS[name]

    def shown(value: float) -> str:
        return f"{100 * value:g} %" if name == "visibility" else f"{value:g}"

    if np.isinf(high):
        return f"{shown(low)} {unit} and more"
    return f"{shown(low)} to {shown(high)} {unit}"


def _calibration(rows: ResultRows, parts: Parts) -> dict[str, list[Bin]]:
    claims = [(c.score, float(c.right), parts(c.source, c.at_s)) for c in rows.claims]
    answers = [
        (row.confidence, row.score, parts(row.source, row.at_s))
        for row in rows.answers
        if row.confidence is not None and row.score is not None
    ]
    sources = {"objects": claims, "answers": answers}
    return {name: _bins(values) for name, values in sources.items() if values}


def _bins(values: Sequence[tuple[float, float, int]]) -> list[Bin]:
    confidence = np.array([value[0] for value in values])
    at = np.clip(np.digitize(confidence, _CONFIDENCE_EDGES) - 1, 0, len(_CONFIDENCE_EDGES) - 2)
    bins = []
    for i in range(len(_CONFIDENCE_EDGES) - 1):
        inside = [value for value, number in zip(values, at, strict=True) if number == i]
        if inside:
            right = mean_over_clips([v[1] for v in inside], [v[2] for v in inside])
            mean = float(np.mean([v[0] for v in inside]))
            low, high = _CONFIDENCE_EDGES[i : i + 2].tolist()
            bins.append(Bin(low, high, mean, right))
    return bins


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error: mean distance of confidence from share right, by count."""
    counts = np.array([b.right.count for b in bins], np.float64)
    gaps = np.array([abs(b.confidence - b.right.value) for b in bins])
    return float((counts * gaps).sum() / counts.sum())
