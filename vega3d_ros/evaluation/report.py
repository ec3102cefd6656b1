"""Reports: sections of tables as ``report.md`` and ``report.html``, figures as ``report.json``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.json_io import finite, write_json
from vega3d_ros.evaluation import html
from vega3d_ros.evaluation.metrics.intervals import CAPTION, Estimate
from vega3d_ros.evaluation.sections import Section
from vega3d_ros.evaluation.statistics import METRES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    Figures = Mapping[str, Mapping[str, Estimate]]


def cell(name: str, estimate: Estimate | None) -> str:
    """A figure with its interval."""
    return "n/a" if estimate is None else estimate.shown(metres=name.endswith(METRES))


def figure_table(
    title: str,
    figures: Figures,
    units: str,
    notes: Sequence[str] = (),
    *,
    first: str = "",
    headline: Sequence[str] = (),
) -> Section:
    """One row per figure, those of ``headline`` first; a column per model or baseline.

    Args:
        title: Heading.
        figures: Of each column, by name.
        units: What intervals resample.
        notes: Remarks.
        first: Heading of the figures' names.
        headline: Names of the figures that people compare.
    """
    columns = list(figures.values())
    known = [name for column in columns for name in column if column[name].count]
    rows, bars = [], []
    for name in dict.fromkeys([*headline, *known]):
        estimates = [column.get(name) for column in columns]
        counts = [estimate.count for estimate in estimates if estimate is not None]
        words = (cell(name, estimate) for estimate in estimates)
        rows.append((name.replace("_", " "), *words, str(counts[0] if counts else 0)))
        drawn = (html.bar(e, html.colour(k)) for k, e in zip(figures, estimates, strict=True) if e)
        bars.append("" if name.endswith(METRES) else "".join(drawn))
    section = Section(title, [*notes, CAPTION.format(units=units)])
    return section.add((first, *(f">{name}" for name in figures), ">n"), rows, bars)


def write_pages(
    folder: Path, title: str, sections: Sequence[Section], more: Iterable[str] = ()
) -> None:
    """Write ``report.md``, and ``report.html`` with ``more`` HTML at its end.

    A section of the page's own title has no heading.
    """
    lines = [f"# {title}", "", "Bars and pictures are in `report.html`.", ""]
    for section in sections:
        lines += section.markdown(headed=section.title != title)
    (folder / "report.md").write_text("\n".join(lines), encoding="utf-8")
    parts = (part for s in sections for part in s.html(headed=s.title != title))
    body = [html.key(), *parts, *more]
    (folder / "report.html").write_text(html.page(title, body), encoding="utf-8")


def write_figures(
    folder: Path, section: Section, settings: Mapping[str, Any], figures: Figures
) -> None:
    """Write a report of one table of figures: Markdown, a page, and ``report.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_pages(folder, section.title, [section])
    plain = {
        column: {name: asdict(estimate) for name, estimate in found.items()}
        for column, found in figures.items()
    }
    document = {"settings": dict(settings), "figures": plain}
    write_json(folder / "report.json", finite(document))
