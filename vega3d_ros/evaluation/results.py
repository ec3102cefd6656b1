"""Scores a run: one row per answer, relation, true object and claimed object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.core.geometry import SE3, iou_oriented
from vega3d_ros.core.token_grid import BODY_FROM_OPTICAL, level_pose
from vega3d_ros.evaluation.metrics.simulated import answer_score
from vega3d_ros.evaluation.schema import (
    AnswerRow,
    ClaimRow,
    ObjectRow,
    ResultRows,
    relation_words,
)
from vega3d_ros.evaluation.scoring import (
    RIGHT_IOU,
    compare_objects,
    relation_is_right,
    true_relation,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vega3d_ros.evaluation.run_log import RunLog, SceneRecord
    from vega3d_ros.evaluation.schema import Prediction
    from vega3d_ros.evaluation.sources.questions import Truth
    from vega3d_ros.evaluation.sources.truth import GroundTruthObject, TruthSource


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
        rows.answers.append(_answer_row(bag, reply, scene, record))
    for scene in log.scenes if truth is not None else ():
        assert truth is not None
        true_objects = truth.at(scene)
        if true_objects is not None:
            at_s = (scene.stamp_ns - start_ns) * 1e-9
            _score_objects(rows, bag, at_s, scene, true_objects, complete=record is not None)
    return rows


def _answer_row(
    bag: str, reply: Prediction, scene: SceneRecord | None, truth: Truth | None
) -> AnswerRow:
    question, right, score = reply.question, reply.question.answer, None
    if question.is_relation:
        right, score = _score_relation(reply, scene, truth)
    elif right is not None:
        score = 0.0 if reply.error else answer_score(question.kind, reply.text, right)
    return AnswerRow(
        source=bag,
        index=reply.index,
        kind=question.kind or "question",
        question=question.text,
        truth=right,
        answer=reply.words,
        error=reply.error,
        score=score,
        confidence=reply.confidence if np.isfinite(reply.confidence) else None,
        at_s=reply.asked_at_s,
        stamp_ns=reply.stamp_ns or None,
        latency_ms=reply.latency_ms,
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
