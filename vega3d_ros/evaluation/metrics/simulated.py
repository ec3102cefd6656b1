"""Scores of answers to the simulator's questions."""

from __future__ import annotations

import numpy as np

RIGHT = "a length within 25 % is right"
NUMERIC_KINDS = frozenset({"count", "absolute_distance", "size"})
_MEASURED_KINDS = frozenset({"absolute_distance", "size"})
UNKNOWN = "unknown"
# VSI-Bench's ten thresholds; the answer counts at each where |p - g| / g <= 1 - threshold.
THRESHOLDS = np.linspace(0.5, 0.95, 10)


def relative_accuracy(predicted: float, truth: float) -> float:
    """Mean relative accuracy of a number, in [0, 1] (VSI-Bench, arXiv 2412.14171, section 3.3).

    The official code compares with <=, the paper with <; this follows the code. Of a truth of zero
    only zero itself is right.
    """
    if truth == 0:
        return float(predicted == 0)
    error = abs(predicted - truth) / abs(truth)
    # Rounding must not decide at a threshold: 1 - 0.95 is not 0.05.
    return float(np.mean(error <= 1 - THRESHOLDS + 1e-9))


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


def is_right(kind: str, score: float) -> bool:
    """Whether an answer of this score counts as right: see ``RIGHT``; any other exactly."""
    # Within 25 %, six of the ten thresholds hold.
    return score >= (0.6 if kind in _MEASURED_KINDS else 1.0) - 1e-9


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(".")
