"""Gate, projector, language model and grounding head learn from answers and boxes.

The vision tower and the prior are frozen (as in the official recipe), so their tokens are computed
once per clip and read from disk in every epoch. One step reads a few clips, each with many questions and
queries packed behind one visual prefix.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from vega3d_ros.grounding import encoding
from vega3d_ros.grounding.losses import box_loss
from vega3d_ros.mllm.packing import PREFIX, Packed, additive, visible
from vega3d_ros.token_geometry import features
from vega3d_ros.training.loop import Schedule, optimise
from vega3d_ros.training.samples import SHOWN, FrameTruth, frame_truth, truth_boxes
from vega3d_ros.training.semantic import box_tensors

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from vega3d_ros.checkpoint import Modules
    from vega3d_ros.simulation.dataset import ClipDataset
    from vega3d_ros.training.tokens import StoredTokens

IGNORED = -100
# A token that shows less than this of the queried object is neither right nor wrong.
_GLIMPSE = 0.02
_BOXES_PER_QUERY = 6


@dataclass(frozen=True)
class FusedTraining:
    """Settings of the stage.

    Attributes:
        method: Fusion method.
        clips: Clips whose tokens are stored and trained on.
        batch: Clips per step.
        questions: Questions per clip and step.
        queries: Grounding queries per clip and step.
        without_depth: Share of clips shown without depth.
        without_pose: Share of clips shown without poses.
        blind: Show no image at all: the language model learns what questions alone give away.
        seed: Of order, drop-outs and new weights.
        device: "cpu" or "cuda".
        schedule: Steps and rates.
    """

    method: str = "token_gated"
    clips: int = 3000
    batch: int = 2
    questions: int = 14
    queries: int = 10
    without_depth: float = 0.4
    without_pose: float = 0.1
    blind: bool = False
    seed: int = 0
    device: str = "cpu"
    schedule: Schedule = field(default_factory=lambda: Schedule(4000, 1e-3))


@dataclass(eq=False)
class ClipSample:
    """One clip of a step: geometry, suffixes with their labels, and grounding targets."""

    features: NDArray[np.float32]
    suffixes: list[list[int]]
    labels: list[list[int]]
    grounds: list[int]
    wanted: list[NDArray[np.float32]]
    boxed: list[tuple[int, int]]
    boxes: list[encoding.Targets]


def clip_sample(
    truth: dict[str, Any],
    depth: NDArray[np.float32],
    instance: NDArray[np.uint8],
    modules: Modules,
    settings: FusedTraining,
    rng: np.random.Generator,
) -> ClipSample:
    """Choose what to ask of a clip and compute what should come out."""
    rows, columns = modules.language.grid
    no_depth, no_pose = rng.random(2) < (settings.without_depth, settings.without_pose)
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
    _add_questions(sample, truth, modules, settings, rng)
    if not settings.blind:
        _add_queries(sample, truth, frames, modules, settings, rng)
    return sample


def _add_questions(
    sample: ClipSample,
    truth: dict[str, Any],
    modules: Modules,
    settings: FusedTraining,
    rng: np.random.Generator,
) -> None:
    language = modules.language
    end = int(language.model.config.text_config.eos_token_id)
    questions = truth["questions"]
    for i in rng.permutation(len(questions))[: settings.questions]:
        asked = language.encode(language.prompt.question.format(text=questions[i]["question"]))
        answer = [*language.encode(questions[i]["answer"]), end]
        sample.suffixes.append(asked + answer[:-1])
        sample.labels.append([IGNORED] * (len(asked) - 1) + answer)


def _add_queries(
    sample: ClipSample,
    truth: dict[str, Any],
    frames: list[FrameTruth],
    modules: Modules,
    settings: FusedTraining,
    rng: np.random.Generator,
) -> None:
    language = modules.language
    rows, columns = language.grid
    shown = np.stack([f.coverage for f in frames], axis=1)  # [objects, frames, rows, columns]
    shown = shown.reshape(len(truth["objects"]), -1)
    index = {o["id"]: i for i, o in enumerate(truth["objects"])}
    queries = truth["referring"]
    for i in rng.permutation(len(queries))[: settings.queries]:
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


def ground_loss(scores: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """Contrastive loss of the official heads plus presence of each token.

    Args:
        scores: [Q, T + 1], the last for "not here".
        wanted: [Q, T], share of the token that shows a meant object.
    """
    right, wrong = wanted >= SHOWN, wanted < _GLIMPSE
    absent = ~right.any(dim=1, keepdim=True)
    positive = torch.cat([right, absent], dim=1)
    counted = torch.cat([right | wrong, torch.ones_like(absent)], dim=1)
    masked = scores.masked_fill(~counted, -torch.inf)
    contrast = torch.logsumexp(masked, 1) - torch.logsumexp(
        scores.masked_fill(~positive, -torch.inf), 1
    )
    margin = scores[:, :-1] - scores[:, -1:]
    each = functional.binary_cross_entropy_with_logits(margin, right.float(), reduction="none")
    balance = (each * right).sum(1) / right.sum(1).clamp(min=1) + (each * wrong).sum(
        1
    ) / wrong.sum(1).clamp(min=1)
    # Most tokens are easily wrong; the hardest decides whether "not here" is told.
    hardest = (each * wrong).amax(dim=1)
    chosen = scores[:, :-1].argmax(1, keepdim=True)
    hit = (wanted.gather(1, chosen) >= _GLIMPSE)[~absent[:, 0]]
    return {
        "contrast": contrast.mean(),
        "presence": balance.mean() + 0.2 * hardest.mean(),
        "hit": hit.float().mean().nan_to_num(),
    }


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
    device = settings.device
    torch.manual_seed(settings.seed)
    language = modules.language
    lm: Any = language.model.model.language_model
    rows, columns = language.grid
    frames = tokens.frames
    prefix_ids, visual = language.prefix_ids(frames)
    prefix_positions = language.prefix_positions(frames)
    places = visual[0].bool()
    length = prefix_ids.shape[1]

    def loss_at(step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([settings.seed, step])
        chosen = [int(i) for i in rng.integers(len(tokens), size=settings.batch)]
        samples = []
        for i in chosen:
            clip = clips[i]
            samples.append(
                clip_sample(clip.truth, clip.depth, clip.instance, modules, settings, rng)
            )
        feature = torch.from_numpy(np.stack([s.features for s in samples])).to(device)
        semantic, generative = tokens.batch(chosen, device)
        packs = [Packed.of(s.suffixes) for s in samples]
        longest = max(len(p.ids) for p in packs)
        ids = torch.full((len(packs), longest), int(language.model.config.text_config.pad_token_id))
        owners = torch.full((len(packs), longest), len(packs[0].ids) + longest)
        labels = torch.full((len(packs), longest), IGNORED)
        offsets = torch.zeros(len(packs), longest, dtype=torch.long)
        for b, (p, s) in enumerate(zip(packs, samples, strict=True)):
            n = len(p.ids)
            ids[b, :n], owners[b, :n], offsets[b, :n] = p.ids, p.owners, p.offsets
            labels[b, :n] = torch.tensor([x for row in s.labels for x in row])
        all_owners = torch.cat([torch.full((len(packs), length), PREFIX), owners], dim=1)
        mask = torch.stack([visible(o, o) for o in all_owners])[:, None].to(device)
        start = int(prefix_positions.max()) + 1
        positions = torch.cat(
            [
                prefix_positions.expand(3, len(packs), -1),
                (offsets + start).to(device).expand(3, -1, -1),
            ],
            dim=2,
        )
        with torch.autocast(device, torch.bfloat16):
            fused = modules.bridge(semantic, generative).tokens
            fused = fused.reshape(len(packs), frames * rows * columns, -1)
            if settings.blind:
                fused = torch.zeros_like(fused)
                seen = fused
            else:
                seen = fused + modules.positions(feature)
            embedded = lm.embed_tokens(
                torch.cat([prefix_ids.expand(len(packs), -1), ids.to(device)], dim=1)
            )
            embedded = embedded.clone()
            embedded[:, :length][:, places] = seen.to(embedded.dtype)
            hidden = lm(
                inputs_embeds=embedded,
                position_ids=positions,
                attention_mask={"full_attention": additive(mask, torch.float32)},
                use_cache=False,
            ).last_hidden_state[:, length:]
            told = labels != IGNORED
            logits = language.model.lm_head(hidden[told.to(device)]).float()
            losses = {"answer": functional.cross_entropy(logits, labels[told].to(device))}
            with torch.no_grad():
                said = logits.argmax(-1).cpu() == labels[told]
                losses["answer_accuracy"] = said.float().mean()
            losses["loss"] = losses["answer"]
            if settings.blind:
                return losses
            parts: list[dict[str, Tensor]] = []
            raw, targets = [], []
            for b, s in enumerate(samples):
                if not s.grounds:
                    continue
                query = hidden[b, packs[b].ends[s.grounds].to(device)]
                scores = modules.grounding.scores(fused[b], feature[b], query)
                parts.append(
                    ground_loss(scores, torch.from_numpy(np.stack(s.wanted)).to(device))
                )
                if s.boxed:
                    number, token = (torch.tensor(x, device=device) for x in zip(*s.boxed, strict=True))
                    raw.append(
                        modules.grounding.boxes(fused[b, token], feature[b, token], query[number])
                    )
                    targets.extend(s.boxes)
            for key in parts[0]:
                losses[key] = torch.stack([part[key] for part in parts]).mean()
            losses["box"] = box_loss(torch.cat(raw), *box_tensors(targets, device))
            losses["loss"] = (
                losses["answer"]
                + 0.5 * losses["contrast"]
                + 0.5 * losses["presence"]
                + 0.5 * losses["box"]
            )
        return losses

    trained = {
        "language": language.model,
        "bridge": modules.bridge,
        "positions": modules.positions,
        "grounding": modules.grounding,
    }
    language.model.model.visual.requires_grad_(requires_grad=False)
    optimise("fused", trained, loss_at, settings.schedule, out, resume=resume)

