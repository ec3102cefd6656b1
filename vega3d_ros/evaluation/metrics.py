"""Scores of answers, and how sure a mean over clips is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

NUMERIC_KINDS = frozenset({"count", "absolute_distance", "size"})
UNKNOWN = "unknown"
# VSI-Bench's ten thresholds; the answer counts at each where |p - g| / g <= 1 - threshold.
_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RESAMPLES = 1000


def relative_accuracy(predicted: float, truth: float) -> float:
    """Mean relative accuracy of a number, in [0, 1] (VSI-Bench, arXiv 2412.14171, section 3.3).

    The official code compares with <=, the paper with <; this follows the code. Of a truth of zero
    only zero itself is right.
    """
    if truth == 0:
        return float(predicted == 0)
    error = abs(predicted - truth) / abs(truth)
    # Rounding must not decide at a threshold: 1 - 0.95 is not 0.05.
    return float(np.mean(error <= 1 - _THRESHOLDS + 1e-9))


def answer_score(kind: str, predicted: str, truth: str) -> float:
    """Score of one answer, in [0, 1].

    Numbers by mean relative accuracy of the first word, as VSI-Bench reads it: what is no number
    scores 0. Everything else by equality but for case, blanks and a final full stop. "unknown" is
    right where it is the truth, and only there.
    """
    said, right = _plain(predicted), _plain(truth)
    if kind not in NUMERIC_KINDS or UNKNOWN in (said, right):
        return float(said == right)
    try:
        number = float(said.split(" ")[0].rstrip("."))
    except ValueError:
        return 0.0
    return relative_accuracy(number, float(right)) if np.isfinite(number) else 0.0


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(".")


@dataclass(frozen=True)
class Estimate:
    """A statistic with its 95 % interval over resampled clips.

    Attributes:
        value: NaN where there was nothing to measure.
        low: 2.5 % of the resampled values lie below.
        high: 2.5 % lie above.
        count: Measurements.
    """

    value: float
    low: float
    high: float
    count: int


def mean_over_clips(values: ArrayLike, clips: Sequence[int]) -> Estimate:
    """Mean of all values; clips, not values, are resampled, because values of a clip go together.

    Args:
        values: [N].
        clips: Clip of each value, [N].
    """
    return macro_mean([(values, clips)])


def macro_mean(groups: Sequence[tuple[ArrayLike, Sequence[int]]]) -> Estimate:
    """Unweighted mean of the means of several groups of values, such as the kinds of questions.

    Args:
        groups: ``values`` and ``clips`` of each group; a group without values is left out.
    """
    filled = [(np.asarray(v, np.float64), np.asarray(c)) for v, c in groups if len(c)]
    if not filled:
        return Estimate(np.nan, np.nan, np.nan, 0)
    known = np.unique(np.concatenate([clips for _, clips in filled]))
    weights = _resampled(len(known))
    means = []
    for values, clips in filled:
        at = np.searchsorted(known, clips)
        sums = np.bincount(at, values, len(known))
        counts = np.bincount(at, minlength=len(known))
        drawn = weights @ counts
        means.append(np.where(drawn > 0, weights @ sums / np.maximum(drawn, 1), values.mean()))
    low, high = np.percentile(np.mean(means, axis=0), [2.5, 97.5])
    value = float(np.mean([values.mean() for values, _ in filled]))
    return Estimate(value, float(low), float(high), sum(len(v) for v, _ in filled))


def median_over_clips(values: ArrayLike, clips: Sequence[int]) -> Estimate:
    """Median of all values; clips are resampled."""
    array, owners = np.asarray(values, np.float64), np.asarray(clips)
    if not len(array):
        return Estimate(np.nan, np.nan, np.nan, 0)
    order = np.argsort(array)
    known, at = np.unique(owners[order], return_inverse=True)
    # The median of repeated values is where their cumulated weight passes one half.
    cumulated = np.cumsum(_resampled(len(known))[:, at], axis=1)
    middle = (cumulated < cumulated[:, -1:] / 2).sum(axis=1)
    low, high = np.percentile(array[order][np.minimum(middle, len(array) - 1)], [2.5, 97.5])
    return Estimate(float(np.median(array)), float(low), float(high), len(array))


def _resampled(clips: int) -> NDArray[np.int64]:
    """How often each clip is drawn in each resample, [resamples, clips]; always the same."""
    rng = np.random.default_rng(0)
    return rng.multinomial(clips, np.full(clips, 1 / clips), size=_RESAMPLES)
