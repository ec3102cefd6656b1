"""Questions and grounding queries as token ids, many of them packed behind the same clip."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from vega3d_ros.models.mllms.qwen2_5_vl.packing import OBJECTS, PREFIX, Packed, additive, visible
from vega3d_ros.training.object_records import (
    COLOR_NAMES,
    RECALL_SIZE,
    RELATION_SIZE,
    mention_targets,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from vega3d_ros.models.mllms.qwen2_5_vl.language import SceneLanguage
    from vega3d_ros.models.mllms.qwen2_5_vl.object_tokens import ObjectTokens
    from vega3d_ros.training.object_records import ObjectRecords

IGNORED = -100
# Owner of padding; no prompt has it.
_PADDING = 1 << 30
# Owner of the slots of object tokens that a clip leaves empty.
_EMPTY_SLOT = _PADDING + 1


@dataclass(eq=False)
class PackedPrompts:
    """The prompts of one clip: questions with their answers, and grounding queries.

    Attributes:
        ids: Token ids of each prompt.
        labels: The token that should follow each token, ``IGNORED`` where none is a target.
        queries: Indices of the prompts that are grounding queries.
        without_objects: Of these, the ones that do not attend to object tokens.
        query_centers: For each query, the centre of the one object it means, in the frame and unit
            of ``object_values``, [3]; NaN where it means several objects or none.
        mentions: (prompt, token in it) at which a named object must be recalled.
        mention_targets: [RECALL_SIZE + RELATION_SIZE] for each mention.
    """

    ids: list[list[int]] = field(default_factory=list)
    labels: list[list[int]] = field(default_factory=list)
    queries: list[int] = field(default_factory=list)
    without_objects: list[int] = field(default_factory=list)
    query_centers: list[NDArray[np.float32]] = field(default_factory=list)
    mentions: list[tuple[int, int]] = field(default_factory=list)
    mention_targets: list[NDArray[np.float32]] = field(default_factory=list)

    def add_question(
        self,
        language: SceneLanguage,
        question: str,
        answer: str,
        objects: Sequence[Mapping[str, Any]],
    ) -> None:
        """Add a question; ``objects`` are all visible ones, boxes in the reference frame."""
        end = int(language.model.config.text_config.eos_token_id)
        asked = language.encode(language.prompt.question.format(text=question))
        answered = [*language.encode(answer), end]
        self._add_mentions(language, question, objects)
        self.ids.append(asked + answered[:-1])
        self.labels.append([IGNORED] * (len(asked) - 1) + answered)

    def add_query(
        self,
        language: SceneLanguage,
        text: str,
        objects: Sequence[Mapping[str, Any]],
        center: NDArray[np.float32],
        *,
        with_objects: bool,
    ) -> None:
        """Add a grounding query; ``objects`` as in ``add_question``, ``center``: its centre.

        Without ``with_objects`` it does not attend to object tokens and has no mentions.
        """
        ids = language.encode(language.prompt.ground.format(text=text))
        if with_objects:
            self._add_mentions(language, text, objects)
        else:
            self.without_objects.append(len(self.ids))
        self.queries.append(len(self.ids))
        self.query_centers.append(center)
        self.ids.append(ids)
        self.labels.append([IGNORED] * len(ids))

    def _add_mentions(
        self, language: SceneLanguage, text: str, objects: Sequence[Mapping[str, Any]]
    ) -> None:
        """Add the mentions in a text, with which the next prompt begins."""
        for target in mention_targets(text, objects):
            token = len(language.encode(text[: target.end])) - 1
            self.mentions.append((len(self.ids), token))
            self.mention_targets.append(np.concatenate([target.recalled, target.related]))


@dataclass(eq=False)
class PackedBatch:
    """The prompts of B clips behind ``length`` visual tokens and K object tokens each.

    Attributes:
        length: Visual and other prefix tokens.
        objects: K, of the clip that has most.
        ids: [B, S].
        labels: [B, S], ``IGNORED`` where no token is a target.
        offsets: [B, K + S], place of each token behind the visual ones.
        mask: [B, 1, length + K + S, length + K + S], what may be attended to.
        ends: For each clip, index in S of each prompt's last token.
        mentions: [M, 2], clip and index in S.
        mention_targets: [M, RECALL_SIZE + RELATION_SIZE].
    """

    length: int
    objects: int
    ids: Tensor
    labels: Tensor
    offsets: Tensor
    mask: Tensor
    ends: list[Tensor]
    mentions: Tensor
    mention_targets: Tensor

    @classmethod
    def of(
        cls, clips: Sequence[PackedPrompts], counts: Sequence[int], length: int, padding: int
    ) -> PackedBatch:
        """Pack the prompts of each clip behind its ``counts`` object tokens."""
        packs = [Packed.of(prompts.ids) for prompts in clips]
        objects, width = max(counts), max(len(pack.ids) for pack in packs)
        shape = (len(packs), width)
        ids, labels = torch.full(shape, padding), torch.full(shape, IGNORED)
        offsets = torch.arange(objects + width).repeat(len(packs), 1)
        masks, mentions = [], []
        for row, (pack, prompts, count) in enumerate(zip(packs, clips, counts, strict=True)):
            n = len(pack.ids)
            ids[row, :n] = pack.ids
            labels[row, :n] = torch.tensor([label for part in prompts.labels for label in part])
            without = torch.tensor(prompts.without_objects, dtype=torch.long)
            with_objects = ~torch.isin(pack.owners, without)
            offsets[row, objects : objects + n] = pack.offsets + count * with_objects
            owners = torch.full((length + objects + width,), _PADDING)
            owners[:length] = PREFIX
            owners[length : length + objects] = _EMPTY_SLOT
            owners[length : length + count] = OBJECTS
            owners[length + objects : length + objects + n] = pack.owners
            attends = torch.ones(len(owners), dtype=torch.bool)
            attends[length + objects : length + objects + n] = with_objects
            masks.append(visible(owners, owners, attends))
            starts = pack.ends - torch.tensor([len(prompt) for prompt in prompts.ids]) + 1
            mentions += [(row, int(starts[prompt]) + token) for prompt, token in prompts.mentions]
        targets = [target for prompts in clips for target in prompts.mention_targets]
        return cls(
            length,
            objects,
            ids,
            labels,
            offsets,
            torch.stack(masks)[:, None],
            [pack.ends for pack in packs],
            torch.tensor(mentions, dtype=torch.long).view(-1, 2),
            torch.from_numpy(np.array(targets, np.float32)).view(-1, RECALL_SIZE + RELATION_SIZE),
        )


class ObjectRecallHead(nn.Module):
    """An auxiliary head that reads objects off hidden states; only training needs it."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.recall = nn.Linear(dim, RECALL_SIZE)
        self.relate = nn.Linear(dim, RELATION_SIZE)
        self.place = nn.Linear(dim, 3)

    def center_loss(self, queries: Tensor, centers: Tensor) -> Tensor:
        """Mean squared error of the centres that grounding queries mean.

        Args:
            queries: Last hidden states of the queries [Q, dim].
            centers: [Q, 3], NaN where there is no target.
        """
        return _error(self.place, queries, centers)

    def forward(self, mentions: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
        """Sum of the mean squared errors of recalled and related values.

        Args:
            mentions: Hidden states [M, dim] to recall from, and to relate from.
            targets: [M, RECALL_SIZE + RELATION_SIZE], NaN where there is no target.
        """
        recalled, related = targets[:, :RECALL_SIZE], targets[:, RECALL_SIZE:]
        return _error(self.recall, mentions[0], recalled) + _error(
            self.relate, mentions[1], related
        )


def _error(layer: nn.Module, hidden: Tensor, targets: Tensor) -> Tensor:
    known = targets.isfinite()
    if not known.any():
        return hidden.new_zeros((), dtype=torch.float32)
    predicted = layer(functional.rms_norm(hidden.float(), hidden.shape[-1:]))
    return functional.mse_loss(predicted[known], targets.to(predicted)[known])


def object_tokens(
    module: ObjectTokens,
    language: SceneLanguage,
    clips: Sequence[ObjectRecords],
    colors: Sequence[Tensor],
) -> Tensor:
    """Object tokens [B, K, D] of each clip's records, zeros behind the last.

    ``colors`` holds for each clip the colours' probabilities [objects, colours + 1].
    """
    device = language.model.device
    known = sorted({label for records in clips for label in records.labels})
    embedded = language.embed_names([*COLOR_NAMES, *known])
    words, names = embedded[: len(COLOR_NAMES)], embedded[len(COLOR_NAMES) :]
    out = embedded.new_zeros(len(clips), max(map(len, clips)), embedded.shape[-1])
    for row, (records, color) in enumerate(zip(clips, colors, strict=True)):
        if len(records):
            which = torch.tensor([known.index(label) for label in records.labels], device=device)
            values = torch.from_numpy(records.values).to(device)
            tokens = module(names[which], color, words, values)
            out[row, : len(records)] = tokens.to(out.dtype)
    return out


@dataclass(frozen=True, eq=False)
class ObjectContext:
    """Hidden states of a batch.

    Attributes:
        hidden: [B, S, D], last hidden states of the prompts.
        mentions: Hidden states at mentions after a third and after two thirds of the layers, each
            [M, D].
    """

    hidden: Tensor
    mentions: tuple[Tensor, Tensor]


def run_batch(
    language: SceneLanguage,
    visual: Tensor | None,
    positions: Tensor | None,
    objects: Tensor,
    batch: PackedBatch,
) -> ObjectContext:
    """Run the language model over a batch.

    Args:
        language: The model.
        visual: Embedded prefix [B, length, D], or None where there is none.
        positions: Its rotary positions [3, 1, length].
        objects: [B, K, D].
        batch: The prompts.
    """
    model: Any = language.model.model.language_model
    device = language.model.device
    parts = [objects, model.embed_tokens(batch.ids.to(device)).to(objects.dtype)]
    places = batch.offsets.to(device).expand(3, -1, -1)
    if visual is not None and positions is not None:
        parts.insert(0, visual.to(objects.dtype))
        places = torch.cat(
            [positions.expand(3, len(visual), -1), places + int(positions.max()) + 1], dim=2
        )
    out = model(
        inputs_embeds=torch.cat(parts, dim=1),
        position_ids=places,
        attention_mask={"full_attention": additive(batch.mask.to(device), torch.float32)},
        output_hidden_states=True,
        use_cache=False,
    )
    before = batch.length + batch.objects
    layers = len(model.layers)
    clip, token = batch.mentions.to(device).unbind(dim=1)
    recalled, related = (
        out.hidden_states[layer][clip, before + token] for layer in (layers // 3, 2 * layers // 3)
    )
    return ObjectContext(out.last_hidden_state[:, before:], (recalled, related))


def answer_losses(
    language: SceneLanguage, hidden: Tensor, batch: PackedBatch
) -> dict[str, Tensor]:
    """Cross-entropy of the answers' tokens, and the share of them that is right."""
    target = batch.labels != IGNORED
    labels = batch.labels[target].to(hidden.device)
    scores = language.model.lm_head(hidden[target.to(hidden.device)]).float()
    answer = functional.cross_entropy(scores, labels)
    right = (scores.detach().argmax(-1) == labels).float().mean()
    return {"answer": answer, "answer_accuracy": right}
