"""Sections of a report: tables and pictures, in the form that pages and terminals show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from rich.markup import escape
from rich.table import Table as RichTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from rich.console import JustifyMethod

    from vega3d_ros.evaluation.metrics.intervals import Estimate

RECORDING = "recording"
_STYLES = {"right": "green", "wrong": "red"}


class Bar(NamedTuple):
    """A share with its interval, in per cent of the bar.

    Attributes:
        kind: "model", "blind" or "constant", which chooses its colour.
        value: Its length.
        low: Where its interval begins; None without an interval.
        span: Length of the interval.
        mark: Where a line crosses it, for comparison; None: nowhere.
    """

    kind: str
    value: float
    low: float | None
    span: float
    mark: float | None


def bar(estimate: Estimate | None, column: str = "", mark: float | None = None) -> list[Bar]:
    """The bar of a figure of a model or baseline; none where there is no figure."""
    if estimate is None or not estimate.count or not np.isfinite(estimate.value):
        return []
    kind = next((kind for kind in ("blind", "constant") if kind in column), "model")
    low, span = None, 0.0
    if np.isfinite(estimate.low):
        low, span = _percent(estimate.low), _percent(estimate.high - estimate.low)
    return [
        Bar(kind, _percent(estimate.value), low, span, None if mark is None else _percent(mark))
    ]


def _percent(share: float) -> float:
    return round(100 * min(1.0, max(0.0, share)), 1)


class Picture(NamedTuple):
    """A picture with what is known of it, by name."""

    path: Path
    caption: str
    facts: Sequence[tuple[str, str]] = ()
    heading: str = ""


class Table(NamedTuple):
    """A table of texts; a column's leading ">" sets it flush right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    bars: Sequence[Sequence[Bar]] | None


@dataclass
class Section:
    """A heading with notes, tables and pictures.

    Attributes:
        title: The heading.
        notes: Remarks below it.
        tables: Added by ``add``.
        pictures: Groups of pictures, such as those of one case in two runs.
        wide: Whether each picture has the page's width.
    """

    title: str
    notes: Sequence[str] = ()
    tables: list[Table] = field(default_factory=list)
    pictures: Sequence[Sequence[Picture]] = ()
    wide: bool = False

    def add(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        bars: Sequence[Sequence[Bar]] | None = None,
    ) -> Section:
        """Add a table; a page shows ``bars`` beside its rows.

        A first column that names the same recording in all rows is left out, and any column that
        is empty in all.
        """
        filled = list(rows)
        kept = [i for i in range(len(columns)) if any(row[i] for row in filled)]
        columns, filled = [columns[i] for i in kept], [[row[i] for i in kept] for row in filled]
        if columns[:1] == [RECORDING] and len(filled) > 1 and len({row[0] for row in filled}) == 1:
            columns, filled = columns[1:], [row[1:] for row in filled]
        if filled:
            self.tables.append(Table(columns, filled, bars))
        return self

    def rich(self, width: int) -> Iterator[RichTable]:
        """Its tables for a terminal; one of figures that is too wide becomes several."""
        caption = " ".join(filter(None, self.notes)) or None
        for columns, rows, _ in self.tables:
            for chosen in _fitting(columns, rows, width):
                table = RichTable(title=escape(self.title), caption=caption, title_justify="left")
                for name in (columns[i] for i in chosen):
                    justify: JustifyMethod = "right" if name[:1] == ">" else "left"
                    table.add_column(escape(name.lstrip(">")), justify=justify, overflow="fold")
                for row in rows:
                    table.add_row(*(_coloured(row[i]) for i in chosen))
                yield table


def _coloured(text: str) -> str:
    return f"[{_STYLES[text]}]{text}[/]" if text in _STYLES else escape(text)


def _fitting(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> Iterator[list[int]]:
    """Indices of the columns of each table: of figures, as many as fit beside their names."""
    needs = [3 + max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    left = list(range(1, len(columns)))
    if sum(needs) <= width or not all(columns[i][:1] == ">" for i in left):
        yield list(range(len(columns)))
        return
    while left:
        chosen, used = [0], needs[0]
        while left and (len(chosen) == 1 or used + needs[left[0]] < width):
            used += needs[left[0]]
            chosen.append(left.pop(0))
        yield chosen
