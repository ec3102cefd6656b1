"""Trains gate, projector, language model and grounding head on answers and boxes.

The vision tower and the prior are frozen (as in the official recipe), so their tokens are computed
once per clip and stored. A step takes a few clips, each with many questions and queries packed
behind one visual prefix.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from vega3d_ros.models.grounders.token_head.losses import box_loss, ground_loss
from vega3d_ros.training.clip_samples import ClipSample, ClipSampling, clip_sample
from vega3d_ros.training.loop import Schedule, TrainingError, optimise
from vega3d_ros.training.packed_prompts import (
    ObjectRecallHead,
    PackedBatch,
    answer_losses,
    object_tokens,
    run_batch,
)
from vega3d_ros.training.precision import mixed_precision
from vega3d_ros.training.train_vision_tower import box_tensors

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from vega3d_ros.models.checkpoints.modules import Modules
    from vega3d_ros.models.fusion.fusion_module import FusionModule, PositionEncoding
    from vega3d_ros.models.grounders.token_head.head import GroundingHead
    from vega3d_ros.models.mllms.qwen2_5_vl.language import SceneLanguage
    from vega3d_ros.models.mllms.qwen2_5_vl.object_tokens import ObjectTokens
    from vega3d_ros.simulation.dataset import ClipDataset
    from vega3d_ros.training.detection_cache import StoredDetections
    from vega3d_ros.training.token_cache import StoredTokens

# Weight of each loss in the sum.
_WEIGHTS = {
    "answer": 1.0,
    "recall": 1.0,
    "color": 0.3,
    "contrast": 0.5,
    "presence": 0.5,
    "place": 0.5,
    "box": 0.5,
}


@dataclass(frozen=True)
class FusionTraining:
    """Settings of the stage, explained in ``recipes/fused.yaml``."""

    method: str = "token_gated"
    clips: int = 3600
    batch: int = 2
    sampling: ClipSampling = field(default_factory=ClipSampling)
    seed: int = 0
    device: str = "cpu"
    schedule: Schedule = field(default_factory=lambda: Schedule(3600, 1e-3))


@dataclass(frozen=True, eq=False)
class TrainedParts:
    """The parts of a model that are trained, all of which it must have.

    The vision tower of ``language`` is frozen; the auxiliary head ``recall`` is no part of the
    model.
    """

    language: SceneLanguage
    fusion: FusionModule
    positions: PositionEncoding
    grounding: GroundingHead
    objects: ObjectTokens
    recall: ObjectRecallHead

    @classmethod
    def of(cls, modules: Modules) -> TrainedParts:
        """The trained parts of a model.

        Raises:
            TrainingError: If it lacks one, as official checkpoints do.
        """
        if modules.positions is None or modules.grounding is None or modules.objects is None:
            msg = (
                "only a model with position encoding, grounding head and object tokens is trained"
            )
            raise TrainingError(msg)
        modules.language.model.model.visual.requires_grad_(requires_grad=False)
        recall = ObjectRecallHead(modules.language.model.config.text_config.hidden_size)
        return cls(
            modules.language,
            modules.fusion,
            modules.positions,
            modules.grounding,
            modules.objects,
            recall.to(modules.language.model.device),
        )

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The parts by their names in ``state.pt``."""
        return {
            "language": self.language.model,
            "fusion": self.fusion,
            "positions": self.positions,
            "grounding": self.grounding,
            "objects": self.objects,
            "recall": self.recall,
        }


