"""Sections of a report that is written as a page and as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from vega3d_ros.evaluation import html

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import JustifyMethod

RECORDING = "recording"
_STYLES = {"right": "green", "wrong": "red"}


class Section:
    """A heading with notes and tables, for both forms of a report."""

    def __init__(self, title: str, notes: Sequence[str] = ()) -> None:
        self.title, self.notes = title, [note for note in notes if note]
        self._tables: list[tuple[Sequence[str], list[Sequence[str]], list[str] | None]] = []

    def add(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        bars: Iterable[str] | None = None,
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
            self._tables.append((columns, filled, None if bars is None else list(bars)))
        return self

    def html(self, *, headed: bool = True) -> list[str]:
        parts = [html.heading(self.title)] if headed else []
        parts += [html.note(note) for note in self.notes]
        for columns, rows, bars in self._tables:
            if bars is None:
                parts.append(html.table(columns, rows))
            else:
                drawn = ([*row, bar] for row, bar in zip(rows, bars, strict=True))
                parts.append(html.table([*columns, "<"], drawn))
        return parts

    def rich(self, width: int) -> Iterator[Table]:
        """Its tables for a terminal; one of figures that is too wide becomes several."""
        caption = " ".join(self.notes) or None
        for columns, rows, _ in self._tables:
            for chosen in _fitting(columns, rows, width):
                table = Table(title=escape(self.title), caption=caption, title_justify="left")
                for name in (columns[i] for i in chosen):
                    justify: JustifyMethod = "right" if name[:1] == ">" else "left"
                    table.add_column(escape(name.lstrip("><")), justify=justify, overflow="fold")
                for row in rows:
                    table.add_row(*(_coloured(row[i]) for i in chosen))
                yield table

    def markdown(self, *, headed: bool = True) -> list[str]:
        lines = [f"## {self.title}", ""] if headed else []
        lines += [f"{note}\n" for note in self.notes]
        for columns, rows, _ in self._tables:
            lines.append("| " + " | ".join(c.lstrip("><") for c in columns) + " |")
            lines.append("|" + "|".join("--:" if c[:1] == ">" else "---" for c in columns) + "|")
            lines += ["| " + " | ".join(t.replace("|", "\\|") for t in r) + " |" for r in rows]
            lines.append("")
        return lines


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
