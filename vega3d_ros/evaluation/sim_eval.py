"""Evaluates models and baselines on simulated clips with ground truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vega3d_ros.core.frames import Clip
from vega3d_ros.core.geometry import Box3D, iou_axis_aligned, iou_oriented
from vega3d_ros.evaluation.schema import GroundingRow, Question, ResultRows
from vega3d_ros.evaluation.scoring import score_answer
from vega3d_ros.evaluation.sources.clips import (
    ON_OBJECT,
    THICK_M,
    Grounding,
    Query,
    Respondent,
    Responses,
    queries,
    questions,
)
from vega3d_ros.evaluation.statistics import Units, answer_figures, grounding_figures
from vega3d_ros.evaluation.whole_clip import observe_whole
from vega3d_ros.simulation.dataset import to_clip
from vega3d_ros.training.samples import coverage, truth_boxes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vega3d_ros.evaluation.metrics.intervals import Estimate
    from vega3d_ros.simulation.dataset import ClipRecord


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
        source, asked = f"clip {clip:05d}", questions(record.truth)
        wanted = queries(record.truth)
        texts = [query.text for query in wanted]
        for respondent, result in zip(respondents, results, strict=True):
            responses = respondent.respond(record, asked, texts)
            if responses.answers is not None:
                pairs = enumerate(zip(asked, responses.answers, strict=True))
                result.rows.answers += [score_answer(source, i, q, said) for i, (q, said) in pairs]
            if responses.groundings is not None:
                result.rows.groundings.extend(_score_groundings(source, record, wanted, responses))
        yield results


def _score_groundings(
    source: str, record: ClipRecord, wanted: Sequence[Query], responses: Responses
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
            source=source,
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
