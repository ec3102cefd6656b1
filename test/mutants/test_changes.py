"""The list of `make mutants` must not rot: every change applies, and its tests are there."""

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from mutants.changes import read_changes

CHANGES = read_changes()
ROOT = Path(__file__).parents[2]
ROOMS = {path.name for path in (ROOT / "vega3d_ros").iterdir() if (path / "__init__.py").exists()}


@cache
def functions_of(file):
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.path)
def test_a_change_applies_to_one_place_and_names_tests_that_exist(change):
    assert (ROOT / change.path).read_text().count(change.old) == 1
    assert change.new != change.old
    for test in change.tests:
        file, *_, name = test.split("::")
        assert name in functions_of(file)


def test_no_change_is_listed_twice_and_every_room_has_some():
    assert len({(change.path, change.old, change.new) for change in CHANGES}) == len(CHANGES)
    rooms = Counter(change.path.split("/")[1] for change in CHANGES)
    assert set(rooms) == ROOMS - {"weights"}
    assert min(rooms.values()) >= 2
