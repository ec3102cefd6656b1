"""VSI-Bench: choices by accuracy, numbers by mean relative accuracy (Yang et al. 2024).

Follows the code of lmms-eval, as VEGA-3D uses it, to the bit. Two quirks of it: only the first
word of an answer is read ("about 2", "2m", "two" and "The answer is A" all score 0), and rounding
decides at the thresholds (1 - 0.8 < 0.2, so that an error of exactly 20 % fails at 0.8). A lenient
score, which reads the whole answer and forgives rounding, is given beside it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vega3d_ros.evaluation.metrics.intervals import NOTHING, macro_mean, mean_over_clips
from vega3d_ros.evaluation.metrics.simulated import THRESHOLDS, relative_accuracy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vega3d_ros.evaluation.metrics.intervals import Estimate

DIRECTIONS = (
    "object_rel_direction_easy",
    "object_rel_direction_medium",
    "object_rel_direction_hard",
)
CHOICES = (*DIRECTIONS, "object_rel_distance", "route_planning", "obj_appearance_order")
NUMBERS = (
    "object_abs_distance",
    "object_counting",
    "object_size_estimation",
    "room_size_estimation",
)
# fmt: off
_NUMBER_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen", "twenty",
)
# fmt: on
_NUMBER = re.compile(r"\d+(?:\.\d+)?|\b(?:" + "|".join(_NUMBER_WORDS) + r")\b")
_LETTER = re.compile(r"(?<![\w'])([A-Z])(?![\w'])")


def score(question_type: str, prediction: str, truth: str) -> float:
    """Official score of one answer, in [0, 1].

    Raises:
        ValueError: If the type is unknown.
    """
    word = prediction.split(" ", maxsplit=1)[0].rstrip(".").strip()
    if question_type in CHOICES:
        return float(word.lower() == truth.lower())
    if question_type not in NUMBERS:
        msg = f"unknown question type {question_type!r}; known: {', '.join(CHOICES + NUMBERS)}"
        raise ValueError(msg)
    said, right = _number(word), _number(truth)
    if said is None or right is None:
        return 0.0
    if right == 0:  # where the official code stops with an error
        return float(said == 0)
    return float((abs(said - right) / right <= 1 - THRESHOLDS).mean())


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def lenient_score(
    question_type: str, prediction: str, truth: str, options: Sequence[str] = ()
) -> float:
    """Score of the first number, or of the last letter that stands alone, anywhere in the answer.

    An answer without a letter that holds the words of exactly one option means that one.

    Args:
        question_type: One of ``CHOICES`` or ``NUMBERS``.
        prediction: The answer.
        truth: A letter or a number.
        options: "A. chair" and so on, of a choice.
    """
    if question_type in NUMBERS:
        found = _NUMBER.search(prediction.lower())
        if found is None:
            return 0.0
        word = found[0]
        said = _NUMBER_WORDS.index(word) if word in _NUMBER_WORDS else float(word)
        return relative_accuracy(said, float(truth))
    strict = score(question_type, prediction, truth)
    letters = _LETTER.findall(prediction)
    if strict or letters:
        return max(strict, float(letters[-1:] == [truth.upper()]))
    named = [o[0] for o in options if o[2:].strip().lower() in prediction.lower()]
    return float(named == [truth])


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Estimate]:
    """Scores of each task, and their mean.

    The three levels of relative direction are one task, the mean of the levels. The official
    overall score needs all three; "overall of what was asked" is the mean of the tasks that occur.

    Args:
        rows: With ``question_type``, ``prediction``, ``ground_truth``, ``scene`` and, for choices,
            ``options``.
    """

    def strict(row: Mapping[str, Any]) -> float:
        return score(row["question_type"], row["prediction"], row["ground_truth"])

    def lenient(row: Mapping[str, Any]) -> float:
        return lenient_score(
            row["question_type"], row["prediction"], row["ground_truth"], row.get("options") or ()
        )

    figures = _figures(rows, strict)
    complete = all(figures[level].count for level in DIRECTIONS)
    asked = figures.pop("overall")
    loose = _figures(rows, lenient)
    return {
        "overall": asked if complete else NOTHING,
        "overall of what was asked": asked,
        "lenient: overall of what was asked": loose.pop("overall"),
        **figures,
        **{f"lenient: {name}": estimate for name, estimate in loose.items()},
    }


def _figures(
    rows: Sequence[Mapping[str, Any]], scored: Callable[[Mapping[str, Any]], float]
) -> dict[str, Estimate]:
    groups = {}
    for kind in (*NUMBERS, *CHOICES):
        chosen = [row for row in rows if row["question_type"] == kind]
        groups[kind] = ([scored(row) for row in chosen], [row["scene"] for row in chosen])
    figures = {kind: mean_over_clips(*group) for kind, group in groups.items()}
    levels = sum(bool(figures[level].count) for level in DIRECTIONS)
    shares = [1 / levels if kind in DIRECTIONS and levels else 1.0 for kind in groups]
    figures["object_rel_direction"] = macro_mean([groups[level] for level in DIRECTIONS])
    figures["overall"] = macro_mean(list(groups.values()), shares)
    return figures
