"""The comparison of outputs with stored ones: what counts as a difference, and what does not."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from same.comparison import compare
from same.stored import read_tree, write_tree

DATA = Path(__file__).parents[1] / "data" / "same"

STORED = {
    "objects": [
        {"label": "chair", "score": 0.91, "center": [1.5, -0.002, 0.4], "observations": 3},
        {"label": "table", "score": 0.72, "center": [0.1, 2.0, 0.3], "observations": 1},
    ],
    "answer": {"text": "2", "confidence": 0.5},
    "gate": np.linspace(0, 1, 12).reshape(3, 4),
    "bearing": float("nan"),
    "missing": None,
    "estimated": True,
}


def changed(change):
    present = deepcopy(STORED)
    change(present)
    return compare(STORED, present, tolerance=2e-4)


def set_center(tree, value):
    tree["objects"][0]["center"] = value


def test_the_same_outputs_are_identical():
    found = compare(STORED, deepcopy(STORED), tolerance=0.0)
    assert found.identical
    assert found.differences == found.added == []
    # Two lengths of lists count too: objects, and each field is compared.
    assert found.values == 1 + 2 * (2 + 3 + 1) + 2 + 12 + 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t["objects"].pop(), "objects: 2 items were stored, 1 are here"),
        (lambda t: t["objects"].reverse(), "objects/0/label: 'chair' was stored, 'table' is here"),
        (lambda t: t["answer"].update(text="3"), "answer/text: '2' was stored, '3' is here"),
        (lambda t: t["answer"].pop("text"), "answer/text: was stored, is missing"),
        (lambda t: t["answer"].update(confidence=0.501), "answer/confidence: 0.5 was stored"),
        (lambda t: t["objects"][1].update(observations=2), "observations: 1 was stored, 2"),
        (lambda t: t.update(gate=t["gate"].T), "gate: shape (3, 4) was stored, (4, 3) is here"),
        (lambda t: t.update(bearing=0.1), "bearing: other values are missing"),
        (lambda t: t.update(missing=0.0), "missing: None was stored, 0.0 is here"),
        (lambda t: t.update(estimated=1), "estimated: True was stored, 1 is here"),
        (lambda t: set_center(t, [1.5, -0.002]), "center: shape (3,) was stored, (2,)"),
    ],
)
def test_a_difference_is_named_with_its_path(change, words):
    found = changed(change)
    assert words in "; ".join(found.differences)


def test_a_coordinate_near_zero_is_held_to_the_scale_of_its_vector():
    found = changed(lambda t: set_center(t, [1.5, -0.0022, 0.4]))
    assert found.differences == []
    assert not found.identical
    assert found.where == "objects/0/center"
    assert found.largest == pytest.approx(0.0002 / 1.5)
    assert changed(lambda t: set_center(t, [1.5, -0.003, 0.4])).differences


def test_a_whole_number_written_as_a_count_is_the_same_number():
    assert compare({"score": 1.0}, {"score": 1}, tolerance=1e-6).differences == []
    assert compare({"score": 1}, {"score": 1.0}, tolerance=1e-6).differences == []
    assert compare({"score": 1}, {"score": 1.01}, tolerance=1e-6).differences


def test_counts_are_compared_exactly():
    assert compare({"frames": 100_000}, {"frames": 100_001}, tolerance=0.1).differences


def test_a_field_of_another_name_is_the_same_where_it_is_listed():
    stored = {"frames": {"by_fate": {"used": 3}, "old": 1}}
    present = {"frames": {"by_status": {"used": 3}}}
    listed = {"by_fate": "by_status", "old": None}
    assert compare(stored, present, tolerance=0.0, renamed=listed).differences == []
    unlisted = compare(stored, present, tolerance=0.0)
    assert unlisted.differences == [
        "frames/by_fate: was stored, is missing",
        "frames/old: was stored, is missing",
    ]
    present["frames"]["by_status"]["used"] = 4
    assert compare(stored, present, tolerance=0.0, renamed=listed).differences


def test_a_new_field_is_told_and_is_no_difference():
    found = changed(lambda t: t["answer"].update(reason="seen"))
    assert found.differences == []
    assert found.added == ["answer/reason"]


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8),
    st.floats(1e-7, 1e-2),
    st.data(),
)
def test_only_what_exceeds_the_tolerance_differs(values, tolerance, data):
    index = data.draw(st.integers(0, len(values) - 1))
    magnitude = max(*map(abs, values), 1e-2)
    for factor, differs in ((0.9, False), (1.1, True)):
        other = list(values)
        other[index] += factor * tolerance * magnitude
        found = compare({"x": values}, {"x": other}, tolerance=tolerance)
        assert bool(found.differences) == differs


def test_what_is_written_is_what_is_read(tmp_path):
    write_tree(STORED, tmp_path, "part")
    found = compare(STORED, read_tree(tmp_path, "part"), tolerance=0.0)
    assert (found.identical, found.differences) == (True, [])


@pytest.mark.parametrize("part", ["evaluation", "clips", "fusion", "official", "node"])
def test_every_part_is_stored_and_differs_where_a_number_in_it_does(part):
    stored, present = read_tree(DATA, part), read_tree(DATA, part)
    assert compare(stored, present, tolerance=0.0).values > 500
    spoil(present)
    assert len(compare(stored, present, tolerance=2e-4).differences) == 1


def spoil(tree):
    """Move one number by a hundredth of its group, as a threshold or a weight would."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if isinstance(value, float):
            tree[key] = value + 0.01 * max(abs(value), 1.0)
            return True
        if isinstance(value, np.ndarray):
            value.flat[0] += 0.01 * np.abs(value).max()
            return True
        if isinstance(value, dict | list) and spoil(value):
            return True
    return False
