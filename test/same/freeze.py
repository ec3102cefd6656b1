"""Outputs of an earlier commit, and a comparison with what the present code gives.

``python test/same/freeze.py store`` computes them anew and replaces what is stored;
``python test/same/freeze.py compare`` (``make same``) compares and fails where they differ.
Store only at a commit whose outputs are right: what is stored is what later commits must give.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import outputs
import torch
from comparison import compare
from rich.console import Console
from rich.table import Table
from stored import read_tree, write_tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from comparison import Comparison

STORED = Path(__file__).resolve().parents[1] / "data" / "same"

# Fields that have another name than when the outputs were stored: the stored name and the present
# one, or None for a field that is gone.
RENAMED: dict[str, str | None] = {}

SHOWN = 5


class Part(NamedTuple):
    """One kind of output: what it is, how it is computed, and how far floats may differ.

    The tolerances are for other processors than the one that the outputs were stored on: their
    float32 sums are rounded in another order. On the same processor all floats are identical.
    """

    what: str
    compute: Callable[[], Any]
    tolerance: float


def _node_objects() -> Any:
    (recording,) = read_tree(STORED, "evaluation")["recordings"].values()
    return outputs.node_objects(recording["figures"]["scenes"])


PARTS = {
    "evaluation": Part("vega3d evaluate, demo bag", outputs.evaluation, 2e-4),
    "clips": Part("nano on three clips", outputs.clips, 2e-4),
    "fusion": Part("golden fusion methods", outputs.fusion, 1e-5),
    "official": Part("golden official checkpoint", outputs.official, 1e-5),
    "node": Part("~/objects of the live node", _node_objects, 2e-4),
}


def main() -> int:
    """Store or compare; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("store", "compare"))
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    args = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    if args.action == "store":
        return _store(args.only, console)
    return _compare(args.only, console)


def _store(names: list[str], console: Console) -> int:
    for name in names:
        try:
            write_tree(PARTS[name].compute(), STORED, name)
        except (outputs.MissingError, outputs.IncompleteError) as reason:
            console.print(f"{name}: not stored: {reason}", highlight=False, soft_wrap=True)
            return 1
        console.print(f"{name}: stored", highlight=False)
    return 0


def _compare(names: list[str], console: Console) -> int:
    table = Table(title="the present code against stored outputs")
    for column in ("what", "values", "largest relative difference", "allowed", "", "seconds"):
        table.add_column(column, justify="left" if column in {"what", ""} else "right")
    failures, remarks = [], []
    for name in names:
        part, begin_s = PARTS[name], time.monotonic()
        try:
            present = part.compute()
        except outputs.MissingError as missing:
            table.add_row(part.what, "", "", "", "skipped", "")
            remarks.append(f"{name}: skipped: {missing}")
            continue
        except outputs.IncompleteError as reason:
            table.add_row(part.what, "", "", "", "INCOMPLETE", "")
            failures.append(f"{name} is incomplete: {reason}")
            continue
        found = compare(
            read_tree(STORED, name), present, tolerance=part.tolerance, renamed=RENAMED
        )
        table.add_row(
            part.what, str(found.values), _largest(found), f"{part.tolerance:.0e}",
            _verdict(found), f"{time.monotonic() - begin_s:.0f}",
        )  # fmt: skip
        if found.where:
            remarks.append(f"{name}: the largest difference is at {found.where}")
        if found.added:
            remarks.append(f"{name}: not there before: {_first(found.added)}")
        if found.differences:
            failures.append(f"{name} differs: {_first(found.differences)}")
    console.print(table)
    for line in (*remarks, *failures):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return 1 if failures else 0


def _largest(found: Comparison) -> str:
    return f"{found.largest:.1e}" if found.largest else "0"


def _verdict(found: Comparison) -> str:
    if found.differences:
        return f"{len(found.differences)} DIFFER"
    return "identical" if found.identical else "equal"


def _first(lines: list[str]) -> str:
    more = len(lines) - SHOWN
    return "; ".join(lines[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


if __name__ == "__main__":
    sys.exit(main())
