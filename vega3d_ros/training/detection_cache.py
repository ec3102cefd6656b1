"""What a model detects in its training clips, stored for the last stage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vega3d_ros.core.console import track
from vega3d_ros.core.frames import Clip
from vega3d_ros.core.json_io import replacing
from vega3d_ros.models.fusion.clip_tokens import ClipTokens
from vega3d_ros.models.mllms.qwen2_5_vl.object_tokens import VALUES
from vega3d_ros.perception.keyframe_encoder import FusedFrame
from vega3d_ros.perception.object_prompt import describe
from vega3d_ros.perception.perceiver import Perceiver
from vega3d_ros.training.object_records import ObjectRecords

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from vega3d_ros.models.checkpoints.modules import Modules
    from vega3d_ros.simulation.dataset import ClipDataset
    from vega3d_ros.training.clip_samples import ClipSampling
    from vega3d_ros.training.token_cache import StoredTokens


@dataclass(frozen=True, eq=False)
class StoredDetections:
    """All detections in some clips; N objects.

    Attributes:
        labels: Labels that were searched.
        depth: Whether each clip was shown with depth, [clips].
        poses: Whether it was shown with poses, [clips].
        clip: Clip of each object, ascending, [N].
        label: Index of its label, [N].
        values: [N, VALUES].
        tokens: [N, S], tokens that show it, -1 behind the last.
        weights: [N, S], how much each of these tokens shows of it.
        visual_tokens: Visual tokens of a clip.
    """

    labels: list[str]
    depth: NDArray[np.bool_]
    poses: NDArray[np.bool_]
    clip: NDArray[np.int64]
    label: NDArray[np.int64]
    values: NDArray[np.float32]
    tokens: NDArray[np.int64]
    weights: NDArray[np.float32]
    visual_tokens: int

    def of(self, clip: int) -> tuple[ObjectRecords, bool, bool]:
        """The detections in a clip, and whether it was shown with depth and with poses."""
        return self._records(clip), bool(self.depth[clip]), bool(self.poses[clip])

    def _records(self, clip: int) -> ObjectRecords:
        first, last = np.searchsorted(self.clip, [clip, clip + 1])
        rows = np.arange(first, last)
        shown = np.zeros((len(rows), self.visual_tokens), np.float32)
        at, slot = np.nonzero(self.tokens[rows] >= 0)
        shown[at, self.tokens[rows][at, slot]] = self.weights[rows][at, slot]
        names = [self.labels[i] for i in self.label[rows]]
        return ObjectRecords(names, np.full(len(rows), -1), self.values[rows], shown)

    def save(self, file: Path) -> None:
        """Write an ``.npz`` file; a reader never sees half of it."""
        with replacing(file) as scratch:
            np.savez(scratch, **vars(self))

    @classmethod
    def load(cls, file: Path) -> StoredDetections:
        """Read what ``save`` wrote."""
        with np.load(file, allow_pickle=False) as data:
            arrays: dict[str, Any] = {key: data[key] for key in data.files}
        arrays["labels"] = [str(label) for label in arrays["labels"]]
        arrays["visual_tokens"] = int(arrays["visual_tokens"])
        return cls(**arrays)


@torch.inference_mode()
def detect_objects(
    modules: Modules, clips: ClipDataset, tokens: StoredTokens, sampling: ClipSampling, seed: int
) -> StoredDetections:
    """Search every clip whose tokens are stored for every label of the model.

    ``sampling`` gives the shares of clips shown without depth and without poses.
    """
    perceiver = Perceiver(modules)
    labels = list(perceiver.queries)
    hidden = np.random.default_rng(seed).random((len(tokens), 2)) < sampling.hidden
    rows: list[tuple[int, int, NDArray[np.float32], NDArray[np.float32]]] = []
    visual_tokens = 0
    for i in track(range(len(tokens)), "detect", len(tokens)):
        semantic, generative = tokens.batch([i], str(modules.language.model.device))
        clip = _without(clips.frames(i), *hidden[i])
        fused = modules.fusion(semantic, generative).tokens
        scene = perceiver.scene_of(clip, [FusedFrame(tokens, None) for tokens in fused])
        values, shown = describe(scene.prompted, clip, ClipTokens.of(clip, fused))
        visual_tokens = shown.shape[1]
        for k, item in enumerate(scene.prompted):
            rows.append((i, labels.index(item.label), values[k], shown[k]))
    width = max((np.count_nonzero(shown) for *_, shown in rows), default=1)
    where = np.full((len(rows), width), -1)
    weights = np.zeros((len(rows), width), np.float32)
    for k, (*_, shown) in enumerate(rows):
        at = np.flatnonzero(shown)
        where[k, : len(at)], weights[k, : len(at)] = at, shown[at]
    return StoredDetections(
        labels,
        ~hidden[:, 0],
        ~hidden[:, 1],
        np.array([clip for clip, *_ in rows], np.int64),
        np.array([label for _, label, *_ in rows], np.int64),
        np.array([values for *_, values, _ in rows], np.float32).reshape(-1, VALUES),
        where,
        weights,
        visual_tokens,
    )


def _without(clip: Clip, no_depth: bool, no_poses: bool) -> Clip:
    changes: dict[str, Any] = {"depth_m": None} if no_depth else {}
    if no_poses:
        changes |= {"pose": None, "fixed_frame": ""}
    return Clip(tuple(replace(frame, **changes) for frame in clip.frames))
