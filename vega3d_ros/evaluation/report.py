"""Tables of scored rows for the terminal, Markdown and JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

from vega3d_ros.core.json_io import finite, write_json
from vega3d_ros.evaluation.metrics.intervals import (
    Estimate,
    macro_mean,
    mean_over_clips,
    median_over_clips,
)
from vega3d_ros.evaluation.metrics.simulated import UNKNOWN
from vega3d_ros.evaluation.sim_eval import Results, answerable
from vega3d_ros.evaluation.summary import MEAN, METRES
from vega3d_ros.simulation.questions import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from vega3d_ros.evaluation.schema import AnswerRow, GroundingRow

    Summary = dict[str, Estimate]

BEST_TOKEN = "best token on the object"  # noqa: S105 - no password
_SHARES: tuple[tuple[str, Callable[[GroundingRow], float | bool | None]], ...] = (
    (BEST_TOKEN, lambda row: row.on_object),
    ("Acc@0.25", lambda row: row.iou >= 0.25),
    ("Acc@0.5", lambda row: row.iou >= 0.5),
    ("Acc@0.25 with headings", lambda row: row.iou_oriented >= 0.25),
    ("Acc@0.5 with headings", lambda row: row.iou_oriented >= 0.5),
    ("Acc@0.25 of the likeliest box", lambda row: row.iou_proposal >= 0.25),
)


# Characters of a respondent's column in a terminal.
_COLUMN = 15


def summarise(results: Results) -> Summary:
    """All figures of a respondent by name, of the tasks that it has."""
    return _grounding(results.rows.groundings) | _answers(results.rows.answers)


def _grounding(rows: Sequence[GroundingRow]) -> Summary:
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
    summary = {}
    for part, chosen in parts.items():
        brief = part in ("labels: ", "descriptions: ")
        for name, value in _SHARES[:2] if brief else _SHARES:
            summary[part + name] = _share(chosen, value)
        if brief:
            continue
        errors = [(e, row.source) for row in chosen if (e := row.error_m) is not None]
        summary[part + METRES] = median_over_clips(
            [error for error, _ in errors], [clip for _, clip in errors]
        )
    absent = [row for row in rows if row.kind == "absent"]
    summary["not here: said of absent (right)"] = _share(absent, lambda row: not row.found)
    summary["not here: said of present (wrong)"] = _share(here, lambda row: not row.found)
    return summary


def _answers(rows: Sequence[AnswerRow]) -> Summary:
    asked = [row for row in rows if answerable(row)]
    groups = []
    summary = {}
    for kind in KINDS:
        of_kind = [row for row in asked if row.kind == kind]
        groups.append(
            ([float(row.score or 0) for row in of_kind], [row.source for row in of_kind])
        )
        summary[kind] = mean_over_clips(*groups[-1])
    summary[MEAN] = macro_mean(groups)
    lost = [row for row in rows if not answerable(row)]
    summary["unknown: said of unanswerable (right)"] = _share(lost, _said_unknown)
    summary["unknown: said of answerable (wrong)"] = _share(asked, _said_unknown)
    return summary


def _said_unknown(row: AnswerRow) -> bool:
    return row.answer.strip().rstrip(".").lower() == UNKNOWN


def _share(rows: Iterable[Any], value: Callable[[Any], float | bool | None]) -> Estimate:
    known = [(float(v), row.source) for row in rows if (v := value(row)) is not None]
    return mean_over_clips([v for v, _ in known], [clip for _, clip in known])


def rich_tables(summaries: Mapping[str, Summary], title: str, width: int) -> Iterator[Table]:
    """One row per figure, one column per respondent; as many tables as ``width`` needs."""
    figures = _figures(summaries)
    names = list(summaries)
    label = max(map(len, figures), default=0)
    per_table = max(1, (width - label - 4) // _COLUMN)
    for first in range(0, len(names), per_table):
        shown = names[first : first + per_table]
        table = Table(title=title, caption="per cent unless metres; ± is half the 95 % interval")
        table.add_column("", no_wrap=True)
        for name in shown:
            table.add_column(name, justify="right", max_width=_COLUMN - 3)
        previous = ""
        for figure in figures:
            section = figure.split(":")[0] if ":" in figure else ""
            if section != previous or figure == KINDS[0]:
                table.add_section()
            previous = section
            table.add_row(figure, *(_cell(figure, summaries[name].get(figure)) for name in shown))
        yield table


def markdown(summaries: Mapping[str, Summary], title: str, notes: Sequence[str]) -> str:
    """The same table for a document."""
    lines = [f"# {title}", "", *notes, ""]
    lines += ["| | " + " | ".join(summaries) + " |", "|---|" + "---:|" * len(summaries)]
    for figure in _figures(summaries):
        cells = (_cell(figure, s.get(figure)) for s in summaries.values())
        lines.append(f"| {figure} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "Per cent unless metres; ± is half of the 95 % interval over resampled clips.",
        "",
    ]
    return "\n".join(lines)


def _figures(summaries: Mapping[str, Summary]) -> list[str]:
    return list(dict.fromkeys(figure for summary in summaries.values() for figure in summary))


def _cell(figure: str, estimate: Estimate | None) -> str:
    if estimate is None or not estimate.count:
        return "-"
    return estimate.shown(metres=figure.endswith(METRES))


def write(
    folder: Path,
    title: str,
    notes: Sequence[str],
    settings: Mapping[str, Any],
    results: Sequence[Results],
) -> dict[str, Summary]:
    """Write ``report.md``, ``report.json`` and every scored row (``rows.json``).

    Returns:
        The figures of each candidate.
    """
    folder.mkdir(parents=True, exist_ok=True)
    summaries = {result.name: summarise(result) for result in results}
    (folder / "report.md").write_text(markdown(summaries, title, notes), encoding="utf-8")
    figures = {
        name: {figure: asdict(estimate) for figure, estimate in summary.items()}
        for name, summary in summaries.items()
    }
    document = {"settings": dict(settings), "figures": figures}
    write_json(folder / "report.json", finite(document))
    rows = {
        result.name: {
            "answers": [asdict(row) for row in result.rows.answers],
            "groundings": [asdict(row) for row in result.rows.groundings],
        }
        for result in results
    }
    write_json(folder / "rows.json", rows, indent=None)
    return summaries
