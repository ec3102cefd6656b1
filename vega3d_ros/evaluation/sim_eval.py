"""Evaluates models and baselines on simulated clips with ground truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from vega3d_ros.core.frames import Clip
from vega3d_ros.core.geometry import iou_axis_aligned, iou_oriented
from vega3d_ros.evaluation.metrics.simulated import answer_score
from vega3d_ros.evaluation.schema import AnswerRow, GroundingRow, Question, ResultRows
from vega3d_ros.evaluation.statistics import Units, answer_figures, grounding_figures
from vega3d_ros.evaluation.whole_clip import observe_whole
from vega3d_ros.simulation.dataset import to_clip
from vega3d_ros.simulation.rooms import LABELS
from vega3d_ros.simulation.visibility import SEEN_PIXELS
from vega3d_ros.training.samples import coverage, truth_boxes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from vega3d_ros.core.geometry import Box3D
    from vega3d_ros.evaluation.metrics.intervals import Estimate
    from vega3d_ros.simulation.dataset import ClipRecord

# A chosen token is on an object that covers at least this share of it (15 of 784 pixels).
ON_OBJECT = 0.02
# An object is thick if no side of it is shorter. Boxes of pictures and screens overlap by luck.
THICK_M = 0.15


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
    """A respondent's answer to a description.

    Attributes:
        box: The best object, in the clip's fixed frame; None: absent.
        token: Frame, row and column of the best visual token, whether the object is absent or not;
            None if the respondent has no tokens.
        proposal: The box of the best object, whether it is absent or not.
        score: Of the best object; None: it has none.
    """

    box: Box3D | None
    token: tuple[int, int, int] | None
    proposal: Box3D | None
    score: float | None = None


@dataclass(frozen=True, eq=False)
class Responses:
    """A respondent's answers about one clip; None for a task that it lacks."""

    answers: Sequence[str] | None
    groundings: Sequence[Grounding] | None
    grid: tuple[int, int] = (0, 0)


class Respondent(Protocol):
    """A model or a baseline."""

    @property
    def name(self) -> str:
        """Heading of its column."""

    def respond(
        self, record: ClipRecord, questions: Sequence[Question], texts: Sequence[str]
    ) -> Responses:
        """Answer questions about a clip and ground descriptions in it.

        Of ``record.truth`` only camera, stamps and poses may be read.
        """


@dataclass(frozen=True, eq=False)
class Results:
    """All rows of one respondent."""

    name: str
    rows: ResultRows


class SceneModel:
    """A model as a respondent.

    ``grounds`` is False for a model that only answers: one trained without images, or an official
    checkpoint.
    """

    def __init__(self, name: str, perceiver: Any, *, depth: bool, grounds: bool = True) -> None:
        self.name = name
        self._perceiver, self._depth, self._grounds = perceiver, depth, grounds

    def respond(
        self, record: ClipRecord, questions: Sequence[Question], texts: Sequence[str]
    ) -> Responses:
        clip = to_clip(record)
        if not self._depth:
            clip = Clip(tuple(replace(frame, depth_m=None) for frame in clip.frames))
        scene = observe_whole(self._perceiver, clip)
        answers = [answer.text for answer in scene.ask_all([q.text for q in questions])]
        if not self._grounds:
            return Responses(answers, None)
        groundings = []
        for best in scene.likeliest_all(texts):
            # Whether ``ground`` returns it.
            here = best.found is not None and best.score >= self._perceiver.threshold
            proposal = best.found.box if best.found else None
            score = best.found.score if best.found else None
            groundings.append(Grounding(proposal if here else None, best.place, proposal, score))
        return Responses(answers, groundings, self._perceiver.modules.language.grid)


def queries(truth: Mapping[str, Any]) -> list[Query]:
    """The descriptions to ground in a clip: labels seen, and the truth's referring expressions.

    Expressions other than labels that fit several objects are left out: no single box answers
    them.
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
            continue  # one of the labels
        if len(targets) <= 1:
            found.append(Query(text, "described" if targets else "absent", targets))
    return found


def evaluate(
    respondents: Sequence[Respondent], records: Iterable[ClipRecord]
) -> Iterator[list[Results]]:
    """Ask every respondent about every clip.

    A clip goes to all respondents before the next one, so that those that share a model share its
    encoded frames.

    Yields:
        After each clip the results so far, one per respondent in order (the same instances).
    """
    results = [Results(respondent.name, ResultRows()) for respondent in respondents]
    for clip, record in enumerate(records):
        asked = [Question(q["question"], kind=q["kind"]) for q in record.truth["questions"]]
        wanted = queries(record.truth)
        texts = [query.text for query in wanted]
        for respondent, result in zip(respondents, results, strict=True):
            responses = respondent.respond(record, asked, texts)
            if responses.answers is not None:
                result.rows.answers.extend(_score_answers(clip, record, responses.answers))
            if responses.groundings is not None:
                result.rows.groundings.extend(_score_groundings(clip, record, wanted, responses))
        yield results


def _score_answers(clip: int, record: ClipRecord, answers: Sequence[str]) -> Iterator[AnswerRow]:
    pairs = zip(record.truth["questions"], answers, strict=True)
    for index, (q, answer) in enumerate(pairs):
        yield AnswerRow(
            source=f"clip {clip:05d}",
            index=index,
            kind=q["kind"],
            question=q["question"],
            truth=q["answer"],
            answer=answer,
            score=answer_score(q["kind"], answer, q["answer"]),
        )


def _score_groundings(
    clip: int, record: ClipRecord, wanted: Sequence[Query], responses: Responses
) -> Iterator[GroundingRow]:
    boxes = truth_boxes(record.truth["objects"])
    shown: dict[int, Any] = {}
    for query, grounding in zip(wanted, responses.groundings or (), strict=True):
        right = [boxes[i] for i in query.targets]
        thick = {bool(box.size.min() >= THICK_M) for box in right}
        on_object = None
        if grounding.token is not None and right:
            frame, row, column = grounding.token
            if frame not in shown:
                shown[frame] = coverage(record.instance[frame], len(boxes), *responses.grid)
            on_object = bool((shown[frame][list(query.targets), row, column] >= ON_OBJECT).any())
        box = grounding.box
        errors = [float(np.linalg.norm(box.center - r.center)) for r in right] if box else []
        yield GroundingRow(
            source=f"clip {clip:05d}",
            kind=query.kind,
            text=query.text,
            found=box is not None,
            on_object=on_object,
            iou=_best(iou_axis_aligned, box, right),
            iou_oriented=_best(iou_oriented, box, right),
            iou_proposal=_best(iou_axis_aligned, grounding.proposal, right),
            error_m=min(errors, default=None),
            thick=thick.pop() if len(thick) == 1 else None,
            score=grounding.score if box is not None else None,
        )


def _best(overlap: Any, box: Box3D | None, right: Sequence[Box3D]) -> float:
    return max((overlap(box, r) for r in right), default=0.0) if box is not None else 0.0


def summarise(results: Results) -> dict[str, Estimate]:
    """All figures of a respondent by name, of the tasks that it has."""
    answers, groundings = results.rows.answers, results.rows.groundings
    units = Units([*(row.source for row in groundings), *(row.source for row in answers)])
    figures = answer_figures(answers, units)
    return grounding_figures(groundings, units) | {n: f.model for n, f in figures.items()}
