"""Scores answers, relations, objects and groundings: one row for each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from vega3d_ros.core.geometry import SE3, iou_axis_aligned, iou_oriented
from vega3d_ros.core.objects import SceneObject
from vega3d_ros.core.token_grid import BODY_FROM_OPTICAL, level_pose
from vega3d_ros.evaluation.metrics.simulated import answer_score
from vega3d_ros.evaluation.schema import (
    AnswerRow,
    ClaimRow,
    ObjectRow,
    Prediction,
    ResultRows,
    relation_words,
)
from vega3d_ros.perception.relations import OPPOSITE, Relation, Viewpoint, relate

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from vega3d_ros.evaluation.run_log import RunLog, SceneRecord
    from vega3d_ros.evaluation.schema import Question
    from vega3d_ros.evaluation.sources.questions import Truth
    from vega3d_ros.evaluation.sources.truth import GroundTruthObject, TruthSource
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


def score_run(bag: str, start_ns: int, log: RunLog, truth: TruthSource | None) -> ResultRows:
    """Score a run; without a truth its answers are listed, but not scored."""
    rows = ResultRows()
    by_stamp = {scene.stamp_ns: scene for scene in log.scenes}
    record = None if truth is None else truth.record
    for reply in log.replies:
        scene = by_stamp.get(reply.stamp_ns)
        if reply.error and scene is None:  # the newest at the time of asking
            asked_ns = start_ns + round(reply.asked_at_s * 1e9)
            scene = next((s for s in reversed(log.scenes) if s.at_ns <= asked_ns), None)
        rows.answers.append(_score_reply(bag, reply, scene, record))
    for scene in log.scenes if truth is not None else ():
        assert truth is not None
        true_objects = truth.at(scene)
        if true_objects is not None:
            at_s = (scene.stamp_ns - start_ns) * 1e-9
            _score_objects(rows, bag, at_s, scene, true_objects, complete=record is not None)
    return rows


def _score_reply(
    source: str, reply: Prediction, scene: SceneRecord | None, truth: Truth | None
) -> AnswerRow:
    question, asked = (
        reply.question,
        {"at_s": reply.asked_at_s, "stamp_ns": reply.stamp_ns or None},
    )
    row = score_answer(source, reply.index, question, reply.words, reply.error, **asked)
    if question.is_relation:
        right, score = _score_relation(reply, scene, truth)
        row = replace(row, truth=right, score=score)
    confidence = reply.confidence if np.isfinite(reply.confidence) else None
    return replace(row, confidence=confidence, latency_ms=reply.latency_ms)


def score_answer(
    source: str, index: int, question: Question, answer: str, error: str = "", **known: Any
) -> AnswerRow:
    """The row of an answer; without a truth it is not scored."""
    score = None
    if question.answer is not None:
        score = 0.0 if error else answer_score(question.kind, answer, question.answer)
    return AnswerRow(
        source=source,
        index=index,
        kind=question.kind or "question",
        question=question.text,
        truth=question.answer,
        answer=answer,
        error=error,
        score=score,
        **known,
    )


def _score_relation(
    reply: Prediction, scene: SceneRecord | None, truth: Truth | None
) -> tuple[str | None, float | None]:
    if truth is None or scene is None or scene.pose is None:
        return None, None
    expected = true_relation(reply.question, truth, scene.pose)
    if expected is None:
        return None, None
    right = relation_is_right(expected, () if reply.error else reply.predicates)
    words = relation_words(expected.predicates, expected.distance_m)
    return words, None if right is None else float(right)


def _score_objects(
    rows: ResultRows,
    bag: str,
    at_s: float,
    scene: SceneRecord,
    true_objects: Mapping[str, GroundTruthObject],
    *,
    complete: bool,
) -> None:
    visible = {name: entry for name, entry in true_objects.items() if entry.visible}
    objects = {name: entry.item for name, entry in true_objects.items()}
    compared = compare_objects(scene.objects, objects, visible)
    matches = {match.id: match for match in compared.matches}
    level_from_scene = _level(scene).inverse()
    for name, entry in visible.items():
        box, match = entry.item.box, matches.get(name)
        place = box.transformed(level_from_scene)
        rows.objects.append(
            ObjectRow(
                source=bag,
                stamp_ns=scene.stamp_ns,
                at_s=at_s,
                id=name,
                label=entry.item.label,
                found=match is not None,
                score=None if match is None else match.found.score,
                iou=0.0 if match is None else match.iou,
                iou_oriented=0.0 if match is None else iou_oriented(match.found.box, box),
                error_m=None if match is None else match.error_m,
                distance_m=float(np.linalg.norm(place.center)),
                size_m=float(box.size.max()),
                share=entry.share,
                place=(*place.center.tolist(), *place.size.tolist(), place.yaw),
            )
        )
    right = {id(m.found) for m in matches.values() if m.iou >= RIGHT_IOU}
    known = {entry.item.label for entry in true_objects.values()}
    rows.claims += [
        ClaimRow(
            source=bag,
            stamp_ns=scene.stamp_ns,
            at_s=at_s,
            label=item.label,
            score=item.score,
            right=id(item) in right,
        )
        for item in scene.objects
        if complete or item.label in known
    ]


def _level(scene: SceneRecord) -> SE3:
    """The levelled newest camera in the scene's frame."""
    if scene.pose is not None and scene.frame_id != scene.camera_frame:
        return level_pose(scene.pose)
    return SE3(BODY_FROM_OPTICAL.T, np.zeros(3))
