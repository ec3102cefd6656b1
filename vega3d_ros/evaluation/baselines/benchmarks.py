"""Baselines without images, fitted on the annotations of the other scenes.

What can be had from habits alone (constant) and from the words of a question (blind). A model that
sees must beat both. No truth of a question's own scene is used, so that no answer leaks.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from vega3d_ros.evaluation.baselines.text_prior import most_frequent
from vega3d_ros.evaluation.baselines.words import Words
from vega3d_ros.evaluation.metrics.multi3drefer import as_scores
from vega3d_ros.evaluation.metrics.vsi_bench import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from vega3d_ros.evaluation.schema import Question
    from vega3d_ros.evaluation.sources.benchmark import Row, SceneReader

    Indices = NDArray[np.int64]

_NEIGHBOURS = 10
_ANYWHERE = [0.0, 0.0, 0.5, 1.0, 1.0, 1.0]


def _by_scene(questions: Sequence[Question]) -> Iterator[tuple[Indices, Indices]]:
    """Of each scene, the questions about it and about all other scenes."""
    scenes = np.array([question.source for question in questions])
    for scene in dict.fromkeys(scenes.tolist()):
        yield np.flatnonzero(scenes == scene), np.flatnonzero(scenes != scene)


def _by_kind(questions: Sequence[Question], chosen: Indices) -> dict[str, Indices]:
    groups: dict[str, list[int]] = defaultdict(list)
    for index in chosen.tolist():
        groups[questions[index].kind].append(index)
    return {kind: np.array(indices) for kind, indices in groups.items()}


def constant_choice(questions: Sequence[Question], reader: SceneReader) -> list[Row]:
    """The most frequent letter, or the median number, of each type."""
    del reader
    rows: list[Row] = [{} for _ in questions]
    for own, others in _by_scene(questions):
        alike = _by_kind(questions, others)
        usual = {kind: _usual(kind, questions, group) for kind, group in alike.items()}
        for i in own:
            rows[i] = {"prediction": usual.get(questions[i].kind, "")}
    return rows


def _usual(kind: str, questions: Sequence[Question], chosen: Indices) -> str:
    truths = [questions[i].record["ground_truth"] for i in chosen]
    if kind in NUMBERS and truths:
        return f"{np.median([float(truth) for truth in truths]):g}"
    return most_frequent(truths)


def blind_choice(questions: Sequence[Question], reader: SceneReader) -> list[Row]:
    """The option that elsewhere is right most often, or the median of the most alike questions."""
    del reader
    words = Words([question.text for question in questions])
    rows: list[Row] = [{} for _ in questions]
    for own, others in _by_scene(questions):
        alike = _by_kind(questions, others)
        rates = {k: _rates(questions, group) for k, group in alike.items() if k not in NUMBERS}
        for i in own:
            asked = questions[i]
            if asked.kind in NUMBERS:
                group = alike.get(asked.kind, others[:0])
                near = words.nearest(asked.text, _NEIGHBOURS, group)
                rows[i] = {"prediction": _usual(asked.kind, questions, near)}
            else:
                known = rates.get(asked.kind, {})
                best = max(asked.record["options"], key=lambda o: known.get(_text(o), 0.5))
                rows[i] = {"prediction": best[0]}
    return rows


def _text(option: str) -> str:
    return option[2:].strip().lower()


def _rates(questions: Sequence[Question], chosen: Indices) -> dict[str, float]:
    """How often each option is right where it is offered."""
    offered, right = Counter[str](), Counter[str]()
    for i in chosen:
        record = questions[i].record
        for option in record["options"]:
            offered[_text(option)] += 1
            right[_text(option)] += option[0] == record["ground_truth"]
    return {option: (right[option] + 1) / (offered[option] + 2) for option in offered}


def constant_answer(questions: Sequence[Question], reader: SceneReader) -> list[Row]:
    """The most frequent answer to questions of the type."""
    del reader
    rows: list[Row] = [{} for _ in questions]
    for own, others in _by_scene(questions):
        usual = {
            kind: most_frequent(_answers(questions, group))
            for kind, group in _by_kind(questions, others).items()
        }
        for i in own:
            rows[i] = {"pred_response": usual.get(questions[i].kind, "")}
    return rows


def blind_answer(questions: Sequence[Question], reader: SceneReader) -> list[Row]:
    """The most frequent answer to the most alike questions."""
    del reader
    words = Words([question.text for question in questions])
    rows: list[Row] = [{} for _ in questions]
    for own, others in _by_scene(questions):
        for i in own:
            near = words.nearest(questions[i].text, _NEIGHBOURS, others)
            rows[i] = {"pred_response": most_frequent(_answers(questions, near))}
    return rows


def _answers(questions: Sequence[Question], chosen: Indices) -> list[str]:
    return [answer for i in chosen for answer in questions[i].known["answers"]]


def constant_caption(questions: Sequence[Question], reader: SceneReader) -> list[Row]:
    """The caption that is most like all others, of the first reference of each object."""
    del reader
    texts = [question.known["references"][0] for question in questions]
    words = Words(texts)
    rows: list[Row] = [{} for _ in questions]
    for own, others in _by_scene(questions):
        middle = texts[words.middle(others)] if len(others) else ""
        for i in own:
            rows[i] = {"pred_response": middle if questions[i].known["box"] else ""}
    return rows


def blind_caption(questions: Sequence[Question], reader: SceneReader) -> list[Row]:
    """A caption of the box whose size is nearest: the box is given, only the images are not."""
    del reader
    sizes = np.array([(question.known["box"] or _ANYWHERE)[3:6] for question in questions])
    rows: list[Row] = [{"pred_response": ""} for _ in questions]
    for own, others in _by_scene(questions):
        given = [i for i in others if questions[i].known["box"]]
        for i in own:
            if questions[i].known["box"] and given:
                nearest = given[int(_unlike(sizes[given], sizes[i]).argmin())]
                rows[i] = {"pred_response": questions[nearest].known["references"][0]}
    return rows


def _unlike(sizes: NDArray[Any], size: NDArray[Any]) -> NDArray[Any]:
    """How far sizes [N, 3] are from one [3], as ratios."""
    logs = np.log(np.maximum(sizes, 1e-3)) - np.log(np.maximum(size, 1e-3))
    distances: NDArray[Any] = np.linalg.norm(logs, axis=-1)
    return distances


def constant_box(questions: Sequence[Question], reader: SceneReader) -> list[Row]:
    """The median of all boxes."""
    del reader
    return [_single(boxes) for boxes in _constant(questions)]


def blind_box(questions: Sequence[Question], reader: SceneReader) -> list[Row]:
    """The proposal of the size that the most alike descriptions mean."""
    return [_single(boxes) for boxes in _blind(questions, reader)]


def constant_boxes(questions: Sequence[Question], reader: SceneReader) -> list[Row]:
    """The median of all boxes, once."""
    del reader
    return [_several(boxes) for boxes in _constant(questions)]


def blind_boxes(questions: Sequence[Question], reader: SceneReader) -> list[Row]:
    """As many as the most alike description means, of the size that such descriptions mean."""
    return [_several(boxes) for boxes in _blind(questions, reader)]


def _single(boxes: list[list[float]]) -> Row:
    box = (boxes or [_ANYWHERE])[0]
    return {"pred_response": box, "pred_box": [*box, 0.0]}


def _several(boxes: list[list[float]]) -> Row:
    scores, objects = as_scores(boxes)
    turned = [[*box, 0.0] for box in boxes]
    return {"scores": scores, "objects": objects, "pred_boxes": turned}


def _constant(questions: Sequence[Question]) -> list[list[list[float]]]:
    found: list[list[list[float]]] = [[] for _ in questions]
    for own, others in _by_scene(questions):
        middle = _median([box for i in others for box in _targets(questions[i])])
        for i in own:
            found[i] = [middle]
    return found


def _blind(questions: Sequence[Question], reader: SceneReader) -> list[list[list[float]]]:
    words = Words([question.known["description"] for question in questions])
    found: list[list[list[float]]] = [[] for _ in questions]
    for own, others in _by_scene(questions):
        proposals = reader.proposals(questions[own[0]].source)
        for i in own:
            near = words.nearest(questions[i].known["description"], _NEIGHBOURS, others)
            middle = _median([box for j in near for box in _targets(questions[j])])
            count = len(_targets(questions[near[0]])) if len(near) else 1
            found[i] = (_most_alike(proposals, middle) or [middle])[:count]
    return found


def _targets(question: Question) -> list[list[float]]:
    """True boxes, of a question with one or any number of them."""
    truth = question.record["gt_response"]
    return [truth] if truth and np.isscalar(truth[0]) else list(truth)


def _median(boxes: Sequence[Sequence[float]]) -> list[float]:
    return [float(v) for v in np.median(np.array(boxes), axis=0)] if boxes else list(_ANYWHERE)


def _most_alike(proposals: Sequence[list[float]], box: Sequence[float]) -> list[list[float]]:
    """Proposals, those whose size is nearest to the box's first."""
    if not proposals:
        return []
    order = _unlike(np.array(proposals)[:, 3:6], np.array(box[3:6])).argsort(kind="stable")
    return [proposals[i] for i in order]
