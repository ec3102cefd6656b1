"""Figures of a benchmark as a table for people, Markdown and JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

from vega3d_ros.core.json_io import finite, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vega3d_ros.evaluation.metrics.intervals import Estimate

    Figures = Mapping[str, Mapping[str, Estimate]]

_CAPTION = "per cent (CIDEr x 100); ± is half the 95 % interval over scenes"


def table(figures: Figures, title: str, headline: Sequence[str]) -> Table:
    """One row per figure, those of ``headline`` first; one column per model or baseline."""
    shown = Table(title=title, caption=_CAPTION)
    shown.add_column("")
    for name in figures:
        shown.add_column(name, justify="right", no_wrap=True)
    names = _names(figures, headline)
    for name in names:
        row = [_cell(candidate.get(name)) for candidate in figures.values()]
        shown.add_row(name, *row, end_section=name == headline[-1])
    return shown


def write(
    folder: Path,
    title: str,
    note: str,
    settings: Mapping[str, Any],
    figures: Figures,
    headline: Sequence[str],
) -> None:
    """Write ``report.md`` and ``report.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"# {title}", "", note, "", "| | " + " | ".join(figures) + " |"]
    lines.append("|---|" + "---:|" * len(figures))
    for name in _names(figures, headline):
        cells = (_cell(candidate.get(name)) for candidate in figures.values())
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", f"In {_CAPTION}.", ""]
    (folder / "report.md").write_text("\n".join(lines), encoding="utf-8")
    plain = {
        candidate: {name: asdict(estimate) for name, estimate in found.items()}
        for candidate, found in figures.items()
    }
    document = {"settings": dict(settings), "figures": plain}
    write_json(folder / "report.json", finite(document))


def _names(figures: Figures, headline: Sequence[str]) -> list[str]:
    """Headline figures, and figures that any column has."""
    known = [name for found in figures.values() for name in found if found[name].count]
    return list(dict.fromkeys([*headline, *known]))


def _cell(estimate: Estimate | None) -> str:
    return "n/a" if estimate is None or not estimate.count else estimate.shown()
