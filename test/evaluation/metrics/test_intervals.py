"""Tests of means, medians and their intervals against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from vega3d_ros.evaluation.metrics.intervals import (
    macro_mean,
    mean_over_clips,
    median_over_clips,
    sums_over_clips,
)


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


def test_one_clip_tells_nothing_of_how_clips_differ():
    parts = np.array([[1.0, 2.0], [1.0, 2.0]])
    for one in (
        mean_over_clips([0.0, 1.0], ["a", "a"]),
        median_over_clips([0.0, 1.0], ["a", "a"]),
        sums_over_clips(parts, ["a", "a"], lambda s: s[..., 0] / s[..., 1]),
    ):
        assert one.value == 0.5
        assert np.isnan([one.low, one.high]).all()
        assert one.shown() == "50.0"
        assert one.shown(metres=True) == "0.50"
    assert mean_over_clips([0.5, 0.5], [0, 1]).shown() == "50.0 ± 0.0"


def test_a_kind_may_count_for_less():
    halves = [([1.0, 1.0], [0, 1]), ([0.0], [1]), ([], [])]
    assert macro_mean(halves, [0.25, 0.75, 9]).value == pytest.approx(0.25)


def test_clips_may_have_names():
    by_number = mean_over_clips([0.0, 1.0, 1.0, 0.5], [0, 0, 1, 2])
    assert mean_over_clips([0.0, 1.0, 1.0, 0.5], ["a", "a", "b", "c"]) == by_number


def test_a_statistic_of_sums_agrees_with_the_mean():
    rng = np.random.default_rng(0)
    values, clips = rng.random(60), rng.integers(0, 9, 60).tolist()
    parts = np.column_stack([values, np.ones(60)])
    ratio = sums_over_clips(parts, clips, lambda s: s[..., 0] / s[..., 1])
    mean = mean_over_clips(values, clips)
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((mean.value, mean.low, mean.high))
