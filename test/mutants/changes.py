"""One-line changes that make results wrong, each with the tests that must fail under it.

They are kept in ``changes.txt``, by file of ``vega3d_ros``; a blank line ends a change::

    # why it matters, where that is not plain
    core/geometry.py
    - text that occurs once in the file
    + what takes its place; nothing: ``pass``
    ! core/test_geometry.py::test_that_must_fail

Several lines of one kind are one text of several lines.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).with_suffix(".txt")


class Change(NamedTuple):
    """A change of the tree, and the ids of the tests that must fail under it."""

    path: str
    old: str
    new: str
    tests: list[str]

    def shown(self) -> str:
        return f"{self.path}: {self.new.strip().splitlines()[0]}"


def read_changes() -> list[Change]:
    changes = []
    for block in FILE.read_text().strip().split("\n\n"):
        parts: dict[str, list[str]] = {"-": [], "+": [], "!": []}
        path, *lines = [line for line in block.splitlines() if not line.startswith("#")]
        for line in lines:
            parts[line[0]].append(line[2:])
        old, new = ("\n".join(parts[kind]) for kind in "-+")
        tests = [f"test/{test}" for test in parts["!"]]
        changes.append(Change(f"vega3d_ros/{path}", old, new or "pass", tests))
    return changes