class FusionObjective:
    """The losses of a step, on a model's detections if they are given, else on true objects."""

    def __init__(
        self,
        parts: TrainedParts,
        clips: ClipDataset,
        tokens: StoredTokens,
        settings: FusionTraining,
        detections: StoredDetections | None = None,
    ) -> None:
        self.parts, self.clips, self.tokens = parts, clips, tokens
        self.settings, self.detections = settings, detections
        language = parts.language
        self._model: Any = language.model.model.language_model
        self._padding = int(language.model.config.text_config.pad_token_id)
        self._prefix_ids, visual = language.prefix_ids(tokens.frames)
        self._prefix_positions = language.prefix_positions(tokens.frames)
        self._visual = visual[0].bool()

    def __call__(self, step: int) -> dict[str, Tensor]:
        """Losses of a step; its number alone determines clips and questions."""
        settings, device = self.settings, self.settings.device
        language = self.parts.language
        rng = np.random.default_rng([settings.seed, step])
        chosen = [int(i) for i in rng.integers(len(self.tokens), size=settings.batch)]
        samples = [self._sample(i, rng) for i in chosen]
        batch = PackedBatch.of(
            [sample.prompts for sample in samples],
            [len(sample.objects) for sample in samples],
            self._prefix_ids.shape[1],
            self._padding,
        )
        features = torch.from_numpy(np.stack([s.features for s in samples])).to(device)
        semantic, generative = self.tokens.batch(chosen, device)
        with mixed_precision(device):
            fused = self.parts.fusion(semantic, generative).tokens
            fused = fused.reshape(len(chosen), -1, fused.shape[-1])
            visual = fused + self.parts.positions(features)
            looks = [
                torch.from_numpy(sample.objects.shown).to(fused) @ tokens
                for sample, tokens in zip(samples, fused, strict=True)
            ]
            objects = object_tokens(
                self.parts.objects,
                language,
                [sample.objects for sample in samples],
                [self.parts.objects.colors(look) for look in looks],
            )
            prefix = self._embed(torch.zeros_like(visual) if settings.sampling.blind else visual)
            context = run_batch(language, prefix, self._prefix_positions, objects, batch)
            losses = answer_losses(language, context.hidden, batch)
            if not settings.sampling.blind:
                losses["recall"] = self.parts.recall(
                    context.mentions, batch.mention_targets.to(device)
                )
                losses["color"] = self._color_loss(samples, looks)
                losses |= self._ground_losses(samples, batch, context.hidden, fused, features)
        losses["loss"] = torch.stack(
            [weight * losses[name].float() for name, weight in _WEIGHTS.items() if name in losses]
        ).sum()
        return losses

    def _sample(self, index: int, rng: np.random.Generator) -> ClipSample:
        detections = self.detections.of(index) if self.detections else None
        clip, language = self.clips[index], self.parts.language
        return clip_sample(clip, language, self.settings.sampling, rng, detections)

    def _embed(self, visual: Tensor) -> Tensor:
        """The prefix [B, length, D] with visual tokens [B, tokens, D] in their places."""
        ids = self._prefix_ids.expand(len(visual), -1)
        embedded: Tensor = self._model.embed_tokens(ids).clone()
        embedded[:, self._visual] = visual.to(embedded.dtype)
        return embedded

    def _color_loss(self, samples: list[ClipSample], looks: list[Tensor]) -> Tensor:
        targets = torch.from_numpy(np.concatenate([s.objects.colors for s in samples]))
        scores = self.parts.objects.color(torch.cat(looks)).float()
        loss = functional.cross_entropy(scores, targets.to(scores.device), ignore_index=-1)
        return loss.nan_to_num()  # no object, no loss

    def _ground_losses(
        self,
        samples: list[ClipSample],
        batch: PackedBatch,
        hidden: Tensor,
        fused: Tensor,
        features: Tensor,
    ) -> dict[str, Tensor]:
        head, device = self.parts.grounding, hidden.device
        ground: list[dict[str, Tensor]] = []
        centers: list[Tensor] = []
        raw, targets = [], []
        for row, sample in enumerate(samples):
            if not sample.prompts.queries:
                continue
            query = hidden[row, batch.ends[row][sample.prompts.queries].to(device)]
            scores = head.scores(fused[row], features[row], query)
            coverage = torch.from_numpy(np.stack(sample.query_coverage)).to(device)
            ground.append(ground_loss(scores, coverage))
            center = torch.from_numpy(np.stack(sample.prompts.query_centers)).to(device)
            centers.append(self.parts.recall.center_loss(query, center))
            if sample.boxed_tokens:
                which, token = torch.tensor(sample.boxed_tokens, device=device).T
                raw.append(head.boxes(fused[row, token], features[row, token], query[which]))
                targets.extend(sample.boxes)
        if not ground:
            names = ("contrast", "presence", "hit", "place", "box")
            return dict.fromkeys(names, hidden.new_zeros(()))
        losses = {key: torch.stack([clip[key] for clip in ground]).mean() for key in ground[0]}
        losses["place"] = torch.stack(centers).mean()
        losses["box"] = (
            box_loss(torch.cat(raw), *box_tensors(targets, str(device)))
            if targets
            else hidden.new_zeros(())
        )
        return losses


def train_fusion(
    modules: Modules,
    clips: ClipDataset,
    tokens: StoredTokens,
    settings: FusionTraining,
    out: Path,
    *,
    detections: StoredDetections | None = None,
    resume: bool,
) -> None:
    """Train everything but the vision tower and the prior in place.

    With a model's own ``detections`` in place of the true objects, the parts that detected them
    are frozen too. Checkpoints and log go to ``out``; ``resume`` continues from there.

    Raises:
        TrainingError: If the model lacks a part that is trained.
    """
    torch.manual_seed(settings.seed)
    parts = TrainedParts.of(modules)
    if detections is not None:
        parts.fusion.requires_grad_(requires_grad=False)
        parts.positions.requires_grad_(requires_grad=False)
    objective = FusionObjective(parts, clips, tokens, settings, detections)
    optimise("fused", parts.networks, objective, settings.schedule, out, resume=resume)
