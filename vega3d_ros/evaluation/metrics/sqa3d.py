"""SQA3D: answers given a situation (Ma et al. 2023; cleaning and EM-R as in LEO and VEGA-3D)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vega3d_ros.evaluation.metrics.intervals import mean_over_clips

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vega3d_ros.evaluation.metrics.intervals import Estimate

TYPES = ("what", "is", "how", "can", "which", "others")
# fmt: off
_WORDS = {
    "letf": "left", "let": "left", "tehre": "there", "rigth": "right", "rght": "right",
    "behine": "behind", "tv": "TV", "chai": "chair", "wasing": "washing", "waslked": "walked",
    "oclock": "o'clock",
}
_NUMBERS = {
    "0": "zero", "none": "zero", "1": "one", "2": "two", "3": "three", "4": "four", "5": "five",
    "6": "six", "7": "seven", "8": "eight", "9": "nine", "10": "ten", "11": "eleven",
    "12": "twelve", "13": "thirteen", "14": "fourteen", "15": "fifteen", "16": "sixteen",
    "17": "seventeen", "18": "eighteen", "19": "nineteen", "20": "twenty", "23": "twenty-three",
}
# fmt: on
_WORD = re.compile(r"\b(" + "|".join(_WORDS) + r")\b")
_CLOCK = re.compile(r"\bo'[ ]+clock\b")
_NUMBER = re.compile(r"\b(" + "|".join(_NUMBERS) + r")\b")
_NUMBERED = re.compile(r"\b([a-zA-Z]+)([0-9])\b")
_ARTICLES = [re.compile(rf"\b{article}\b ([a-zA-Z]+)") for article in ("a", "an", "the")]


def clean_answer(text: str) -> str:
    """An answer as it is compared: lower case, digits as words, without articles and known typos.

    What it does not do is part of it: numbers above 20 other than 23 stay digits, and an article
    before a digit or at the end stays.
    """
    # Not str.strip: blanks before a final line break go too.
    text = re.sub("^ +| +$", "", text.lower())
    text = re.sub(" {2,}", " ", text)
    text = re.sub(r"[^a-zA-Z0-9,'\s\-:]+", "", text)
    text = _WORD.sub(lambda found: _WORDS[found[0]], text)
    text = _CLOCK.sub("o'clock", text)
    text = _NUMBER.sub(lambda found: _NUMBERS[found[0]], text)
    text = _NUMBERED.sub(r"\g<1>", text)
    for article in _ARTICLES:
        text = article.sub(r"\g<1>", text)
    return re.sub(r"\bbackwards\b", "backward", text)


def exact(predicted: str, truth: str) -> bool:
    """EM: equal once cleaned."""
    return clean_answer(predicted) == clean_answer(truth)


def refined(predicted: str, truth: str) -> bool:
    """EM-R: equal, or one within the other, once cleaned and without blanks.

    The empty answer lies within every truth and so counts as right: see ``summarise``.
    """
    said, right = (_without_blanks(text) for text in (predicted, truth))
    return said in right or right in said


def _without_blanks(text: str) -> str:
    return "".join(clean_answer(text).split())


def question_type(question: str) -> str:
    """One of ``TYPES``, by how the question begins."""
    start = question.lstrip().lower()
    return next((t for t in TYPES if start.startswith(t)), "others")


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Estimate]:
    """EM in all and by type, and EM-R as defined and with empty answers wrong.

    Args:
        rows: With ``pred_response``, ``gt_response``, ``question_type`` and ``scene``.
    """
    scenes = [row["scene"] for row in rows]
    pairs = [(row["pred_response"], row["gt_response"]) for row in rows]
    within = [refined(*pair) for pair in pairs]
    equal = [exact(*pair) for pair in pairs]
    told = [all(map(_without_blanks, pair)) for pair in pairs]
    figures = {
        "EM": mean_over_clips(equal, scenes),
        "EM-R, empty answers right": mean_over_clips(within, scenes),
        "EM-R": mean_over_clips(
            [e or (w and t) for e, w, t in zip(equal, within, told, strict=True)], scenes
        ),
    }
    for kind in TYPES:
        chosen = [i for i, row in enumerate(rows) if row["question_type"] == kind]
        figures[f"{kind}: EM"] = mean_over_clips(
            [exact(*pairs[i]) for i in chosen], [scenes[i] for i in chosen]
        )
    return figures
