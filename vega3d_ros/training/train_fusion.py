"""Gate, projector, language model and grounding head learn from answers and boxes.

The vision tower and the prior are frozen (as in the official recipe), so their tokens are computed
once per clip and read from disk in every epoch. One step reads a few clips, each with many
questions and queries packed behind one visual prefix.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from vega3d_ros.models.grounders.token_head.losses import box_loss, ground_loss
from vega3d_ros.training.clip_samples import ClipSample, Lesson, clip_sample
from vega3d_ros.training.loop import Schedule, TrainingError, optimise
from vega3d_ros.training.packed_prompts import (
    ObjectRecallHead,
    PackedBatch,
    answer_losses,
    object_tokens,
    read,
)
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
    from vega3d_ros.training.detection_cache import Findings
    from vega3d_ros.training.token_cache import StoredTokens

# Of each loss in the sum.
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
class FusedTraining:
    """Settings of the stage.

    Attributes:
        method: Fusion method.
        clips: Clips whose tokens are stored and trained on.
        batch: Clips per step.
        lesson: What is asked of each clip, and what is hidden.
        seed: Of order, drop-outs and new weights.
        device: "cpu" or "cuda".
        schedule: Steps and rates.
    """

    method: str = "token_gated"
    clips: int = 3600
    batch: int = 2
    lesson: Lesson = field(default_factory=Lesson)
    seed: int = 0
    device: str = "cpu"
    schedule: Schedule = field(default_factory=lambda: Schedule(3600, 1e-3))


@dataclass(frozen=True, eq=False)
class Trainee:
    """The parts of a model that are trained, all of which it must have.

    Attributes:
        language: Vision tower (frozen) and language model.
        fusion: Projector and gate.
        positions: Position encoding.
        grounding: Token head.
        objects: Object tokens.
        recall: Reads what mentions bring back; not part of the model.
    """

    language: SceneLanguage
    fusion: FusionModule
    positions: PositionEncoding
    grounding: GroundingHead
    objects: ObjectTokens
    recall: ObjectRecallHead

    @classmethod
    def of(cls, modules: Modules) -> Trainee:
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
        """The parts by name."""
        return {
            "language": self.language.model,
            "fusion": self.fusion,
            "positions": self.positions,
            "grounding": self.grounding,
            "objects": self.objects,
            "recall": self.recall,
        }


class FusedObjective:
    """The losses of a step.

    Args:
        trainee: Trained in place.
        clips: Simulated clips with truth.
        tokens: Their semantic and generative tokens.
        settings: What to show and ask.
        found: What a model found in the clips, told in place of the truth.
    """

    def __init__(
        self,
        trainee: Trainee,
        clips: ClipDataset,
        tokens: StoredTokens,
        settings: FusedTraining,
        found: Findings | None = None,
    ) -> None:
        self.trainee, self.clips, self.tokens = trainee, clips, tokens
        self.settings, self.found = settings, found
        language = trainee.language
        self._model: Any = language.model.model.language_model
        self._padding = int(language.model.config.text_config.pad_token_id)
        self._prefix_ids, visual = language.prefix_ids(tokens.frames)
        self._prefix_positions = language.prefix_positions(tokens.frames)
        self._visual = visual[0].bool()

    def __call__(self, step: int) -> dict[str, Tensor]:
        """Losses of a step; chosen clips and questions depend on nothing but its number."""
        settings, device = self.settings, self.settings.device
        language = self.trainee.language
        rng = np.random.default_rng([settings.seed, step])
        chosen = [int(i) for i in rng.integers(len(self.tokens), size=settings.batch)]
        samples = [self._sample(i, rng) for i in chosen]
        batch = PackedBatch.of(
            [sample.suffixes for sample in samples],
            [len(sample.told.notes) for sample in samples],
            self._prefix_ids.shape[1],
            self._padding,
        )
        features = torch.from_numpy(np.stack([s.features for s in samples])).to(device)
        semantic, generative = self.tokens.batch(chosen, device)
        with torch.autocast(device, torch.bfloat16):
            fused = self.trainee.fusion(semantic, generative).tokens
            fused = fused.reshape(len(chosen), -1, fused.shape[-1])
            seen = fused + self.trainee.positions(features)
            looks = [
                torch.from_numpy(sample.told.shown).to(fused) @ tokens
                for sample, tokens in zip(samples, fused, strict=True)
            ]
            told = object_tokens(
                self.trainee.objects,
                language,
                [sample.told.notes for sample in samples],
                [self.trainee.objects.colors(look) for look in looks],
            )
            prefix = self._embed(torch.zeros_like(seen) if settings.lesson.blind else seen)
            heard = read(language, prefix, self._prefix_positions, told, batch)
            losses = answer_losses(language, heard.hidden, batch)
            if not settings.lesson.blind:
                losses["recall"] = self.trainee.recall(heard.mentions, batch.brought.to(device))
                losses["color"] = self._color_loss(samples, looks)
                losses |= self._ground_losses(samples, batch, heard.hidden, fused, features)
        losses["loss"] = torch.stack(
            [weight * losses[name].float() for name, weight in _WEIGHTS.items() if name in losses]
        ).sum()
        return losses

    def _sample(self, index: int, rng: np.random.Generator) -> ClipSample:
        clip = self.clips[index]
        return clip_sample(
            clip.truth,
            clip.depth,
            clip.instance,
            self.trainee.language,
            self.settings.lesson,
            rng,
            (self.found.told(index), *self.found.shown(index)) if self.found else None,
        )

    def _embed(self, seen: Tensor) -> Tensor:
        """The prefix [B, length, D] with visual tokens [B, tokens, D] in their places."""
        embedded: Tensor = self._model.embed_tokens(self._prefix_ids.expand(len(seen), -1)).clone()
        embedded[:, self._visual] = seen.to(embedded.dtype)
        return embedded

    def _color_loss(self, samples: list[ClipSample], looks: list[Tensor]) -> Tensor:
        wanted = torch.from_numpy(np.concatenate([s.told.notes.colors for s in samples]))
        scores = self.trainee.objects.color(torch.cat(looks)).float()
        loss = functional.cross_entropy(scores, wanted.to(scores.device), ignore_index=-1)
        return loss.nan_to_num()  # no object, no loss

    def _ground_losses(
        self,
        samples: list[ClipSample],
        batch: PackedBatch,
        hidden: Tensor,
        fused: Tensor,
        features: Tensor,
    ) -> dict[str, Tensor]:
        head, device = self.trainee.grounding, hidden.device
        parts: list[dict[str, Tensor]] = []
        places: list[Tensor] = []
        raw, targets = [], []
        for row, sample in enumerate(samples):
            grounds = sample.suffixes.grounds
            if not grounds:
                continue
            query = hidden[row, batch.ends[row][grounds].to(device)]
            scores = head.scores(fused[row], features[row], query)
            wanted = torch.from_numpy(np.stack(sample.wanted)).to(device)
            parts.append(ground_loss(scores, wanted))
            where = torch.from_numpy(np.stack(sample.suffixes.places)).to(device)
            places.append(self.trainee.recall.places(query, where))
            if sample.boxed:
                which, token = torch.tensor(sample.boxed, device=device).T
                raw.append(head.boxes(fused[row, token], features[row, token], query[which]))
                targets.extend(sample.boxes)
        if not parts:
            named = ("contrast", "presence", "hit", "place", "box")
            return dict.fromkeys(named, hidden.new_zeros(()))
        losses = {key: torch.stack([part[key] for part in parts]).mean() for key in parts[0]}
        losses["place"] = torch.stack(places).mean()
        losses["box"] = (
            box_loss(torch.cat(raw), *box_tensors(targets, str(device)))
            if targets
            else hidden.new_zeros(())
        )
        return losses


def train_fused(
    modules: Modules,
    clips: ClipDataset,
    tokens: StoredTokens,
    settings: FusedTraining,
    out: Path,
    *,
    found: Findings | None = None,
    resume: bool,
) -> None:
    """Train everything but the vision tower and the prior in place.

    Args:
        modules: The model.
        clips: Simulated clips with truth.
        tokens: Their semantic and generative tokens.
        settings: What to show and ask.
        out: Folder for checkpoints and log.
        found: What the model found in the clips, if it is told; what that rests on is then kept.
        resume: Go on where a run in ``out`` stopped.

    Raises:
        TrainingError: If the model lacks a part that is trained.
    """
    torch.manual_seed(settings.seed)
    trainee = Trainee.of(modules)
    if found is not None:
        trainee.fusion.requires_grad_(requires_grad=False)
        trainee.positions.requires_grad_(requires_grad=False)
    objective = FusedObjective(trainee, clips, tokens, settings, found)
    optimise("fused", trainee.networks, objective, settings.schedule, out, resume=resume)
