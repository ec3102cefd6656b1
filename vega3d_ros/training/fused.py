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

from vega3d_ros.grounding.losses import box_loss, ground_loss
from vega3d_ros.mllm.packing import PREFIX, Packed, additive, visible
from vega3d_ros.training.lessons import IGNORED, ClipSample, Lesson, clip_sample
from vega3d_ros.training.loop import Schedule, optimise
from vega3d_ros.training.semantic import box_tensors

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from vega3d_ros.checkpoint import Modules
    from vega3d_ros.simulation.dataset import ClipDataset
    from vega3d_ros.training.tokens import StoredTokens

# Owner of padding; no suffix has it.
_PADDING = 1 << 30


@dataclass(frozen=True)
class FusedTraining:
    """Settings of the stage.

    Attributes:
        method: Fusion method.
        clips: Clips whose tokens are stored and trained on.
        batch: Clips per step.
        lesson: What is asked of each clip, and what is hidden.
        listening_steps: First steps, in which questions do not see the clip: the language model
            learns to hear words before hundreds of visual tokens compete with them.
        seed: Of order, drop-outs and new weights.
        device: "cpu" or "cuda".
        schedule: Steps and rates.
    """

    method: str = "token_gated"
    clips: int = 3600
    batch: int = 2
    lesson: Lesson = field(default_factory=Lesson)
    listening_steps: int = 300
    seed: int = 0
    device: str = "cpu"
    schedule: Schedule = field(default_factory=lambda: Schedule(3600, 1e-3))


@dataclass(eq=False)
class PackedBatch:
    """The suffixes of some clips behind a prefix of ``length`` tokens, padded to one width S.

    Attributes:
        ids: [B, S].
        labels: [B, S], ``IGNORED`` where nothing is learned.
        offsets: [B, S], place of each token in its suffix.
        mask: [B, 1, length + S, length + S], what may be attended to.
        ends: For each clip, index of each suffix's last token.
    """

    ids: Tensor
    labels: Tensor
    offsets: Tensor
    mask: Tensor
    ends: list[Tensor]

    @classmethod
    def of(cls, samples: list[ClipSample], length: int, padding: int) -> PackedBatch:
        """Pack what the samples ask."""
        packs = [Packed.of(sample.suffixes) for sample in samples]
        shape = (len(packs), max(len(pack.ids) for pack in packs))
        ids = torch.full(shape, padding)
        owners = torch.full(shape, _PADDING)
        labels = torch.full(shape, IGNORED)
        offsets = torch.zeros(shape, dtype=torch.long)
        for row, (pack, sample) in enumerate(zip(packs, samples, strict=True)):
            n = len(pack.ids)
            ids[row, :n], owners[row, :n], offsets[row, :n] = pack.ids, pack.owners, pack.offsets
            labels[row, :n] = torch.tensor([label for part in sample.labels for label in part])
        owners = torch.cat([torch.full((len(packs), length), PREFIX), owners], dim=1)
        mask = torch.stack([visible(row, row) for row in owners])[:, None]
        return cls(ids, labels, offsets, mask, [pack.ends for pack in packs])


