"""The prompts of a simulated clip in one training step, and their targets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from vega3d_ros.core.geometry import SE3
from vega3d_ros.core.token_grid import features, level_pose
from vega3d_ros.models.grounders.token_head import box_coding
from vega3d_ros.models.grounders.token_head.losses import SHOWN
from vega3d_ros.simulation.visibility import visible_objects
from vega3d_ros.training.object_records import (
    ObjectRecords,
    augment_detections,
    in_frame,
    true_values,
)
from vega3d_ros.training.packed_prompts import PackedPrompts
from vega3d_ros.training.samples import FrameTruth, frame_truth, truth_boxes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vega3d_ros.models.mllms.qwen2_5_vl.language import SceneLanguage
    from vega3d_ros.simulation.dataset import ClipRecord

_BOXES_PER_QUERY = 6
# At run time labels are grounded before object tokens exist, and descriptions after.
_WITHOUT_OBJECTS = 0.5


@dataclass(frozen=True)
class ClipSampling:
    """Prompts of each clip and step, and what is hidden, explained in ``recipes/fused.yaml``.

    With ``blind`` no image is shown: the language model learns what questions alone give away.
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
        features: [tokens, FEATURES], geometry of its tokens.
        objects: Records of its objects.
        prompts: Questions and grounding queries.
        query_coverage: For each query, the share of every token that shows a meant object.
        boxed_tokens: (query, token) of the tokens that should propose a box.
        boxes: The boxes they should propose.
    """

    features: NDArray[np.float32]
    objects: ObjectRecords
    prompts: PackedPrompts = field(default_factory=PackedPrompts)
    query_coverage: list[NDArray[np.float32]] = field(default_factory=list)
    boxed_tokens: list[tuple[int, int]] = field(default_factory=list)
    boxes: list[box_coding.Targets] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _ShownObjects:
    """What the frames of a clip show of its objects.

    Attributes:
        objects: As in the truth, boxes in the newest frame's levelled camera.
        frames: Geometry and boxes of each frame.
        shown: [objects, tokens], the share of each token that shows each.
        poses: Whether poses are known, so that all objects have a place.
    """

    objects: list[dict[str, Any]]
    frames: list[FrameTruth]
    shown: NDArray[np.float32]
    poses: bool

    def center(self, meant: Sequence[int]) -> NDArray[np.float32]:
        """``PackedPrompts.query_centers`` of a query that means these objects."""
        if not self.poses or len(meant) != 1:
            return np.full(3, np.nan, np.float32)
        return true_values(self.objects[meant[0]])[:3]


def clip_sample(
    clip: ClipRecord,
    language: SceneLanguage,
    sampling: ClipSampling,
    rng: np.random.Generator,
    detections: tuple[ObjectRecords, bool, bool] | None = None,
) -> ClipSample:
    """Choose prompts of a clip and compute their targets.

    Args:
        clip: The clip.
        language: Its tokenizer and token grid.
        sampling: How many prompts, and what to hide.
        rng: Chooses.
        detections: Objects that a model detected in the clip, and whether it had depth and poses.
            None: the true objects, with errors at random.
    """
    truth, (rows, columns) = clip.truth, language.grid
    with_depth, with_poses = (bool(show) for show in rng.random(2) >= sampling.hidden)
    if detections is not None:
        _, with_depth, with_poses = detections
    boxes = truth_boxes(truth["objects"])
    depth = clip.depth if with_depth else np.zeros_like(clip.depth)
    frames = [
        frame_truth(truth, t, depth[t], clip.instance[t], rows, columns, boxes)
        for t in range(len(clip.instance))
    ]
    newest = level_pose(SE3.from_matrix(truth["poses"][-1]))
    reference = newest if with_poses else None
    feature = np.concatenate([features(f.geometry, reference, (rows, columns)) for f in frames])
    if not with_poses:
        feature[:, 11:13] = 0
    shown = np.stack([f.coverage for f in frames], axis=1)  # [objects, frames, rows, columns]
    shown = shown.reshape(len(truth["objects"]), -1)
    objects = [in_frame(item, newest.inverse()) for item in truth["objects"]]
    if sampling.blind:
        records = ObjectRecords.of_truth([], len(feature))
    elif detections is not None:
        records = detections[0]
    else:
        records = augment_detections(objects, shown, rng, depth=with_depth, poses=with_poses)
    sample = ClipSample(feature, records)
    questions, visible = truth["questions"], visible_objects(objects)
    for i in rng.permutation(len(questions))[: sampling.questions]:
        q = questions[i]
        sample.prompts.add_question(language, q["question"], q["answer"], visible)
    if not sampling.blind:
        views = _ShownObjects(objects, frames, shown, with_poses)
        queries = truth["referring"]
        chosen = [queries[i] for i in rng.permutation(len(queries))[: sampling.queries]]
        _add_queries(sample, chosen, views, language, rng)
    return sample


def _add_queries(
    sample: ClipSample,
    queries: Sequence[dict[str, Any]],
    views: _ShownObjects,
    language: SceneLanguage,
    rng: np.random.Generator,
) -> None:
    rows, columns = language.grid
    shown, visible = views.shown, visible_objects(views.objects)
    index = {o["id"]: i for i, o in enumerate(views.objects)}
    for query in queries:
        meant = [index[name] for name in query["objects"]]
        share = shown[meant].max(axis=0) if meant else np.zeros(shown.shape[1], np.float32)
        tokens = np.flatnonzero(share >= SHOWN)
        if meant and not len(tokens):
            continue
        number = len(sample.prompts.queries)
        for token in rng.permutation(tokens)[:_BOXES_PER_QUERY]:
            owner = meant[int(shown[meant, token].argmax())]
            frame, cell = divmod(int(token), rows * columns)
            truth = views.frames[frame]
            target = box_coding.encode(truth.geometry, *divmod(cell, columns), truth.boxes[owner])
            if target is not None:
                sample.boxed_tokens.append((number, int(token)))
                sample.boxes.append(target)
        with_objects = bool(rng.random() >= _WITHOUT_OBJECTS)
        sample.prompts.add_query(
            language, query["text"], visible, views.center(meant), with_objects=with_objects
        )
        sample.query_coverage.append(share)
