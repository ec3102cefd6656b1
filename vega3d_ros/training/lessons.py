"""What is asked of a simulated clip in one training step, and what should come out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vega3d_ros.grounding import encoding
from vega3d_ros.grounding.losses import SHOWN
from vega3d_ros.token_geometry import features
from vega3d_ros.training.samples import FrameTruth, frame_truth, truth_boxes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vega3d_ros.mllm.language import SceneLanguage

IGNORED = -100
_BOXES_PER_QUERY = 6


@dataclass(frozen=True)
class Lesson:
    """How much a step asks of each clip, and what it hides.

    Attributes:
        questions: Questions per clip and step.
        queries: Grounding queries per clip and step.
        without_depth: Share of clips shown without depth.
        without_pose: Share of clips shown without poses.
        blind: Show no image at all: the language model learns what questions alone give away.
    """

    questions: int = 14
    queries: int = 10
    without_depth: float = 0.4
    without_pose: float = 0.1
    blind: bool = False


@dataclass(eq=False)
class ClipSample:
    """One clip of a step.

    Attributes:
        features: [tokens, FEATURES], where its tokens look.
        suffixes: Token ids of questions with answers, then of grounding queries.
        labels: What each of them should be followed by, ``IGNORED`` where nothing is learned.
        grounds: Indices of the suffixes that are grounding queries.
        wanted: For each of those, the share of every token that shows a meant object.
        boxed: (query, token) of the tokens that should propose a box.
        boxes: The boxes they should propose.
    """

    features: NDArray[np.float32]
    suffixes: list[list[int]]
    labels: list[list[int]]
    grounds: list[int]
    wanted: list[NDArray[np.float32]]
    boxed: list[tuple[int, int]]
    boxes: list[encoding.Targets]


def clip_sample(
    truth: dict[str, Any],
    depth: NDArray[np.floating],
    instance: NDArray[np.uint8],
    language: SceneLanguage,
    lesson: Lesson,
    rng: np.random.Generator,
) -> ClipSample:
    """Choose what to ask of a clip and compute what should come out.

    Args:
        truth: The clip's truth.
        depth: [T, h, w], metres, 0 where unknown.
        instance: [T, h, w], k + 1 for ``truth["objects"][k]``.
        language: Whose tokens and words they are.
        lesson: How much to ask and to hide.
        rng: Chooses.
    """
    rows, columns = language.grid
    no_depth, no_pose = rng.random(2) < (lesson.without_depth, lesson.without_pose)
    boxes = truth_boxes(truth["objects"])
    depth = np.zeros_like(depth) if no_depth else depth
    frames = [
        frame_truth(truth, t, depth[t], instance[t], rows, columns, boxes)
        for t in range(len(instance))
    ]
    reference = None if no_pose else frames[-1].geometry.fixed_from_level
    feature = np.concatenate([features(f.geometry, reference, (rows, columns)) for f in frames])
    if no_pose:
        feature[:, 11:13] = 0
    sample = ClipSample(feature, [], [], [], [], [], [])
    _add_questions(sample, truth, language, lesson, rng)
    if not lesson.blind:
        _add_queries(sample, truth, frames, language, lesson, rng)
    return sample


def _add_questions(
    sample: ClipSample,
    truth: dict[str, Any],
    language: SceneLanguage,
    lesson: Lesson,
    rng: np.random.Generator,
) -> None:
    end = int(language.model.config.text_config.eos_token_id)
    questions = truth["questions"]
    for i in rng.permutation(len(questions))[: lesson.questions]:
        asked = language.encode(language.prompt.question.format(text=questions[i]["question"]))
        answer = [*language.encode(questions[i]["answer"]), end]
        sample.suffixes.append(asked + answer[:-1])
        sample.labels.append([IGNORED] * (len(asked) - 1) + answer)


def _add_queries(
    sample: ClipSample,
    truth: dict[str, Any],
    frames: list[FrameTruth],
    language: SceneLanguage,
    lesson: Lesson,
    rng: np.random.Generator,
) -> None:
    rows, columns = language.grid
    shown = np.stack([f.coverage for f in frames], axis=1)  # [objects, frames, rows, columns]
    shown = shown.reshape(len(truth["objects"]), -1)
    index = {o["id"]: i for i, o in enumerate(truth["objects"])}
    queries = truth["referring"]
    for i in rng.permutation(len(queries))[: lesson.queries]:
        meant = [index[name] for name in queries[i]["objects"]]
        share = shown[meant].max(axis=0) if meant else np.zeros(shown.shape[1], np.float32)
        right = np.flatnonzero(share >= SHOWN)
        if meant and not len(right):
            continue
        number = len(sample.grounds)
        for token in rng.permutation(right)[:_BOXES_PER_QUERY]:
            owner = meant[int(shown[meant, token].argmax())]
            frame, cell = divmod(int(token), rows * columns)
            truth_here = frames[frame]
            target = encoding.encode(
                truth_here.geometry, *divmod(cell, columns), truth_here.boxes[owner]
            )
            if target is not None:
                sample.boxed.append((number, int(token)))
                sample.boxes.append(target)
        suffix = language.encode(language.prompt.ground.format(text=queries[i]["text"]))
        sample.grounds.append(len(sample.suffixes))
        sample.suffixes.append(suffix)
        sample.labels.append([IGNORED] * len(suffix))
        sample.wanted.append(share)
