"""Intervals of means, medians and corpus scores; scenes are resampled, not measurements.

Questions about one scene go together, so that a thousand questions about ten scenes are worth ten.
A scene is whatever is filmed once: a simulated clip, a room, a recording.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from numpy.typing import ArrayLike, NDArray

ENOUGH = 5
"""Fewest clips of which an interval is given."""

CAPTION = (
    "Per cent unless metres, with the 95 % interval over {units}; none of fewer than "
    f"{ENOUGH}, which say too little of how much they differ."
)
_RESAMPLES = 1000


@dataclass(frozen=True)
class Estimate:
    """A statistic with its 95 % interval over resampled clips.

    Attributes:
        value: NaN where there was nothing to measure.
        low: 2.5 % of the resampled values lie below. NaN where no interval is known: a handful of
            clips says little of how much clips differ.
        high: 2.5 % lie above.
        count: Measurements.
    """

    value: float
    low: float
    high: float
    count: int

    def shown(self, *, metres: bool = False) -> str:
        """Per cent, or metres, with the interval where one is known; "n/a" of nothing."""
        if not self.count or not np.isfinite(self.value):
            return "n/a"
        scale, digits = (1, 2) if metres else (100, 1)
        value, low, high = (f"{scale * v:.{digits}f}" for v in (self.value, self.low, self.high))
        return value if np.isnan(self.low) else f"{value} ({low} to {high})"


NOTHING = Estimate(np.nan, np.nan, np.nan, 0)
"""The estimate of no measurements."""


def mean_over_clips(values: ArrayLike, clips: Sequence[Hashable]) -> Estimate:
    """Mean of all values; clips, not values, are resampled, because values of a clip go together.

    A share of independent measurements, one of each clip, has Wilson's interval: resampling makes
    it too narrow near none and all.

    Args:
        values: [N].
        clips: Number or name of each value's clip, [N].
    """
    estimate = macro_mean([(values, clips)])
    if len(set(clips)) < max(ENOUGH, len(clips)) or not np.isin(values, (0, 1)).all():
        return estimate
    return Estimate(estimate.value, *_wilson(estimate.value, len(clips)), len(clips))


def _wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (E. B. Wilson 1927)."""
    z2 = NormalDist().inv_cdf(0.975) ** 2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = np.sqrt(z2 * (share * (1 - share) / count + z2 / (4 * count**2))) / (1 + z2 / count)
    return float(middle - half), float(middle + half)


def macro_mean(
    groups: Sequence[tuple[ArrayLike, Sequence[Hashable]]], shares: Sequence[float] | None = None
) -> Estimate:
    """Mean of the means of several groups of values, such as the kinds of questions.

    Args:
        groups: ``values`` and ``clips`` of each group; a group without values is left out.
        shares: How much each group counts; all alike without.
    """
    filled = [(np.asarray(v, np.float64), np.asarray(c)) for v, c in groups if len(c)]
    if not filled:
        return NOTHING
    counts_for = None
    if shares is not None:
        counts_for = [share for (_, c), share in zip(groups, shares, strict=True) if len(c)]
    known = np.unique(np.concatenate([clips for _, clips in filled]))
    weights = resampled(len(known))
    means = []
    for values, clips in filled:
        at = np.searchsorted(known, clips)
        sums = np.bincount(at, values, len(known))
        counts = np.bincount(at, minlength=len(known))
        drawn = weights @ counts
        means.append(np.where(drawn > 0, weights @ sums / np.maximum(drawn, 1), values.mean()))
    drawn_means = np.average(means, axis=0, weights=counts_for)
    value = float(np.average([values.mean() for values, _ in filled], weights=counts_for))
    return Estimate(value, *_interval(drawn_means, len(known)), sum(len(v) for v, _ in filled))


def sums_over_clips(
    parts: NDArray[np.float64],
    clips: Sequence[Hashable],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> Estimate:
    """A statistic of sums over all measurements, such as a corpus score of captions.

    Args:
        parts: What is summed, [N, K].
        clips: Clip of each measurement, [N].
        statistic: From sums [..., K] to the statistic [...].
    """
    known, at = np.unique(np.asarray(clips), return_inverse=True)
    sums = np.zeros((len(known), parts.shape[1]))
    np.add.at(sums, at, parts)
    interval = _interval(statistic(resampled(len(known)) @ sums), len(known))
    return Estimate(float(statistic(sums.sum(axis=0))), *interval, len(parts))


def median_over_clips(values: ArrayLike, clips: Sequence[Hashable]) -> Estimate:
    """Median of all values; clips are resampled."""
    array, owners = np.asarray(values, np.float64), np.asarray(clips)
    if not len(array):
        return NOTHING
    order = np.argsort(array)
    known, at = np.unique(owners[order], return_inverse=True)
    # The median of repeated values is where their cumulated weight passes one half.
    cumulated = np.cumsum(resampled(len(known))[:, at], axis=1)
    middle = (cumulated < cumulated[:, -1:] / 2).sum(axis=1)
    medians = array[order][np.minimum(middle, len(array) - 1)]
    return Estimate(float(np.median(array)), *_interval(medians, len(known)), len(array))


def _interval(drawn: NDArray[np.float64], clips: int) -> tuple[float, float]:
    """Where 95 % of the resampled values lie; NaN of too few clips."""
    if clips < ENOUGH:
        return np.nan, np.nan
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def resampled(clips: int) -> NDArray[np.int64]:
    """How often each clip is drawn in each resample, [resamples, clips]; always the same."""
    rng = np.random.default_rng(0)
    return rng.multinomial(clips, np.full(clips, 1 / clips), size=_RESAMPLES)
