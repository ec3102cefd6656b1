"""What commands print: remarks, progress and results, as ``-q``, ``-v`` and ``--json`` ask.

Progress is a bar on a terminal and lines elsewhere, so that logs stay readable.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from vega3d_ros.core.json_io import finite

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import Console

T = TypeVar("T")
_LINES = 10  # of one task, where there is no terminal


@dataclass
class _Chosen:
    quiet: bool = False
    json: bool = False


_chosen = _Chosen()


class Progress(Protocol):
    """Tells how far a task is."""

    def __call__(self, name: str, done: float, total: float, note: str = "") -> None:
        """``done`` of ``total``, in any unit; ``note`` is shown behind."""


def choose(*, quiet: bool = False, verbose: bool = False, json: bool = False) -> None:
    """Set what is printed.

    Args:
        quiet: No remarks and no progress; results and errors stay.
        verbose: What other libraries log, too.
        json: Results as one JSON document alone on stdout; everything else goes to stderr.
    """
    _chosen.quiet, _chosen.json = quiet, json
    if verbose:
        logging.basicConfig(level=logging.INFO, force=True)
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "info")


def hide_foreign_bars() -> None:
    """Keep progress bars of other libraries, which are not imported yet, out of logs."""
    if not sys.stderr.isatty():
        for name in ("TQDM_DISABLE", "HF_HUB_DISABLE_PROGRESS_BARS"):
            os.environ.setdefault(name, "1")


def remarks() -> Console:
    """For what a user may skip: what was chosen, where it was written, progress."""
    from rich.console import Console  # noqa: PLC0415 - the help needs none

    return Console(stderr=_chosen.json, quiet=_chosen.quiet)


def results() -> Console:
    """For the tables that were asked for."""
    from rich.console import Console  # noqa: PLC0415 - the help needs none

    return Console(quiet=_chosen.json)


def give(document: Any) -> None:
    """Print results as JSON if that is asked for; unknown values are null."""
    if _chosen.json:
        sys.stdout.write(json.dumps(finite(document), indent=1, default=str) + "\n")


@contextmanager
def progress(console: Console | None = None) -> Iterator[Progress]:
    """Shows tasks by name, while the context lasts."""
    console = remarks() if console is None else console
    if not console.is_terminal:
        yield _lines(console)
        return
    from rich import progress as bars  # noqa: PLC0415 - slow to import

    columns = (
        bars.TextColumn("{task.description}"), bars.BarColumn(),
        bars.TextColumn("{task.percentage:>3.0f} %"), bars.TimeRemainingColumn(),
        bars.TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    with bars.Progress(*columns, console=console) as shown:
        tasks: dict[str, bars.TaskID] = {}

        def tell(name: str, done: float, total: float, note: str = "") -> None:
            if name not in tasks:
                tasks[name] = shown.add_task(name, total=total, note=note)
            shown.update(tasks[name], completed=done, total=total, note=note)

        yield tell


def _lines(console: Console) -> Progress:
    said: dict[str, int] = {}

    def tell(name: str, done: float, total: float, note: str = "") -> None:
        part = int(_LINES * done / total) if total > 0 else _LINES
        if part > said.get(name, 0):
            said[name] = part
            text = f"{name}: {100 * part // _LINES} % {note}".rstrip()
            console.print(text, highlight=False, markup=False, soft_wrap=True)

    return tell


def track(items: Iterable[T], name: str, total: int) -> Iterator[T]:
    """The items, while it is shown how many of ``total`` are done."""
    with progress() as tell:
        for done, item in enumerate(items, 1):
            yield item
            tell(name, done, total)
