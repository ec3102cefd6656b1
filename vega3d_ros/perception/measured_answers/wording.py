"""Words for a measured answer, in the form that its question asks for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vega3d_ros.perception.measured_answers.question_wording import SIDES

if TYPE_CHECKING:
    from vega3d_ros.perception.measured_answers.measuring import Measurement
    from vega3d_ros.perception.measured_answers.question_grammar import Question

METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001, "ft": 0.3048, "in": 0.0254}
"""Of one unit."""
_DECIMALS = {"m": 1, "cm": 0, "mm": 0, "ft": 1, "in": 0}


def in_words(question: Question, measurement: Measurement) -> str:
    """The answer's text.

    A letter where the question gives lettered options (of the nearest number, or of the same
    words); else a number alone where it names its unit or wants a single word, a number with "m"
    where it leaves the unit open, "yes", "no", or one of its choices. What was not seen is named:
    "not seen: sofa".
    """
    if measurement.value is None:
        return f"not seen: {', '.join(measurement.not_seen)}"
    letter = _letter(question, measurement)
    if letter:
        return letter
    value = measurement.value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return ", ".join(value)
    if question.kind == "count":
        return str(int(value))
    unit = question.unit or "m"
    number = f"{value / METRES[unit]:.{_DECIMALS[unit]}f}"
    return number if question.unit or question.single_word else f"{number} m"


def _letter(question: Question, measurement: Measurement) -> str:
    """The letter of the option that says the value; empty where there is none."""
    value = measurement.value
    if not question.options or value is None:
        return ""
    if isinstance(value, float | int) and not isinstance(value, bool):
        scale = 1.0 if question.kind == "count" else METRES[question.unit or "m"]
        numbers = [
            (abs(float(found[0]) * scale - value), letter)
            for letter, text in question.options
            if (found := re.search(r"\d+(?:\.\d+)?", text))
        ]
        return min(numbers)[1] if numbers else ""
    wanted = _plain(", ".join(value) if isinstance(value, tuple) else _yes_no(value))
    for letter, text in question.options:
        if _plain(text) == wanted or _side(text) == value:
            return letter
    return ""


def _yes_no(value: bool | str) -> str:
    return value if isinstance(value, str) else "yes" if value else "no"


def _plain(text: str) -> str:
    """Lower case, without articles and marks, for comparison."""
    return " ".join(re.findall(r"(?!(?:the|an?)\b)[a-z0-9]+", text.lower())).replace(
        "gray", "grey"
    )


def _side(text: str) -> str:
    """The side that an option such as "to the back" names; empty where it names none."""
    bare = re.sub(r"^(?:to|on) |\b(?:the|my|your) | side$", "", text.lower().strip())
    return next((side for side, words in SIDES.items() if re.fullmatch(words, bare)), "")
