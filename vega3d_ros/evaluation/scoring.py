"""Scores relations and objects against the truth of a simulated recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from vega3d_ros.core.geometry import SE3, iou_axis_aligned
from vega3d_ros.core.objects import SceneObject
from vega3d_ros.perception.relations import OPPOSITE, Relation, Viewpoint, relate

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from vega3d_ros.evaluation.schema import Question
    from vega3d_ros.evaluation.sources.questions import Truth
    from vega3d_ros.viz.floor_plan import TrueObject

RIGHT_IOU = 0.25
"""Least overlap of a claimed object that is right."""

MATCH_M = 1.5
"""Greatest distance at which a found object matches a true one of its label."""

_DIRECTIONS = frozenset(OPPOSITE) - {"near", "touching"}


class Match(NamedTuple):
    """A found object and the true object that it matches.

    Attributes:
        id: Id of the true object.
        found: The found object.
        error_m: Distance between the centres.
        iou: Overlap of the axis-aligned bounds, as in ScanRefer.
    """

    id: str
    found: SceneObject
    error_m: float
    iou: float


class Comparison(NamedTuple):
    """Found and true objects.

    Attributes:
        matches: Nearest first.
        missed: Ids of objects that were seen but not found.
        extra: Found objects with no true object of their label near.
    """

    matches: list[Match]
    missed: list[str]
    extra: list[SceneObject]


def true_relation(question: Question, truth: Truth, map_from_camera: SE3) -> Relation | None:
    """The true relation of two objects, seen from a camera; None where they are unknown."""
    subject = truth.objects.get(question.subject_id)
    object_ = truth.objects.get(question.object_id)
    if subject is None or object_ is None:
        return None
    frame = truth.fixed_frame
    return relate(
        SceneObject.certain(subject.label, subject.box, frame),
        SceneObject.certain(object_.label, object_.box, frame),
        Viewpoint.camera(frame, map_from_camera),
    )


def relation_is_right(expected: Relation, predicates: Sequence[str]) -> bool | None:
    """Whether the clearest true direction is among the predicates; None where none is clear."""
    directions = [word for word in expected.predicates if word in _DIRECTIONS]
    return directions[0] in predicates if directions else None


def compare_objects(
    found: Sequence[SceneObject], objects: Mapping[str, TrueObject], seen: Collection[str]
) -> Comparison:
    """Match found and true objects of the same label with the least sum of distances.

    Objects that are not ``seen`` do not count as missed, but may be matched.
    """
    matches: list[Match] = []
    for label in sorted({item.label for item in found}):
        matches += _match_label([item for item in found if item.label == label], label, objects)
    matched = {match.id for match in matches}
    taken = {id(match.found) for match in matches}
    return Comparison(
        sorted(matches, key=lambda match: match.error_m),
        sorted(name for name in seen if name not in matched),
        [item for item in found if id(item) not in taken],
    )


def _match_label(
    found: Sequence[SceneObject], label: str, objects: Mapping[str, TrueObject]
) -> list[Match]:
    ids = [name for name, item in objects.items() if item.label == label]
    if not ids:
        return []
    apart = np.array(
        [
            [np.linalg.norm(item.box.center - objects[name].box.center) for name in ids]
            for item in found
        ]
    )
    # Far pairs all cost the same, so that they never displace a near one.
    rows, columns = linear_sum_assignment(np.minimum(apart, 2 * MATCH_M))
    return [
        Match(
            ids[column],
            found[row],
            float(apart[row, column]),
            iou_axis_aligned(found[row].box, objects[ids[column]].box),
        )
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        if apart[row, column] <= MATCH_M
    ]
