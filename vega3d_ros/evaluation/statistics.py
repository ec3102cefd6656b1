"""From scored rows to figures with intervals, those of recordings each beside its baselines."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vega3d_ros.evaluation.baselines.recordings import (
    blind_answers,
    blind_objects,
    constant_answers,
    constant_objects,
)
from vega3d_ros.evaluation.metrics.intervals import (
    ENOUGH,
    NOTHING,
    Estimate,
    macro_mean,
    mean_over_clips,
    median_over_clips,
)
from vega3d_ros.evaluation.metrics.simulated import UNKNOWN
from vega3d_ros.evaluation.schema import RELATION
from vega3d_ros.evaluation.scoring import RIGHT_IOU
from vega3d_ros.simulation.questions import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from vega3d_ros.evaluation.schema import (
        AnswerRow,
        ClaimRow,
        GroundingRow,
        ObjectRow,
        ResultRows,
    )

    Scores = Sequence[float | None]

# With fewer recordings, parts of recordings are resampled.
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
        constant: The baseline with one rule for each kind of question, one box for all objects.
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


class Units:
    """The units of resampling: recordings, or where there are few, parts of recordings."""

    def __init__(self, sources: Iterable[str]) -> None:
        sources = sorted(set(sources))
        self.whole = len(sources) >= ENOUGH
        self._numbers = {(source, 0): i for i, source in enumerate(sources)} if self.whole else {}

    def __call__(self, bag: str, at_s: float) -> int:
        """The number of the part at a time of a recording."""
        key = (bag, 0 if self.whole else int(at_s // _PART_S))
        return self._numbers.setdefault(key, len(self._numbers))

    @property
    def words(self) -> str:
        return "recordings" if self.whole else f"parts of {_PART_S:.0f} s of each recording"


def summarise(rows: ResultRows) -> Summary:
    """All figures of some runs on recordings."""
    units = Units([*(row.source for row in rows.answers), *(row.source for row in rows.objects)])
    scored = [row for row in rows.answers if row.score is not None and row.kind != RELATION]
    answers = answer_figures(scored, units, blind_answers, constant_answers)
    relations = [row for row in rows.answers if row.kind == RELATION]
    more = {
        "relation: clearest direction named": share(relations, lambda row: row.score, units),
        "no answer (error)": share(rows.answers, lambda row: bool(row.error), units),
    }
    answers |= {name: Figure(figure) for name, figure in more.items() if figure.count}
    sides = (rows.objects, blind_objects(rows.objects), constant_objects(rows.objects))
    by = {name: _binned(sides, name, units) for name in _EDGES}
    return Summary(
        answers,
        _objects(sides, rows.claims, units),
        {name: bins for name, bins in by.items() if bins},
        _calibration(rows, units),
        units.words,
    )


def share(rows: Iterable[Any], value: Callable[[Any], float | None], units: Units) -> Estimate:
    """The mean of a value over rows of any type; rows without it, None, are left out."""
    return mean_over_clips(*_known(rows, value, units))


def _known(
    rows: Iterable[Any], value: Callable[[Any], float | None], units: Units
) -> tuple[list[float], list[int]]:
    known = [(row, float(v)) for row in rows if (v := value(row)) is not None]
    return [v for _, v in known], [units(row.source, row.at_s) for row, _ in known]


def answer_figures(
    scored: Sequence[AnswerRow],
    units: Units,
    *guess: Callable[[Sequence[AnswerRow]], Scores],
) -> dict[str, Figure]:
    """Mean scores by kind of question, of all kinds alike, and what is said to be unknown.

    Args:
        scored: Rows with a score.
        units: What is resampled.
        guess: Scores of the answerable rows by each baseline.
    """
    asked = [row for row in scored if row.truth != UNKNOWN]
    sides: list[Scores] = [[row.score for row in asked], *(one(asked) for one in guess)]
    figures: dict[str, Figure] = {}
    groups: list[list[Any]] = [[] for _ in sides]
    kinds = {row.kind for row in asked}
    for kind in [*filter(kinds.__contains__, KINDS), *sorted(kinds.difference(KINDS))]:
        chosen = [i for i, row in enumerate(asked) if row.kind == kind]
        clips = [units(asked[i].source, asked[i].at_s) for i in chosen]
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
    lost = [row for row in scored if row.truth == UNKNOWN]
    for name, rows in (("unanswerable (right)", lost), ("answerable (wrong)", asked)):
        if rows:
            figures[f"unknown: said of {name}"] = Figure(share(rows, _said_unknown, units))
    return figures


def _said_unknown(row: AnswerRow) -> float:
    return float(row.answer.strip().rstrip(".").lower() == UNKNOWN)


BEST_TOKEN = "best token on the object"  # noqa: S105 - no password
_OVERLAPS: tuple[tuple[str, Callable[[Any], float]], ...] = (
    ("Acc@0.25", lambda row: row.iou >= 0.25),
    ("Acc@0.5", lambda row: row.iou >= 0.5),
    ("Acc@0.25 with headings", lambda row: row.iou_oriented >= 0.25),
    ("Acc@0.5 with headings", lambda row: row.iou_oriented >= 0.5),
)


def grounding_figures(rows: Sequence[GroundingRow], units: Units) -> dict[str, Estimate]:
    """Figures of descriptions that were grounded in clips, in all and by sort of object."""
    if not rows:
        return {}
    here = [row for row in rows if row.kind != "absent"]
    parts = {
        "": here,
        "thick: ": [row for row in here if row.thick is True],
        "thin: ": [row for row in here if row.thick is False],
        "labels: ": [row for row in here if row.kind == "label"],
        "descriptions: ": [row for row in here if row.kind == "described"],
    }
    figures = {}
    for part, chosen in parts.items():
        figures[part + BEST_TOKEN] = share(chosen, lambda row: row.on_object, units)
        brief = part in ("labels: ", "descriptions: ")
        for name, value in _OVERLAPS[:1] if brief else _OVERLAPS:
            figures[part + name] = share(chosen, value, units)
        if not brief:
            figures[part + "Acc@0.25 of the likeliest box"] = share(
                chosen, lambda row: row.iou_proposal >= 0.25, units
            )
            figures[part + METRES] = _median_error(chosen, units)
    absent = [row for row in rows if row.kind == "absent"]
    for name, chosen in (("absent (right)", absent), ("present (wrong)", here)):
        figures[f"not here: said of {name}"] = share(chosen, lambda row: not row.found, units)
    return figures | _reliability(rows, units)


def _reliability(rows: Sequence[GroundingRow], units: Units) -> dict[str, Estimate]:
    """How often what is returned with a score is here, and how often its box is right."""
    meanings: tuple[tuple[str, Callable[[GroundingRow], bool]], ...] = (
        ("it is here", lambda row: row.kind != "absent"),
        ("its box is right (Acc@0.25)", lambda row: row.iou >= RIGHT_IOU),
    )
    figures = {}
    for meaning, holds in meanings:
        bins = _bins(
            [
                (row.score, float(holds(row)), units(row.source, row.at_s))
                for row in rows
                if row.score is not None
            ]
        )
        for one in bins:
            figures[f"score {one.low:.1f} to {one.high:.1f}: {meaning}"] = one.right
        if bins:
            error, count = calibration_error(bins), sum(one.right.count for one in bins)
            figures[f"calibration error of the score: {meaning}"] = Estimate(
                error, np.nan, np.nan, count
            )
    return figures


def _median_error(rows: Sequence[Any], units: Units) -> Estimate:
    return median_over_clips(*_known(rows, lambda row: row.error_m, units))


def _objects(
    sides: Sequence[Sequence[ObjectRow]], claims: Sequence[ClaimRow], units: Units
) -> dict[str, Figure]:
    if not sides[0]:
        return {}
    found: tuple[str, Callable[[ObjectRow], float]] = ("found near (1.5 m)", lambda row: row.found)
    figures = {
        name: Figure(*(share(side, value, units) for side in sides))
        for name, value in (found, *_OVERLAPS)
    }
    figures[METRES] = Figure(*(_median_error(side, units) for side in sides))
    figures["claims that are right (Acc@0.25)"] = Figure(
        share(claims, lambda claim: claim.right, units)
    )
    return figures


def _binned(sides: Sequence[Sequence[ObjectRow]], name: str, units: Units) -> dict[str, Figure]:
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
        bins[_bin_name(name, low, high)] = Figure(
            *(share([side[i] for i in inside], _OVERLAPS[0][1], units) for side in sides)
        )
    return bins


def _bin_name(name: str, low: float, high: float) -> str:
    unit = _UNITS[name]

    def shown(value: float) -> str:
        return f"{100 * value:g} %" if name == "visibility" else f"{value:g}"

    if np.isinf(high):
        return f"{shown(low)} {unit} and more"
    return f"{shown(low)} to {shown(high)} {unit}"


def _calibration(rows: ResultRows, units: Units) -> dict[str, list[Bin]]:
    claims = [(c.score, float(c.right), units(c.source, c.at_s)) for c in rows.claims]
    answers = [
        (row.confidence, row.score, units(row.source, row.at_s))
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
