"""Tests of the scores of simulated questions against values computed by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vega3d_ros.evaluation.metrics.simulated import answer_score, relative_accuracy


@pytest.mark.parametrize(
    ("predicted", "truth", "expected"),
    [
        (10, 10, 1.0),
        (10.5, 10, 1.0),  # off by 5 %: right at all ten thresholds, the last by <=
        (10.6, 10, 0.9),
        (12, 10, 0.7),
        (15, 10, 0.1),  # off by 50 %: right at the first threshold alone
        (15.1, 10, 0.0),
        (5, 10, 0.1),
        (0, 10, 0.0),
        (0, 0, 1.0),
        (1, 0, 0.0),
    ],
)
def test_relative_accuracy(predicted, truth, expected):
    assert relative_accuracy(predicted, truth) == pytest.approx(expected)


@given(st.floats(0.01, 1e3), st.floats(0, 2))
def test_relative_accuracy_follows_the_definition(truth, ratio):
    # Held apart from thresholds, where rounding may decide either way.
    error = abs(ratio - 1)
    thresholds = [0.5 + 0.05 * i for i in range(10)]
    if min(abs(error - (1 - t)) for t in thresholds) < 1e-6:
        return
    expected = sum(error <= 1 - t for t in thresholds) / 10
    assert relative_accuracy(truth * ratio, truth) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kind", "said", "truth", "expected"),
    [
        ("count", "3", "3", 1.0),
        ("count", "3.", "3", 1.0),
        ("count", "3 chairs", "3", 1.0),
        ("count", "about 3", "3", 0.0),
        ("count", "three", "3", 0.0),
        ("count", "", "3", 0.0),
        ("count", "nan", "3", 0.0),
        ("count", "inf", "3", 0.0),
        ("absolute_distance", "2.4", "2.0", 0.7),
        ("absolute_distance", "2m", "2.0", 0.0),
        ("absolute_distance", "unknown", "2.0", 0.0),
        ("absolute_distance", "2.0", "unknown", 0.0),
        ("size", "Unknown.", "unknown", 1.0),
        ("attribute", "Red", "red", 1.0),
        ("attribute", " red.", "red", 1.0),
        ("attribute", "dark red", "red", 0.0),
        ("relative_distance", "trash bin", "trash bin", 1.0),
        ("yes_no", "yes", "no", 0.0),
        ("yes_no", "", "no", 0.0),
    ],
)
def test_answer_score(kind, said, truth, expected):
    assert answer_score(kind, said, truth) == pytest.approx(expected)
