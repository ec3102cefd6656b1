"""Asks whoever claims to understand a clip about clips with known truth, and scores it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from vega3d_ros.core.frames import Clip
from vega3d_ros.core.geometry import iou_axis_aligned, iou_oriented
from vega3d_ros.evaluation.metrics.simulated import UNKNOWN, answer_score
from vega3d_ros.simulation.dataset import to_clip
from vega3d_ros.simulation.rooms import LABELS
from vega3d_ros.simulation.visibility import SEEN_PIXELS
from vega3d_ros.training.samples import coverage, truth_boxes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from vega3d_ros.core.geometry import Box3D
    from vega3d_ros.simulation.dataset import ClipRecord

# A chosen token is on an object that covers at least this share of it (15 of 784 pixels).
ON_OBJECT = 0.02
# An object is thick if no side of it is shorter. Boxes of pictures and screens overlap by luck.
THICK_M = 0.15


@dataclass(frozen=True)
class Asked:
    """A question as a candidate sees it."""

    kind: str
    text: str


@dataclass(frozen=True)
class Query:
    """A description to ground.

    Attributes:
        text: The description.
        kind: "label" (fits every object so called), "described" (fits one object) or "absent".
        targets: Indices into the truth's objects that are right.
    """

    text: str
    kind: str
    targets: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Grounding:
    """What a candidate says to a description.

    Attributes:
        box: Best object, in the clip's fixed frame; None says "not here".
        token: Frame, and row and column of the frame's token grid, of the best visual token,
            "not here" or not; None if the candidate has none.
        proposal: The likeliest box, returned or not.
    """

    box: Box3D | None
    token: tuple[int, int, int] | None
    proposal: Box3D | None


@dataclass(frozen=True, eq=False)
class Responses:
    """What a candidate says about one clip; None for what it cannot do at all."""

    answers: Sequence[str] | None
    groundings: Sequence[Grounding] | None
    grid: tuple[int, int] = (0, 0)


class Respondent(Protocol):
    """Whoever is evaluated."""

    @property
    def name(self) -> str:
        """Heading of its column."""

    def respond(
        self, record: ClipRecord, questions: Sequence[Asked], texts: Sequence[str]
    ) -> Responses:
        """Answer questions about a clip and ground descriptions in it.

        A candidate that reads ``record.truth`` beyond camera, stamps and poses cheats.
        """


@dataclass(frozen=True)
class AnswerRow:
    """One scored answer."""

    clip: int
    kind: str
    question: str
    truth: str
    answer: str
    score: float


@dataclass(frozen=True)
class GroundingRow:
    """One scored grounding.

    Attributes:
        clip: Index of the clip.
        kind: As in ``Query``.
        text: The description.
        found: Whether an object was returned.
        on_object: Whether the best token shows a right object; None where there is no such thing.
        iou: Axis-aligned overlap of the best object with the best right one; 0 if none returned.
        iou_oriented: The same with headings.
        iou_proposal: Axis-aligned overlap of the likeliest box, returned or not.
        center_error_m: From the returned centre to the nearest right one; None if none returned.
        thick: Whether all right objects are thick; None if only some are, or none is there.
    """

    clip: int
    kind: str
    text: str
    found: bool
    on_object: bool | None
    iou: float
    iou_oriented: float
    iou_proposal: float
    center_error_m: float | None
    thick: bool | None


@dataclass(frozen=True, eq=False)
class Results:
    """All rows of one candidate."""

    name: str
    answers: list[AnswerRow]
    groundings: list[GroundingRow]


class SceneModel:
    """A model folder as a candidate.

    Args:
        name: Heading of its column.
        perceiver: The loaded model.
        depth: Whether it is shown depth.
        grounds: Whether it can ground; a model trained without images, and an official checkpoint,
            only answer.
    """

    def __init__(self, name: str, perceiver: Any, *, depth: bool, grounds: bool = True) -> None:
        self.name = name
        self._perceiver, self._depth, self._grounds = perceiver, depth, grounds

    def respond(
        self, record: ClipRecord, questions: Sequence[Asked], texts: Sequence[str]
    ) -> Responses:
        """See ``Respondent``."""
        clip = to_clip(record)
        if not self._depth:
            clip = Clip(tuple(replace(frame, depth_m=None) for frame in clip.frames))
        scene = self._perceiver.observe(clip)
        answers = [answer.text for answer in scene.ask_all([q.text for q in questions])]
        if not self._grounds:
            return Responses(answers, None)
        groundings = []
        for best in scene.locate_all(texts):
            # What ``ground`` returns first, which looks at the same proposals.
            here = best.found is not None and best.found.score >= self._perceiver.threshold
            proposal = best.found.box if best.found else None
            token = (best.frame, best.row, best.column)
            groundings.append(Grounding(proposal if here else None, token, proposal))
        return Responses(answers, groundings, self._perceiver.modules.language.grid)


def queries(truth: Mapping[str, Any]) -> list[Query]:
    """What is to be grounded in a clip: every label seen, and the truth's referring expressions.

    Expressions that fit several objects, other than bare labels, are left out: no single box is
    the answer to them.
    """
    objects = truth["objects"]
    index = {item["id"]: i for i, item in enumerate(objects)}
    seen: dict[str, list[int]] = {}
    for i, item in enumerate(objects):
        if max(item["visible_pixels"]) >= SEEN_PIXELS:
            seen.setdefault(item["label"], []).append(i)
    found = [Query(label, "label", tuple(targets)) for label, targets in sorted(seen.items())]
    for expression in truth["referring"]:
        text, targets = expression["text"], tuple(index[name] for name in expression["objects"])
        if targets and text.removeprefix("the ") in LABELS:
            continue  # among the labels already
        if len(targets) <= 1:
            found.append(Query(text, "described" if targets else "absent", targets))
    return found


def evaluate(
    candidates: Sequence[Respondent], records: Iterable[ClipRecord]
) -> Iterator[list[Results]]:
    """Ask every candidate about every clip.

    All candidates are asked about one clip before the next, so that those that share a model
    share its work on the frames.

    Yields:
        The results so far, one per candidate in order, after each clip (always the same objects).
    """
    results = [Results(candidate.name, [], []) for candidate in candidates]
    for clip, record in enumerate(records):
        asked = [Asked(q["kind"], q["question"]) for q in record.truth["questions"]]
        wanted = queries(record.truth)
        texts = [query.text for query in wanted]
        for candidate, result in zip(candidates, results, strict=True):
            said = candidate.respond(record, asked, texts)
            if said.answers is not None:
                result.answers.extend(_score_answers(clip, record, said.answers))
            if said.groundings is not None:
                result.groundings.extend(_score_groundings(clip, record, wanted, said))
        yield results


def _score_answers(clip: int, record: ClipRecord, answers: Sequence[str]) -> Iterator[AnswerRow]:
    for q, answer in zip(record.truth["questions"], answers, strict=True):
        score = answer_score(q["kind"], answer, q["answer"])
        yield AnswerRow(clip, q["kind"], q["question"], q["answer"], answer, score)


def _score_groundings(
    clip: int, record: ClipRecord, wanted: Sequence[Query], said: Responses
) -> Iterator[GroundingRow]:
    boxes = truth_boxes(record.truth["objects"])
    shown: dict[int, Any] = {}
    for query, grounding in zip(wanted, said.groundings or (), strict=True):
        right = [boxes[i] for i in query.targets]
        thick = {bool(box.size.min() >= THICK_M) for box in right}
        on_object = None
        if grounding.token is not None and right:
            frame, row, column = grounding.token
            if frame not in shown:
                shown[frame] = coverage(record.instance[frame], len(boxes), *said.grid)
            on_object = bool((shown[frame][list(query.targets), row, column] >= ON_OBJECT).any())
        box = grounding.box
        errors = [float(np.linalg.norm(box.center - r.center)) for r in right] if box else []
        yield GroundingRow(
            clip,
            query.kind,
            query.text,
            box is not None,
            on_object,
            _best(iou_axis_aligned, box, right),
            _best(iou_oriented, box, right),
            _best(iou_axis_aligned, grounding.proposal, right),
            min(errors, default=None),
            thick.pop() if len(thick) == 1 else None,
        )


def _best(overlap: Any, box: Box3D | None, right: Sequence[Box3D]) -> float:
    return max((overlap(box, r) for r in right), default=0.0) if box is not None else 0.0


def answerable(row: AnswerRow) -> bool:
    """Whether the question has an answer in the clip."""
    return row.truth != UNKNOWN
