"""Writes reports: sections as Markdown and as a page of one file, figures as JSON."""

from __future__ import annotations

import base64
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from vega3d_ros.core.json_io import finite, write_json
from vega3d_ros.evaluation.metrics.intervals import CAPTION, Estimate
from vega3d_ros.evaluation.report.section import Section, bar
from vega3d_ros.evaluation.statistics import METRES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    Figures = Mapping[str, Mapping[str, Estimate]]


def write_pages(
    folder: Path, title: str, sections: Sequence[Section], name: str = "report"
) -> None:
    """Write ``NAME.md``, and ``NAME.html``, which holds its pictures.

    A section of the page's own title has no heading; Markdown links the wide pictures alone.
    """
    for kind in ("md", "html"):
        text = (
            _templates()
            .get_template(f"page.{kind}")
            .render(title=title, sections=sections, name=name, folder=folder)
        )
        (folder / f"{name}.{kind}").write_text(text, encoding="utf-8")


@cache
def _templates() -> Environment:
    found = Environment(
        loader=PackageLoader("vega3d_ros.evaluation.report"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["data_uri"] = _data_uri
    return found


def _data_uri(path: Path) -> str:
    kind = "jpeg" if path.suffix == ".jpg" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


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
        drawn = [b for k, e in zip(figures, estimates, strict=True) for b in bar(e, k)]
        bars.append([] if name.endswith(METRES) else drawn)
    section = Section(title, [*notes, CAPTION.format(units=units)])
    return section.add((first, *(f">{name}" for name in figures), ">n"), rows, bars)


def made_with(made: Mapping[str, Any]) -> Section:
    """What is needed to make a result again."""

    def listed(values: Mapping[str, Any]) -> str:
        return ", ".join(f"{name} {value}" for name, value in values.items())

    model = made["model"]
    rows = [
        ("model", f"{model['name']}, sha256 {model['sha256'][:16]}"),
        ("made", f"{made.get('date', '')} {made.get('commit', '')}".strip()),
        ("command", " ".join(map(str, made["command"]))),
        *((name, listed(made[name])) for name in ("hardware", "versions", "seeds")),
    ]
    return Section("Made with", [model["card"]]).add(("", ""), rows)


def write_figures(
    folder: Path,
    section: Section,
    settings: Mapping[str, Any],
    figures: Figures,
    made: Mapping[str, Any],
) -> dict[str, Any]:
    """Write a report of one table of figures, and ``report.json``, which is returned."""
    write_pages(folder, section.title, [section, made_with(made)])
    plain = {
        column: {name: asdict(estimate) for name, estimate in found.items()}
        for column, found in figures.items()
    }
    document: dict[str, Any] = finite(
        {"settings": dict(settings), "made_with": dict(made), "figures": plain}
    )
    write_json(folder / "report.json", document)
    return document
