"""Baselines without images on simulated clips, fitted on training clips."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vega3d_ros.core.geometry import SE3
from vega3d_ros.core.token_grid import level_pose
from vega3d_ros.evaluation.baselines.recordings import typical_box
from vega3d_ros.evaluation.baselines.text_prior import ConstantRules, TextPrior, labels
from vega3d_ros.evaluation.metrics.boxes import with_heading
from vega3d_ros.evaluation.metrics.simulated import UNKNOWN
from vega3d_ros.evaluation.sources.clips import ON_OBJECT, Grounding, Responses
from vega3d_ros.simulation.visibility import SEEN_PIXELS
from vega3d_ros.training.samples import coverage, truth_boxes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from vega3d_ros.core.geometry import Box3D
    from vega3d_ros.evaluation.schema import Question
    from vega3d_ros.simulation.dataset import ClipRecord


class Constant:
    """The best constant rule per kind of question; one token and one box for everything."""

    name = "constant"

    def __init__(self, records: Sequence[ClipRecord], grid: tuple[int, int]) -> None:
        self._rules = ConstantRules(_answered(records))
        self._grid = grid
        seen = _seen_by_label(records, grid)
        self._place = _TypicalPlace.fit([one for label in sorted(seen) for one in seen[label]])

    def respond(
        self, record: ClipRecord, questions: Sequence[Question], texts: Sequence[str]
    ) -> Responses:
        answers = [self._rules.answer(q.kind, q.text) or UNKNOWN for q in questions]
        grounding = self._place.grounding(record.truth)
        return Responses(answers, [grounding] * len(texts), self._grid)


class Blind:
    """Answers by ``TextPrior``; grounds a description at its label's typical token and box."""

    name = "blind statistics"

    def __init__(self, records: Sequence[ClipRecord], grid: tuple[int, int]) -> None:
        self._grid = grid
        self._text_prior = TextPrior(_answered(records))
        seen = _seen_by_label(records, grid)
        self._places = {label: _TypicalPlace.fit(found) for label, found in seen.items()}
        self._anywhere = _TypicalPlace.fit([one for label in sorted(seen) for one in seen[label]])

    def respond(
        self, record: ClipRecord, questions: Sequence[Question], texts: Sequence[str]
    ) -> Responses:
        groundings = []
        for text in texts:
            named = labels(text)
            place = self._places.get(named[0], self._anywhere) if named else self._anywhere
            groundings.append(place.grounding(record.truth))
        answers = [self._text_prior.answer(q.kind, q.text) or UNKNOWN for q in questions]
        return Responses(answers, groundings, self._grid)


def _answered(records: Iterable[ClipRecord]) -> Iterator[tuple[str, str, str]]:
    for record in records:
        for q in record.truth["questions"]:
            yield q["kind"], q["question"], q["answer"]


class _SeenObject(NamedTuple):
    """An object seen in a clip, the clip's truth, and which tokens show it [T, rows, columns]."""

    item: Mapping[str, Any]
    truth: Mapping[str, Any]
    shown: NDArray[np.bool_]


def _seen_by_label(
    records: Iterable[ClipRecord], grid: tuple[int, int]
) -> dict[str, list[_SeenObject]]:
    seen: dict[str, list[_SeenObject]] = defaultdict(list)
    for record in records:
        objects = record.truth["objects"]
        shown = np.stack([coverage(f, len(objects), *grid) for f in record.instance], axis=1)
        for item, tokens in zip(objects, shown >= ON_OBJECT, strict=True):
            if max(item["visible_pixels"]) >= SEEN_PIXELS:
                seen[item["label"]].append(_SeenObject(item, record.truth, tokens))
    return seen


class _TypicalPlace:
    """The typical place of objects: a token, and a box in its frame's levelled camera."""

    def __init__(self, token: tuple[int, int, int], box: Box3D) -> None:
        self.token, self.box = token, box

    @classmethod
    def fit(cls, seen: Sequence[_SeenObject]) -> _TypicalPlace:
        """The token that shows most objects, and the median of their boxes in its frame."""
        votes = np.sum([one.shown for one in seen], axis=0)
        frame, row, column = (int(v) for v in np.unravel_index(votes.argmax(), votes.shape))
        in_frame = [s for s in seen if s.item["visible_pixels"][frame] >= SEEN_PIXELS] or seen
        boxes = [
            truth_boxes([item])[0].transformed(_levelled(truth, frame).inverse())
            for item, truth, _ in in_frame
        ]
        typical = typical_box([with_heading(box) for box in boxes])
        return cls((frame, row, column), typical)

    def grounding(self, truth: Mapping[str, Any]) -> Grounding:
        """The place in a clip, of whose truth only the camera pose is used."""
        box = self.box.transformed(_levelled(truth, self.token[0]))
        return Grounding(box, self.token, box)


def _levelled(truth: Mapping[str, Any], frame: int) -> SE3:
    return level_pose(SE3.from_matrix(truth["poses"][frame]))
