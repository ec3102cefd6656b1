"""What is asked of a simulated clip in one training step, and what should come out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from vega3d_ros.core.geometry import SE3
from vega3d_ros.core.token_grid import features
from vega3d_ros.models.grounders.token_head import box_coding as encoding
from vega3d_ros.models.grounders.token_head.losses import SHOWN
from vega3d_ros.training.object_records import (
    ObjectRecord,
    misjudged,
    noticed,
    placed,
    true_values,
)
from vega3d_ros.training.packed_prompts import PackedPrompts
from vega3d_ros.training.samples import FrameTruth, frame_truth, truth_boxes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vega3d_ros.models.mllms.qwen2_5_vl.language import SceneLanguage

_BOXES_PER_QUERY = 6
# A robot first looks for what it then tells its language model of, and is asked of things later.
_UNTOLD = 0.5


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

    @property
    def hidden(self) -> tuple[float, float]:
        """Shares of clips without depth and without poses."""
        return self.without_depth, self.without_pose


@dataclass(eq=False)
class ClipSample:
    """One clip of a step.

    Attributes:
        features: [tokens, FEATURES], where its tokens look.
        told: What the language model is told of its objects.
        suffixes: Questions and grounding queries.
        wanted: For each query, the share of every token that shows a meant object.
        boxed: (query, token) of the tokens that should propose a box.
        boxes: The boxes they should propose.
    """

    features: NDArray[np.float32]
    told: ObjectRecord
    suffixes: PackedPrompts = field(default_factory=PackedPrompts)
    wanted: list[NDArray[np.float32]] = field(default_factory=list)
    boxed: list[tuple[int, int]] = field(default_factory=list)
    boxes: list[encoding.Targets] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Views:
    """What the frames of a clip show of its objects.

    Attributes:
        objects: As in the truth, boxes in the newest frame's levelled camera.
        frames: Geometry and boxes of each frame.
        shown: [objects, tokens], the share of each token that shows each.
        placed: Whether poses are known, so that all objects have a place.
    """

    objects: list[dict[str, Any]]
    frames: list[FrameTruth]
    shown: NDArray[np.float32]
    placed: bool

    def place(self, meant: Sequence[int]) -> NDArray[np.float32]:
        """``PackedPrompts.places`` of a query that means these objects."""
        if not self.placed or len(meant) != 1:
            return np.full(3, np.nan, np.float32)
        return true_values(self.objects[meant[0]])[:3]


def clip_sample(
    truth: dict[str, Any],
    depth: NDArray[np.floating],
    instance: NDArray[np.uint8],
    language: SceneLanguage,
    lesson: Lesson,
    rng: np.random.Generator,
    found: tuple[ObjectRecord, bool, bool] | None = None,
) -> ClipSample:
    """Choose what to ask of a clip and compute what should come out.

    Args:
        truth: The clip's truth.
        depth: [T, h, w], metres, 0 where unknown.
        instance: [T, h, w], k + 1 for ``truth["objects"][k]``.
        language: Whose tokens and words they are.
        lesson: How much to ask and to hide.
        rng: Chooses.
        found: What a model found in the clip, and whether it was shown depth and poses, if that is
            told; else the truth is, misjudged at random.
    """
    rows, columns = language.grid
    with_depth, with_poses = (bool(show) for show in rng.random(2) >= lesson.hidden)
    if found is not None:
        _, with_depth, with_poses = found
    boxes = truth_boxes(truth["objects"])
    depth = depth if with_depth else np.zeros_like(depth)
    frames = [
        frame_truth(truth, t, depth[t], instance[t], rows, columns, boxes)
        for t in range(len(instance))
    ]
    newest = frames[-1].geometry.fixed_from_level or SE3.identity()
    reference = newest if with_poses else None
    feature = np.concatenate([features(f.geometry, reference, (rows, columns)) for f in frames])
    if not with_poses:
        feature[:, 11:13] = 0
    shown = np.stack([f.coverage for f in frames], axis=1)  # [objects, frames, rows, columns]
    shown = shown.reshape(len(truth["objects"]), -1)
    objects = [placed(item, newest.inverse()) for item in truth["objects"]]
    if lesson.blind:
        told = ObjectRecord.nothing(len(feature))
    elif found is not None:
        told = found[0]
    else:
        told = misjudged(objects, shown, rng, depth=with_depth, poses=with_poses)
    sample = ClipSample(feature, told)
    questions = truth["questions"]
    for i in rng.permutation(len(questions))[: lesson.questions]:
        q = questions[i]
        sample.suffixes.question(language, q["question"], q["answer"], noticed(objects))
    if not lesson.blind:
        views = _Views(objects, frames, shown, with_poses)
        _add_queries(sample, truth["referring"], views, language, lesson, rng)
    return sample


def _add_queries(
    sample: ClipSample,
    queries: Sequence[dict[str, Any]],
    views: _Views,
    language: SceneLanguage,
    lesson: Lesson,
    rng: np.random.Generator,
) -> None:
    rows, columns = language.grid
    shown, known = views.shown, noticed(views.objects)
    index = {o["id"]: i for i, o in enumerate(views.objects)}
    for i in rng.permutation(len(queries))[: lesson.queries]:
        meant = [index[name] for name in queries[i]["objects"]]
        share = shown[meant].max(axis=0) if meant else np.zeros(shown.shape[1], np.float32)
        right = np.flatnonzero(share >= SHOWN)
        if meant and not len(right):
            continue
        number = len(sample.suffixes.grounds)
        for token in rng.permutation(right)[:_BOXES_PER_QUERY]:
            owner = meant[int(shown[meant, token].argmax())]
            frame, cell = divmod(int(token), rows * columns)
            truth_here = views.frames[frame]
            target = encoding.encode(
                truth_here.geometry, *divmod(cell, columns), truth_here.boxes[owner]
            )
            if target is not None:
                sample.boxed.append((number, int(token)))
                sample.boxes.append(target)
        told = bool(rng.random() >= _UNTOLD)
        text, place = queries[i]["text"], views.place(meant)
        sample.suffixes.query(language, text, known, place, told=told)
        sample.wanted.append(share)
