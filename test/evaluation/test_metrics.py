"""Tests of the scores against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from vega3d_ros.evaluation.metrics import (
    answer_score,
    macro_mean,
    mean_over_clips,
    median_over_clips,
    relative_accuracy,
)


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


def test_mean_and_interval():
    sure = mean_over_clips([0.3] * 20, list(range(20)))
    assert (sure.value, sure.low, sure.high, sure.count) == pytest.approx((0.3, 0.3, 0.3, 20))
    values = np.arange(200) % 2
    split = mean_over_clips(values, list(range(200)))
    assert split.value == 0.5
    # Binomial: 1.96 sqrt(.25 / 200) = .069
    assert split.high - split.value == pytest.approx(0.069, abs=0.01)
    assert split.value - split.low == pytest.approx(0.069, abs=0.01)


def test_clips_are_resampled_not_values():
    # Ten clips whose twenty values agree are worth ten values, not two hundred.
    values = np.repeat(np.arange(10) % 2, 20)
    together = mean_over_clips(values, np.repeat(np.arange(10), 20))
    apart = mean_over_clips(values, list(range(200)))
    assert together.high - together.low > 3 * (apart.high - apart.low)


def test_intervals_do_not_change_from_call_to_call():
    values, clips = np.linspace(0, 1, 50), list(range(50))
    assert mean_over_clips(values, clips) == mean_over_clips(values, clips)
    assert median_over_clips(values, clips) == median_over_clips(values, clips)


def test_median():
    one = median_over_clips([3.0, 1.0, 100.0], [0, 1, 2])
    assert one.value == 3.0
    assert one.low == 1.0
    assert one.high == 100.0
    many = median_over_clips(norm.ppf((np.arange(1000) + 0.5) / 1000), list(range(1000)))
    # Of a normal distribution, the median's standard error is sqrt(pi / 2) / sqrt(1000) = .04.
    assert many.low == pytest.approx(-1.96 * 0.04, abs=0.015)
    assert many.high == pytest.approx(1.96 * 0.04, abs=0.015)


def test_kinds_weigh_alike_however_often_they_were_asked():
    rare, frequent = ([1.0], [0]), ([0.0] * 99, list(range(99)))
    assert macro_mean([rare, frequent, ([], [])]).value == 0.5
    assert mean_over_clips([1.0] + [0.0] * 99, [0, *range(99)]).value == pytest.approx(0.01)


def test_nothing_measured_is_not_zero():
    for empty in (mean_over_clips([], []), median_over_clips([], []), macro_mean([])):
        assert np.isnan(empty.value)
        assert empty.count == 0
