"""``vega3d compare RUN_A RUN_B``: paired differences between two runs, case by case.

Runs are folders of ``vega3d evaluate`` or ``vega3d replay``. Only cases of both runs count.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vega3d_ros.core.console import give, remarks, results
from vega3d_ros.core.json_io import finite, write_json
from vega3d_ros.evaluation.bag_run import read_run
from vega3d_ros.evaluation.metrics.intervals import macro_mean
from vega3d_ros.evaluation.metrics.simulated import RIGHT, is_right
from vega3d_ros.evaluation.report.cases import draw_again, object_case
from vega3d_ros.evaluation.report.pages import write_pages
from vega3d_ros.evaluation.report.recordings import BAGS, case_picture
from vega3d_ros.evaluation.report.section import Picture, Section
from vega3d_ros.evaluation.run_folder import differing, make_folder, read_settings
from vega3d_ros.evaluation.schema import RunError
from vega3d_ros.evaluation.scoring import RIGHT_IOU
from vega3d_ros.evaluation.statistics import Units

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from vega3d_ros.evaluation.metrics.intervals import Estimate
    from vega3d_ros.evaluation.schema import AnswerRow, ObjectRow, ResultRows

_SHOWN = 24


_FLIP = (
    f"A flip is right in one run and wrong in the other: an answer by its score ({RIGHT}, "
    f"anything else exactly), an object by an overlap of {RIGHT_IOU}."
)
_UNSAID = ("files", "bag")  # the recordings, of which only those in common count


class Change(NamedTuple):
    """A figure in both runs, over the cases that both have.

    Attributes:
        a: In the first run.
        b: In the second.
        difference: ``b`` less ``a``, with the interval of the paired differences.
        better_high: Whether a higher value is better.
    """

    a: float
    b: float
    difference: Estimate
    better_high: bool

    @property
    def verdict(self) -> str:
        """Better or worse if the interval excludes zero."""
        low, high = self.difference.low, self.difference.high
        if low > 0 or high < 0:
            return "better" if (low > 0) == self.better_high else "worse"
        return "no clear difference"


class Flip(NamedTuple):
    """A case that is right in one run and wrong in the other."""

    case: str
    bag: str
    better: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``vega3d compare``."""
    parser.add_argument("run_a", type=Path, help="folder of the one run")
    parser.add_argument("run_b", type=Path, help="folder of the other")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/compare"), help="folder for results (%(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Compare, and write ``compare.html``, ``compare.md`` and ``compare.json``.

    Raises:
        RunError: If a folder is no run, or the two have nothing in common.
    """
    (records_a, rows_a), (records_b, rows_b) = (_read(path) for path in (args.run_a, args.run_b))
    changes, flips = compare(rows_a, rows_b)
    if not changes:
        msg = f"{args.run_a} and {args.run_b} have no scored case of one recording in common"
        raise RunError(msg)
    make_folder(args.out)
    names = (f"A: {args.run_a}", f"B: {args.run_b}")
    unlike = settings_that_differ(args.run_a, args.run_b)
    section = _section(changes)
    better = [flip for flip in flips if flip.better]
    worse = [flip for flip in flips if not flip.better]
    title = "What got better, and what worse"
    flipped = f"{len(better)} cases flipped to right, {len(worse)} to wrong, from A to B. "
    about = [*names, *unlike, flipped + _FLIP]
    sides = [
        _Side("A", args.run_a, records_a, rows_a, args.out),
        _Side("B", args.run_b, records_b, rows_b, args.out),
    ]
    drawn = [_flip_pictures(*flip, sides) for flip in (("wrong", worse), ("right", better))]
    sections = [Section(title, about), section, *(s for s in drawn if s.pictures)]
    write_pages(args.out, title, sections, "compare")
    document = {
        "runs": [str(args.run_a), str(args.run_b)],
        "unlike": unlike,
        "changes": {
            name: {**change._asdict(), "difference": vars(change.difference)}
            | {"verdict": change.verdict}
            for name, change in changes.items()
        },
        "flips": [flip._asdict() for flip in flips],
    }
    write_json(args.out / "compare.json", finite(document))
    give(document)
    shown = results()
    for text in about:
        shown.print(text, highlight=False)
    shown.print(*section.rich(shown.width))
    remarks().print(
        f"written to {args.out}: compare.html, compare.md, compare.json", highlight=False
    )
    return 0


def settings_that_differ(a: Path, b: Path) -> list[str]:
    """In words: what is unlike between two runs, such as their models."""
    known = [read_settings(folder) for folder in (a, b)]
    if known[0] is None or known[1] is None:
        return ["What differs between the runs is not known: one has no run.json."]
    unlike = [
        f"{name}: A {one or 'none'}, B {other or 'none'}"
        for name, (one, other) in differing(known[0], known[1]).items()
        if name.rpartition(".")[2] not in _UNSAID
    ]
    return unlike or ["The runs have the same settings."]


def compare(a: ResultRows, b: ResultRows) -> tuple[dict[str, Change], list[Flip]]:
    """Paired differences of every figure, and the cases that flipped."""
    parts = Units({row.source for row in (*a.answers,)} | {row.source for row in (*a.objects,)})
    answers = [
        (one, other)
        for one, other in _answer_pairs(a.answers, b.answers)
        if one.score is not None and other.score is not None
    ]
    objects = _pairs(a.objects, b.objects, lambda row: (row.source, row.stamp_ns, row.id))
    changes: dict[str, Change] = {}
    groups: dict[str, list[tuple[AnswerRow, AnswerRow]]] = defaultdict(list)
    for pair in answers:
        groups[pair[0].kind].append(pair)
    for kind, pairs in [*sorted(groups.items()), ("all answers", answers)]:
        scores = [(float(x.score or 0), float(y.score or 0)) for x, y in pairs]
        clips = [parts(x.source, x.at_s) for x, _ in pairs]
        _add(changes, f"answers: {kind}".replace("answers: all", "all"), scores, clips)
    figures: dict[str, Callable[[ObjectRow], float]] = {
        "objects: found near (1.5 m)": lambda row: float(row.found),
        "objects: Acc@0.25": lambda row: float(row.iou >= 0.25),
        "objects: Acc@0.5": lambda row: float(row.iou >= 0.5),
    }
    clips = [parts(x.source, x.at_s) for x, _ in objects]
    for name, value in figures.items():
        _add(changes, name, [(value(x), value(y)) for x, y in objects], clips)
    both = [(x, y) for x, y in objects if x.error_m is not None and y.error_m is not None]
    errors = [(float(x.error_m or 0), float(y.error_m or 0)) for x, y in both]
    clips = [parts(x.source, x.at_s) for x, _ in both]
    _add(changes, "objects: centre error where both found, m", errors, clips, better_high=False)
    return changes, [*_answer_flips(answers), *_object_flips(objects)]


def _answer_pairs(
    a: Sequence[AnswerRow], b: Sequence[AnswerRow]
) -> list[tuple[AnswerRow, AnswerRow]]:
    """Pairs of the same question of a recording, in order where it repeats."""

    def numbered(rows: Sequence[AnswerRow]) -> dict[tuple[Any, ...], AnswerRow]:
        times: Counter[tuple[str, str, str]] = Counter()
        found = {}
        for row in sorted(rows, key=lambda row: row.index):
            key = (row.source, row.kind, row.question)
            found[(*key, times[key])] = row
            times[key] += 1
        return found

    others = numbered(b)
    return [(row, others[key]) for key, row in numbered(a).items() if key in others]


def _pairs(a: Sequence[Any], b: Sequence[Any], key: Callable[[Any], Any]) -> list[tuple[Any, Any]]:
    others = {key(row): row for row in b}
    return [(row, others[key(row)]) for row in a if key(row) in others]


def _add(
    changes: dict[str, Change],
    name: str,
    values: Sequence[tuple[float, float]],
    clips: Sequence[int],
    *,
    better_high: bool = True,
) -> None:
    if values:
        a, b = np.array(values).T
        changes[name] = Change(
            float(a.mean()), float(b.mean()), macro_mean([(b - a, clips)]), better_high
        )


def _answer_flips(pairs: Sequence[tuple[AnswerRow, AnswerRow]]) -> list[Flip]:
    flips = []
    for one, other in pairs:
        before, after = (is_right(row.kind, float(row.score or 0)) for row in (one, other))
        if before != after:
            flips.append(Flip(one.case, one.source, after))
    return flips


def _object_flips(pairs: Sequence[tuple[ObjectRow, ObjectRow]]) -> list[Flip]:
    """At most one flip per object and direction, because neighbouring scenes flip together."""
    flips: dict[tuple[str, str, bool], Flip] = {}
    for one, other in pairs:
        before, after = (row.iou >= RIGHT_IOU for row in (one, other))
        if before != after:
            flips.setdefault((one.source, one.id, after), Flip(one.case, one.source, after))
    return list(flips.values())


def _read(folder: Path) -> tuple[dict[str, dict[str, Any]], ResultRows]:
    if not (folder / BAGS).is_dir():
        msg = f"{folder} is no run of `vega3d evaluate BAG...` or `vega3d replay`"
        raise RunError(msg)
    return read_run(folder)


def _shown(name: str, value: float) -> str:
    return f"{value:.2f}" if name.endswith(", m") else f"{100 * value:.1f}"


def _rows(changes: Mapping[str, Change]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, change in changes.items():
        difference = change.difference
        low, high = (_shown(name, v) for v in (difference.low, difference.high))
        interval = "" if math.isnan(difference.low) else f" ({low} to {high})"
        middle = _shown(name, difference.value)
        sign = "+" if difference.value > 0 and not math.isclose(difference.value, 0) else ""
        rows.append(
            (
                name.replace("_", " "),
                _shown(name, change.a),
                _shown(name, change.b),
                f"{sign}{middle}{interval}",
                str(difference.count),
                change.verdict,
            )
        )
    return rows


_COLUMNS = ("", ">A", ">B", ">B less A (95 %)", ">n", "")


def _section(changes: Mapping[str, Change]) -> Section:
    note = (
        "Per cent unless metres, over the cases that both runs have. Intervals are of the paired "
        "differences, resampled by recordings or parts of them."
    )
    return Section("Differences", [note]).add(_COLUMNS, _rows(changes))


class _Side:
    """A run's pictures of flipped cases: existing ones, and ones drawn for the comparison."""

    def __init__(
        self, name: str, folder: Path, records: Mapping[str, Any], rows: ResultRows, out: Path
    ) -> None:
        self.name, self._folder, self._records = name, folder, records
        self._objects = {(row.source, row.case): row for row in rows.objects}
        self._out = out / "cases"

    def pictures(self, flips: Sequence[Flip]) -> dict[Flip, Picture]:
        """Of the flips that have one."""
        found: dict[Flip, Picture] = {}
        missing: dict[str, list[Flip]] = defaultdict(list)
        for flip in flips:
            cases = self._records[flip.bag].get("cases", ())
            case = next((c for c in cases if c["case"] == flip.case and c["picture"]), None)
            if case is not None:
                found[flip] = case_picture(self._folder / BAGS / flip.bag, case, self.name)
            elif (flip.bag, flip.case) in self._objects:
                missing[flip.bag].append(flip)
        for bag, chosen in missing.items():
            wanted = {flip.case: self._objects[bag, flip.case].stamp_ns for flip in chosen}
            place = self._out / self.name / bag
            drawn = draw_again(self._folder / BAGS / bag, self._records[bag], wanted, place)
            for flip in chosen:
                if flip.case in drawn:
                    case = object_case(self._objects[bag, flip.case])
                    case["picture"] = drawn[flip.case].name
                    found[flip] = case_picture(place, case, self.name)
        return found


def _flip_pictures(what: str, flips: Sequence[Flip], sides: Sequence[_Side]) -> Section:
    """Both runs' pictures of the cases that flipped."""
    shown = flips[:_SHOWN]
    found = [side.pictures(shown) for side in sides]
    groups = [[side[flip] for side in found if flip in side] for flip in shown]
    more = f" ({len(shown)} of {len(flips)})" if len(shown) < len(flips) else ""
    return Section(f"Flipped to {what}{more}", pictures=[group for group in groups if group])
