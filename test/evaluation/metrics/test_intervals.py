"""Tests of means, medians and their intervals against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from vega3d_ros.evaluation.metrics.intervals import (
    Estimate,
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
    one = median_over_clips([3.0, 1.0, 100.0, 2.0, 4.0], list(range(5)))
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


def test_four_clips_have_no_interval_and_five_have_one():
    assert mean_over_clips([0.2, 0.8] * 2, list(range(4))).shown() == "50.0"
    assert mean_over_clips([0.5] * 5, list(range(5))).shown() == "50.0 (50.0 to 50.0)"
    assert mean_over_clips([0.5] * 5, list(range(5))).shown(metres=True) == "0.50 (0.50 to 0.50)"


def test_a_share_of_independent_questions_has_wilsons_interval():
    # Worked by hand with z = 1.96: centre 0.5962, half width 0.2192.
    share = mean_over_clips([1] * 10 + [0] * 6, list(range(16)))
    assert share.value == pytest.approx(0.625)
    z2, n, p = 1.959964**2, 16, 0.625
    root = np.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n)))
    assert share.low == pytest.approx((p + z2 / (2 * n) - root) / (1 + z2 / n), abs=1e-6)
    assert share.high == pytest.approx((p + z2 / (2 * n) + root) / (1 + z2 / n), abs=1e-6)
    # None wrong of ten: not certainly none.
    assert mean_over_clips([1.0] * 10, list(range(10))).low == pytest.approx(0.7225, abs=1e-3)
    # Two questions of one clip are not independent: the clips are resampled.
    assert mean_over_clips([1.0] * 10, [0, 0, *range(1, 9)]).low == 1.0


def test_an_interval_is_shown_as_it_is_low_to_high():
    skewed = Estimate(0.9, 0.5, 0.95, 12)
    assert skewed.shown() == "90.0 (50.0 to 95.0)"
    assert Estimate(np.nan, np.nan, np.nan, 0).shown() == "n/a"


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
