"""Baselines without images: what words and habits give away. A model must beat them.

Those of recordings, which have no training set, are fitted on the other recordings.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.core.geometry import Box3D, iou_axis_aligned, iou_oriented
from vega3d_ros.evaluation.baselines.text_prior import ConstantRules, TextPrior
from vega3d_ros.evaluation.metrics.simulated import UNKNOWN, answer_score
from vega3d_ros.evaluation.scoring import MATCH_M

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike

    from vega3d_ros.evaluation.schema import AnswerRow, ObjectRow


def typical_box(places: ArrayLike) -> Box3D:
    """The median of boxes: centre, size and heading of each, [N, 7]."""
    boxes = np.asarray(places, np.float64)
    center, size = np.median(boxes[:, :3], axis=0), np.median(boxes[:, 3:6], axis=0)
    # Headings are equal modulo half a turn, so the doubled angles are averaged.
    yaw = float(np.angle(np.mean(np.exp(2j * boxes[:, 6]))) / 2)
    return Box3D.upright(center, size, yaw)


def claim_place(row: ObjectRow, claimed: Box3D | None) -> ObjectRow:
    """The row as if a box in the levelled camera were claimed for its object."""
    true = Box3D.upright(row.place[:3], row.place[3:6], row.place[6])
    error_m = np.inf if claimed is None else float(np.linalg.norm(claimed.center - true.center))
    if claimed is None or error_m > MATCH_M:
        iou = oriented = 0.0
    else:
        iou, oriented = iou_axis_aligned(claimed, true), iou_oriented(claimed, true)
    near = error_m <= MATCH_M
    return replace(
        row,
        found=near,
        score=None,
        iou=iou,
        iou_oriented=oriented,
        error_m=error_m if near else None,
    )


def constant_answers(rows: Sequence[AnswerRow]) -> list[float]:
    """Score of each answer by the constant rule that does best on other questions of its kind.

    The others are those of other recordings, or where none has the kind, of the same recording.
    """
    scores = []
    for row in rows:
        others = [other for other in rows if other.kind == row.kind and other is not row]
        foreign = [other for other in others if other.source != row.source]
        known = ConstantRules(
            (other.kind, other.question, other.truth)
            for other in foreign or others
            if other.truth is not None
        )
        guess = known.answer(row.kind, row.question) or UNKNOWN
        scores.append(answer_score(row.kind, guess, row.truth or ""))
    return scores


def blind_answers(rows: Sequence[AnswerRow]) -> list[float | None]:
    """Score of each answer if it were guessed from the words of the question.

    The text prior is fitted on the other recordings; None where none has questions of the kind.
    The same recording would give answers away, because it asks about an object more than once.
    """
    known = {
        bag: TextPrior(
            (row.kind, row.question, row.truth)
            for row in rows
            if row.source != bag and row.truth is not None
        )
        for bag in {row.source for row in rows}
    }
    guesses = [known[row.source].answer(row.kind, row.question) for row in rows]
    return [
        None if guess is None else answer_score(row.kind, guess, row.truth or "")
        for row, guess in zip(rows, guesses, strict=True)
    ]


def constant_objects(rows: Sequence[ObjectRow]) -> list[ObjectRow]:
    """Each row as if the typical place of all other objects were claimed."""
    return _typical_objects(rows, lambda _: "")


def blind_objects(rows: Sequence[ObjectRow]) -> list[ObjectRow]:
    """Each row as if the typical place of other objects of its label were claimed."""
    return _typical_objects(rows, lambda row: row.label)


def _typical_objects(
    rows: Sequence[ObjectRow], group: Callable[[ObjectRow], str]
) -> list[ObjectRow]:
    """The others are those of other recordings, or where there are none, of the same."""
    groups: dict[str, list[ObjectRow]] = defaultdict(list)
    for row in rows:
        groups[group(row)].append(row)
    # All rows of one object get the same guess, which is fitted without that object.
    guesses: dict[tuple[str, str], Box3D | None] = {}
    for row in rows:
        if (row.source, row.id) not in guesses:
            alike = groups[group(row)]
            foreign = [other for other in alike if other.source != row.source]
            others = foreign or [other for other in alike if other.id != row.id]
            places = [other.place for other in others]
            guesses[row.source, row.id] = typical_box(places) if places else None
    return [claim_place(row, guesses[row.source, row.id]) for row in rows]
