"""Draws which room of the package imports from which: ``python docs/import_graph.py``.

It reads the imports, also those inside functions and those for types alone, and writes
``import_graph.svg`` beside this file. A test holds the committed drawing to the code.
"""

# ruff: noqa: INP001  (a script, not a package)
from __future__ import annotations

import ast
import math
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PACKAGE = Path(__file__).parents[1] / "vega3d_ros"
DRAWING = Path(__file__).with_name("import_graph.svg")

ROOMS = (
    "core",
    "sensing",
    "models",
    "perception",
    "viz",
    "ros",
    "simulation",
    "training",
    "evaluation",
    "replay",
    "demo",
    "cli",
)
"""In the order of the import law: a room imports only rooms before it."""

Edges = dict[tuple[str, str], int]

STEP, TOP, LEFT, BOX = 56, 40, 185, (150, 32)
REACH = 58  # how far an arrow bows out per room that it passes


def modules(room: str) -> list[Path]:
    """The Python files of a room."""
    return sorted((PACKAGE / room).rglob("*.py"))


def imported_names(file: Path) -> Iterator[str]:
    """Dotted names of what a file imports; of ``from a import b`` both ``a`` and ``a.b``."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            if node.level:
                msg = f"{file}, line {node.lineno}: write the import in full, from vega3d_ros"
                raise ValueError(msg)
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def read_edges() -> Edges:
    """How many modules of one room import something of another, by (importer, imported)."""
    found: Edges = defaultdict(int)
    for room in ROOMS:
        for file in modules(room):
            parts = (name.split(".") for name in imported_names(file))
            others = {name[1] for name in parts if name[0] == PACKAGE.name and len(name) > 1}
            for other in others & set(ROOMS) - {room}:
                found[room, other] += 1
    return dict(found)


def draw(edges: Edges, sizes: Mapping[str, int]) -> str:
    """The drawing, as SVG.

    Rooms stand below each other in the order of the law. An arrow on the right goes up, from the
    room that imports to a room before it; one on the left goes down, against the law.

    Args:
        edges: Number of importing modules by (importer, imported).
        sizes: Number of modules by room.
    """
    height = 2 * TOP + STEP * (len(ROOMS) - 1)
    width = LEFT + BOX[0] // 2 + REACH * (len(ROOMS) - 1) + 40
    arrows = "\n".join(_arrow(*pair, count) for pair, count in sorted(edges.items()))
    boxes = "\n".join(_box(room, sizes[room]) for room in ROOMS)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">
<title>Imports between the rooms of vega3d_ros</title>
<style>
.ground {{ fill: #ffffff }}
.room {{ fill: #eaeef2; stroke: #57606a }}
text {{ fill: #24292f; text-anchor: middle; dominant-baseline: central; font-size: 14px }}
.count {{ font-size: 12px; stroke: #ffffff; stroke-width: 5px; paint-order: stroke }}
.size {{ font-size: 10px }}
.arrow {{ fill: none; stroke: #57606a; stroke-opacity: 0.75 }}
.against {{ fill: none; stroke: #cf222e; stroke-dasharray: 5 3 }}
.arrow-head {{ fill: #57606a }}
.against-head {{ fill: #cf222e }}
@media (prefers-color-scheme: dark) {{
.ground {{ fill: #161b22 }}
.room {{ fill: #30363d; stroke: #8b949e }}
text {{ fill: #e6edf3 }}
.count {{ stroke: #161b22 }}
.arrow {{ stroke: #8b949e }}
.against {{ stroke: #ff7b72 }}
.arrow-head {{ fill: #8b949e }}
.against-head {{ fill: #ff7b72 }}
}}
</style>
<defs>{_head("arrow")}{_head("against")}</defs>
<rect class="ground" width="{width}" height="{height}"/>
{arrows}
{boxes}
</svg>
"""


def _row(room: str) -> int:
    return TOP + STEP * ROOMS.index(room)


def _arrow(importer: str, imported: str, count: int) -> str:
    passed = ROOMS.index(importer) - ROOMS.index(imported)
    side = 1 if passed > 0 else -1
    # Ends are spread over a box's height, so that arrows of one room do not touch.
    begin = _row(importer) - side * (4 + 8 * abs(passed) / len(ROOMS))
    end = _row(imported) + side * (4 + 8 * abs(passed) / len(ROOMS))
    edge = LEFT + side * BOX[0] // 2
    middle = (begin + end) / 2
    apex = edge + REACH * passed if passed > 0 else edge + 30 * passed
    # A cubic curve reaches three quarters of the way to its control points.
    control = edge + (apex - edge) * 4 / 3
    kind = "arrow" if passed > 0 else "against"
    weight = 1 + math.log2(count) / 2
    curve = f"C{control:.1f} {begin:.1f} {control:.1f} {end:.1f} {edge} {end:.1f}"
    return (
        f'<path class="{kind}" marker-end="url(#{kind})" stroke-width="{weight:.2f}" '
        f'd="M{edge} {begin:.1f}{curve}">'
        f"<title>{count} modules of {importer} import {imported}</title></path>"
        f'<text class="count" x="{apex:.1f}" y="{middle:.1f}">{count}</text>'
    )


def _head(kind: str) -> str:
    return (
        f'<marker id="{kind}" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto" '
        f'markerUnits="userSpaceOnUse"><path class="{kind}-head" d="M0 0L8 4L0 8z"/></marker>'
    )


def _box(room: str, size: int) -> str:
    wide, high = BOX
    y = _row(room)
    return (
        f'<rect class="room" x="{LEFT - wide / 2:.0f}" y="{y - high / 2:.0f}" width="{wide}" '
        f'height="{high}" rx="6"/>'
        f'<text x="{LEFT}" y="{y - 5}">{room}</text>'
        f'<text class="size" x="{LEFT}" y="{y + 9}">{size} modules</text>'
    )


def drawing_of_the_code() -> str:
    """The drawing that belongs to the code as it is."""
    return draw(read_edges(), {room: len(modules(room)) for room in ROOMS})


if __name__ == "__main__":
    DRAWING.write_text(drawing_of_the_code(), encoding="utf-8")
