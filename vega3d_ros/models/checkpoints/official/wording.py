"""The words in which the official evaluation asks (VSI-Bench)."""

from __future__ import annotations

import re

OPENING = "These are frames of a video."
ONE_WORD = "Please answer the question using a single word or phrase."
LETTER = "Answer with the option's letter from the given choices directly."


def official_question(question: str) -> str:
    """A question in the words of the official evaluation.

    Choices are lines behind a line ``Options:``. A question that begins with the official opening
    is taken as it is.
    """
    if question.startswith(OPENING):
        return question
    choices = re.search(r"^Options:", question, re.MULTILINE)
    return "\n".join([OPENING, question, LETTER if choices else ONE_WORD])