class FusedObjective:
    """The losses of a step.

    Args:
        modules: The model, trained in place.
        clips: Simulated clips with truth.
        tokens: Their semantic and generative tokens.
        settings: What to show and ask.
    """

    def __init__(
        self, modules: Modules, clips: ClipDataset, tokens: StoredTokens, settings: FusedTraining
    ) -> None:
        self.modules, self.clips, self.tokens, self.settings = modules, clips, tokens, settings
        language = modules.language
        self._model: Any = language.model.model.language_model
        self._padding = int(language.model.config.text_config.pad_token_id)
        self._prefix_ids, visual = language.prefix_ids(tokens.frames)
        self._prefix_positions = language.prefix_positions(tokens.frames)
        self._visual = visual[0].bool()

    def __call__(self, step: int) -> dict[str, Tensor]:
        """Losses of a step; chosen clips and questions depend on nothing but its number."""
        settings, device = self.settings, self.settings.device
        rng = np.random.default_rng([settings.seed, step])
        chosen = [int(i) for i in rng.integers(len(self.tokens), size=settings.batch)]
        samples = [self._sample(i, rng) for i in chosen]
        batch = PackedBatch.of(samples, self._prefix_ids.shape[1], self._padding)
        if step < settings.listening_steps:
            batch.mask[:, :, self._prefix_ids.shape[1] :, : self._prefix_ids.shape[1]] = False
        features = torch.from_numpy(np.stack([s.features for s in samples])).to(device)
        semantic, generative = self.tokens.batch(chosen, device)
        with torch.autocast(device, torch.bfloat16):
            fused = self.modules.bridge(semantic, generative).tokens
            fused = fused.reshape(len(chosen), -1, fused.shape[-1])
            assert self.modules.positions is not None
            seen = fused + self.modules.positions(features)
            hidden = self._read(torch.zeros_like(seen) if settings.lesson.blind else seen, batch)
            losses = self._answer_losses(hidden, batch)
            if settings.lesson.blind:
                return losses
            losses |= self._ground_losses(samples, batch, hidden, fused, features)
        losses["loss"] = losses["answer"] + 0.5 * (
            losses["contrast"] + losses["presence"] + losses["box"]
        )
        return losses

    def _sample(self, index: int, rng: np.random.Generator) -> ClipSample:
        clip = self.clips[index]
        return clip_sample(
            clip.truth,
            clip.depth,
            clip.instance,
            self.modules.language,
            self.settings.lesson,
            rng,
        )

    def _read(self, seen: Tensor, batch: PackedBatch) -> Tensor:
        """Hidden states [B, S, D] of the suffixes behind the visual tokens [B, tokens, D]."""
        device = seen.device
        clips, length = len(seen), self._prefix_ids.shape[1]
        ids = torch.cat([self._prefix_ids.expand(clips, -1), batch.ids.to(device)], dim=1)
        embedded = self._model.embed_tokens(ids).clone()
        embedded[:, :length][:, self._visual] = seen.to(embedded.dtype)
        first = int(self._prefix_positions.max()) + 1
        positions = torch.cat(
            [
                self._prefix_positions.expand(3, clips, -1),
                (batch.offsets + first).to(device).expand(3, -1, -1),
            ],
            dim=2,
        )
        hidden: Tensor = self._model(
            inputs_embeds=embedded,
            position_ids=positions,
            attention_mask={"full_attention": additive(batch.mask.to(device), torch.float32)},
            use_cache=False,
        ).last_hidden_state
        return hidden[:, length:]

    def _answer_losses(self, hidden: Tensor, batch: PackedBatch) -> dict[str, Tensor]:
        told = batch.labels != IGNORED
        wanted = batch.labels[told].to(hidden.device)
        scores = self.modules.language.model.lm_head(hidden[told.to(hidden.device)]).float()
        answer = functional.cross_entropy(scores, wanted)
        right = (scores.detach().argmax(-1) == wanted).float().mean()
        return {"answer": answer, "answer_accuracy": right, "loss": answer}

    def _ground_losses(
        self,
        samples: list[ClipSample],
        batch: PackedBatch,
        hidden: Tensor,
        fused: Tensor,
        features: Tensor,
    ) -> dict[str, Tensor]:
        head, device = self.modules.grounding, hidden.device
        assert head is not None
        parts: list[dict[str, Tensor]] = []
        raw, targets = [], []
        for row, sample in enumerate(samples):
            if not sample.grounds:
                continue
            query = hidden[row, batch.ends[row][sample.grounds].to(device)]
            scores = head.scores(fused[row], features[row], query)
            wanted = torch.from_numpy(np.stack(sample.wanted)).to(device)
            parts.append(ground_loss(scores, wanted))
            if sample.boxed:
                which, token = torch.tensor(sample.boxed, device=device).T
                raw.append(head.boxes(fused[row, token], features[row, token], query[which]))
                targets.extend(sample.boxes)
        if not parts:
            return dict.fromkeys(("contrast", "presence", "hit", "box"), hidden.new_zeros(()))
        losses = {key: torch.stack([part[key] for part in parts]).mean() for key in parts[0]}
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
    resume: bool,
) -> None:
    """Train everything but the vision tower and the prior in place.

    Args:
        modules: The model.
        clips: Simulated clips with truth.
        tokens: Their semantic and generative tokens.
        settings: What to show and ask.
        out: Folder for checkpoints and log.
        resume: Go on where a run in ``out`` stopped.
    """
    torch.manual_seed(settings.seed)
    modules.language.model.model.visual.requires_grad_(requires_grad=False)
    trained = {
        "language": modules.language.model,
        "bridge": modules.bridge,
        "positions": modules.positions,
        "grounding": modules.grounding,
    }
    objective = FusedObjective(modules, clips, tokens, settings)
    optimise("fused", trained, objective, settings.schedule, out, resume=resume)
