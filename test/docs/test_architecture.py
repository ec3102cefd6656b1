"""docs/architecture.md says what is so: rooms, names, paths, and the drawing of the imports."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "vega3d_ros"
PAGE = ROOT / "docs" / "architecture.md"


def load_script():
    spec = importlib.util.spec_from_file_location(
        "import_graph", ROOT / "docs" / "import_graph.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GRAPH = load_script()


def table(heading):
    """Cells of the rows of the first table below a heading."""
    section = PAGE.read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def names_defined_in(room):
    trees = [ast.parse(file.read_text()) for file in (PACKAGE / room).rglob("*.py")]
    kinds = (ast.ClassDef, ast.FunctionDef)
    return {node.name for tree in trees for node in tree.body if isinstance(node, kinds)}


def test_the_drawing_is_that_of_the_code():
    assert GRAPH.DRAWING.read_text() == GRAPH.drawing_of_the_code(), (
        "the imports have changed: run python docs/import_graph.py and commit the drawing"
    )


def test_every_room_is_drawn_and_described_in_the_order_of_the_law():
    folders = {file.parent.name for file in PACKAGE.glob("*/__init__.py")}
    assert set(GRAPH.ROOMS) == folders
    assert tuple(row[0].strip("`") for row in table("Rooms")) == GRAPH.ROOMS


def test_the_law_that_is_drawn_is_the_one_that_the_linter_holds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    named = [layer.strip("()") for layer in reversed(layers)]
    assert tuple(room for room in named if (PACKAGE / room).is_dir()) == GRAPH.ROOMS


@pytest.mark.parametrize("room", GRAPH.ROOMS)
def test_the_public_names_of_a_room_are_defined_in_it(room):
    (names,) = (row[2] for row in table("Rooms") if row[0] == f"`{room}`")
    assert set(re.findall(r"`(\w+)`", names)) <= names_defined_in(room)


@pytest.mark.parametrize("heading", ["Seams", "Where to look"])
def test_every_file_that_is_named_exists(heading):
    cells = " ".join(cell for row in table(heading) for cell in row)
    paths = [path for path in re.findall(r"`([\w./]+)`", cells) if "/" in path]
    assert len(paths) >= 5
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_imports_of_every_form_are_counted(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        "import vega3d_ros.core.frames\n"
        "from vega3d_ros import sensing\n"
        "def f():\n    from vega3d_ros.models.priors import base\n"
    )
    names = set(GRAPH.imported_names(file))
    assert {"vega3d_ros.core.frames", "vega3d_ros.sensing", "vega3d_ros.models.priors"} <= names


def test_arrows_against_the_law_are_drawn_apart():
    sizes = dict.fromkeys(GRAPH.ROOMS, 1)
    obeying, breaking = ({("models", "core"): 2}, {("core", "models"): 2})
    assert 'class="against" marker' not in GRAPH.draw(obeying, sizes)
    assert 'class="against" marker' in GRAPH.draw(breaking, sizes)
