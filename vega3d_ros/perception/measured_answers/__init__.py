"""Answers that geometry can give, measured from the boxes of objects found."""

from vega3d_ros.perception.measured_answers.measuring import Measurement, ObjectView, measure
from vega3d_ros.perception.measured_answers.question_grammar import Question, parse_question
from vega3d_ros.perception.measured_answers.wording import in_words

__all__ = ["Measurement", "ObjectView", "Question", "in_words", "measure", "parse_question"]
