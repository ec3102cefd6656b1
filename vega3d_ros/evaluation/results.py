"""The scored results of a run: one row per answer, relation, true object and claimed object."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vega3d_ros.core.geometry import SE3, Box3D, iou_axis_aligned, iou_oriented
from vega3d_ros.core.token_grid import BODY_FROM_OPTICAL, level_pose
from vega3d_ros.evaluation.metrics.simulated import answer_score
from vega3d_ros.evaluation.question_file import Truth
from vega3d_ros.evaluation.replies import Reply
from vega3d_ros.evaluation.scoring import (
    MATCH_M,
    compare_objects,
    relation_is_right,
    true_relation,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vega3d_ros.evaluation.replies import RelationReply
    from vega3d_ros.evaluation.run_log import ReplyRecord, RunLog, SceneRecord
    from vega3d_ros.evaluation.truth import GroundTruthObject, TruthSource

RIGHT_IOU = 0.25


@dataclass(frozen=True, kw_only=True)
class AnswerRow:
    """One answer.

    Attributes:
        bag: Name of the recording.
        index: Index of the question in the plan.
        kind: Kind of question; ``relation`` for a relation.
        question: In words.
        truth: The right answer; None if unknown.
        answer: The answer; empty after an error.
        error: Why there is no answer.
        score: In [0, 1]; None if the truth is unknown.
        confidence: The model's confidence; None if it gave none.
        asked_at_s: Seconds of the recording.
        stamp_ns: Stamp of the scene that was asked.
        latency_ms: From question to answer.
    """

    bag: str
    index: int
    kind: str
    question: str
    truth: str | None
    answer: str
    error: str
    score: float | None
    confidence: float | None
    asked_at_s: float
    stamp_ns: int | None
    latency_ms: float

    @property
    def case(self) -> str:
        """Name of the case, the same in every run."""
        return f"q{self.index:03d}"


@dataclass(frozen=True, kw_only=True)
class ObjectRow:
    """One true object that a scene shows.

    Attributes:
        bag: Name of the recording.
        stamp_ns: Stamp of the scene.
        at_s: The same, seconds of the recording.
        id: Id of the true object.
        label: Its label.
        found: Whether an object of its label is near (1.5 m).
        score: Score of that object; None if not found.
        iou: Axis-aligned overlap with it; 0 if not found.
        iou_oriented: The same with headings.
        error_m: Between the centres; None if not found.
        distance_m: From the newest camera to its centre.
        size_m: Its longest side.
        share: How much of an image it fills at most; None where unknown.
        place: Its box in the levelled camera: centre, size, heading.
    """

    bag: str
    stamp_ns: int
    at_s: float
    id: str
    label: str
    found: bool
    score: float | None
    iou: float
    iou_oriented: float
    error_m: float | None
    distance_m: float
    size_m: float
    share: float | None
    place: tuple[float, ...]

    @property
    def case(self) -> str:
        """Name of the case, the same in every run."""
        return f"o{self.stamp_ns}_{self.id}"


@dataclass(frozen=True, kw_only=True)
class ClaimRow:
    """One object that a scene claims; with a topic as truth, only labels of that topic.

    Attributes:
        bag: Name of the recording.
        stamp_ns: Stamp of the scene.
        at_s: The same, seconds of the recording.
        label: Its label.
        score: Its score.
        right: Whether it overlaps its own true object by at least a quarter.
    """

    bag: str
    stamp_ns: int
    at_s: float
    label: str
    score: float
    right: bool


@dataclass
class ResultRows:
    """All rows of one or several runs."""

    answers: list[AnswerRow] = field(default_factory=list)
    objects: list[ObjectRow] = field(default_factory=list)
    claims: list[ClaimRow] = field(default_factory=list)

    def extend(self, other: ResultRows) -> None:
        self.answers += other.answers
        self.objects += other.objects
        self.claims += other.claims

    def json(self) -> dict[str, list[dict[str, Any]]]:
        return {
            "answers": [asdict(row) for row in self.answers],
            "objects": [asdict(row) for row in self.objects],
            "claims": [asdict(row) for row in self.claims],
        }

    @classmethod
    def read(cls, plain: Mapping[str, Iterable[Mapping[str, Any]]]) -> ResultRows:
        return cls(
            [AnswerRow(**row) for row in plain["answers"]],
            [ObjectRow(**{**row, "place": tuple(row["place"])}) for row in plain["objects"]],
            [ClaimRow(**row) for row in plain["claims"]],
        )


def score_run(bag: str, start_ns: int, log: RunLog, truth: TruthSource | None) -> ResultRows:
    """Score a run; without a truth its answers are listed, but not scored."""
    rows = ResultRows()
    by_stamp = {scene.stamp_ns: scene for scene in log.scenes}
    record = None if truth is None else truth.record
    for reply in log.replies:
        scene = None if reply.stamp_ns is None else by_stamp.get(reply.stamp_ns)
        rows.answers.append(_answer_row(bag, reply, scene, record))
    for scene in log.scenes if truth is not None else ():
        assert truth is not None
        true_objects = truth.at(scene)
        if true_objects is not None:
            at_s = (scene.stamp_ns - start_ns) * 1e-9
            _score_objects(rows, bag, at_s, scene, true_objects, complete=record is not None)
    return rows


def _answer_row(
    bag: str, record: ReplyRecord, scene: SceneRecord | None, truth: Truth | None
) -> AnswerRow:
    reply = record.reply
    shared = (reply.error, reply.asked_at_s, record.stamp_ns, reply.latency_ms)
    if isinstance(reply, Reply):
        question, right = reply.question, reply.question.answer
        kind = question.kind or "question"
        words, said = question.text, reply.text
        score = None
        if right is not None:
            score = 0.0 if reply.error else answer_score(kind, said, right)
        sure = reply.confidence if np.isfinite(reply.confidence) else None
    else:
        kind, sure = "relation", None
        words = f"How lies the {reply.question.subject} from the {reply.question.object}?"
        said = "" if reply.error else relation_words(reply.predicates, reply.distance_m)
        right, score = _score_relation(reply, scene, truth)
    error, asked_at_s, stamp, latency_ms = shared
    return AnswerRow(
        bag=bag,
        index=record.index,
        kind=kind,
        question=words,
        truth=right,
        answer=said,
        error=error,
        score=score,
        confidence=sure,
        asked_at_s=asked_at_s,
        stamp_ns=stamp,
        latency_ms=latency_ms,
    )


def relation_words(predicates: Iterable[str], apart_m: float) -> str:
    """A relation as text."""
    return f"{', '.join(predicates) or 'no clear direction'}; {apart_m:.2f} m apart"


def _score_relation(
    reply: RelationReply, scene: SceneRecord | None, truth: Truth | None
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
    truth = Truth(
        fixed_frame=scene.frame_id,
        objects={name: entry.item for name, entry in true_objects.items()},
        seen=frozenset(visible),
        questions=(),
        relations=(),
    )
    matches = {match.id: match for match in compare_objects(scene.objects, truth).matches}
    level_from_scene = _level(scene).inverse()
    for name, entry in visible.items():
        box, match = entry.item.box, matches.get(name)
        place = box.transformed(level_from_scene)
        rows.objects.append(
            ObjectRow(
                bag=bag,
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
            bag=bag,
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


def typical_place(rows: Sequence[ObjectRow]) -> Box3D | None:
    """The median box of rows in the levelled camera; None without rows."""
    if not rows:
        return None
    places = np.array([row.place for row in rows])
    center, size = np.median(places[:, :3], axis=0), np.median(places[:, 3:6], axis=0)
    # Headings are equal modulo half a turn, so the doubled angles are averaged.
    yaw = float(np.angle(np.mean(np.exp(2j * places[:, 6]))) / 2)
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
