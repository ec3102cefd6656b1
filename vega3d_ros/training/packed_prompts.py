"""Questions and queries as token ids, many of them packed behind the prefixes of some clips."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from vega3d_ros.models.mllms.qwen2_5_vl.packing import OBJECTS, PREFIX, Packed, additive, visible
from vega3d_ros.training.object_records import COLOR_NAMES, RECALLED, RELATED, brought

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from vega3d_ros.models.mllms.qwen2_5_vl.language import SceneLanguage
    from vega3d_ros.models.mllms.qwen2_5_vl.object_tokens import ObjectTokens
    from vega3d_ros.training.object_records import Notes

IGNORED = -100
# Owner of padding; no suffix has it.
_PADDING = 1 << 30
# Owner of an object token that is not there.
_NOBODY = _PADDING + 1


@dataclass(eq=False)
class PackedPrompts:
    """What is asked of one clip.

    Attributes:
        ids: Token ids of each question with its answer, and of each grounding query.
        labels: What each token should be followed by, ``IGNORED`` where nothing is learned.
        grounds: Indices of the suffixes that are grounding queries.
        untold: Of these, the ones that are asked before the language model is told of objects.
        places: For each grounding query, where what it means is: centre in the frame of
            ``object_values`` and in its unit, [3]; NaN where several things or none are meant.
        mentions: (suffix, token in it) behind which something named is recalled.
        brought: What, [RECALLED + RELATED] each.
    """

    ids: list[list[int]] = field(default_factory=list)
    labels: list[list[int]] = field(default_factory=list)
    grounds: list[int] = field(default_factory=list)
    untold: list[int] = field(default_factory=list)
    places: list[NDArray[np.float32]] = field(default_factory=list)
    mentions: list[tuple[int, int]] = field(default_factory=list)
    brought: list[NDArray[np.float32]] = field(default_factory=list)

    def question(
        self,
        language: SceneLanguage,
        question: str,
        answer: str,
        objects: Sequence[Mapping[str, Any]],
    ) -> None:
        """Add a question; ``objects`` are all that can be noticed, in the reference frame."""
        end = int(language.model.config.text_config.eos_token_id)
        asked = language.encode(language.prompt.question.format(text=question))
        said = [*language.encode(answer), end]
        self._remember(language, question, objects)
        self.ids.append(asked + said[:-1])
        self.labels.append([IGNORED] * (len(asked) - 1) + said)

    def query(
        self,
        language: SceneLanguage,
        text: str,
        objects: Sequence[Mapping[str, Any]],
        place: NDArray[np.float32],
        *,
        told: bool,
    ) -> None:
        """Add a grounding query.

        Args:
            language: Who reads it.
            text: The description.
            objects: As in ``question``.
            place: See ``places``.
            told: Whether the language model is told of objects before it is asked.
        """
        suffix = language.encode(language.prompt.ground.format(text=text))
        if told:
            self._remember(language, text, objects)
        else:
            self.untold.append(len(self.ids))
        self.grounds.append(len(self.ids))
        self.places.append(place)
        self.ids.append(suffix)
        self.labels.append([IGNORED] * len(suffix))

    def _remember(
        self, language: SceneLanguage, text: str, objects: Sequence[Mapping[str, Any]]
    ) -> None:
        """Note what the mentions in a text, the beginning of a suffix, should bring back."""
        for wanted in brought(text, objects):
            token = len(language.encode(text[: wanted.end])) - 1
            self.mentions.append((len(self.ids), token))
            self.brought.append(np.concatenate([wanted.recalled, wanted.related]))


@dataclass(eq=False)
class PackedBatch:
    """The suffixes of B clips behind ``length`` visual tokens and K object tokens each.

    Attributes:
        length: Visual and other prefix tokens.
        objects: K, of the clip that has most.
        ids: [B, S].
        labels: [B, S], ``IGNORED`` where nothing is learned.
        offsets: [B, K + S], place of each token behind the visual ones.
        mask: [B, 1, length + K + S, length + K + S], what may be attended to.
        ends: For each clip, index in S of each suffix's last token.
        mentions: [M, 2], clip and index in S.
        brought: [M, RECALLED + RELATED].
    """

    length: int
    objects: int
    ids: Tensor
    labels: Tensor
    offsets: Tensor
    mask: Tensor
    ends: list[Tensor]
    mentions: Tensor
    brought: Tensor

    @classmethod
    def of(
        cls, asked: Sequence[PackedPrompts], told: Sequence[int], length: int, padding: int
    ) -> PackedBatch:
        """Pack what is asked of each clip behind ``told`` object tokens."""
        packs = [Packed.of(one.ids) for one in asked]
        objects, width = max(told), max(len(pack.ids) for pack in packs)
        shape = (len(packs), width)
        ids, labels = torch.full(shape, padding), torch.full(shape, IGNORED)
        offsets = torch.arange(objects + width).repeat(len(packs), 1)
        masks, mentions = [], []
        for row, (pack, one, count) in enumerate(zip(packs, asked, told, strict=True)):
            n = len(pack.ids)
            ids[row, :n] = pack.ids
            labels[row, :n] = torch.tensor([label for part in one.labels for label in part])
            told_of = ~torch.isin(pack.owners, torch.tensor(one.untold, dtype=torch.long))
            offsets[row, objects : objects + n] = pack.offsets + count * told_of
            owners = torch.full((length + objects + width,), _PADDING)
            owners[:length] = PREFIX
            owners[length : length + objects] = _NOBODY
            owners[length : length + count] = OBJECTS
            owners[length + objects : length + objects + n] = pack.owners
            hears = torch.ones(len(owners), dtype=torch.bool)
            hears[length + objects : length + objects + n] = told_of
            masks.append(visible(owners, owners, hears))
            starts = pack.ends - torch.tensor([len(suffix) for suffix in one.ids]) + 1
            mentions += [(row, int(starts[suffix]) + token) for suffix, token in one.mentions]
        wanted = [row for one in asked for row in one.brought]
        return cls(
            length,
            objects,
            ids,
            labels,
            offsets,
            torch.stack(masks)[:, None],
            [pack.ends for pack in packs],
            torch.tensor(mentions, dtype=torch.long).view(-1, 2),
            torch.from_numpy(np.stack(wanted)) if wanted else torch.zeros(0, RECALLED + RELATED),
        )


class ObjectRecallHead(nn.Module):
    """Reads off hidden states what mentions brought back; thrown away after training.

    Args:
        dim: Width of the language model.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.recall = nn.Linear(dim, RECALLED)
        self.relate = nn.Linear(dim, RELATED)
        self.place = nn.Linear(dim, 3)

    def places(self, grounds: Tensor, wanted: Tensor) -> Tensor:
        """Mean squared error of where the things lie that grounding queries mean.

        Args:
            grounds: Last hidden states of the queries [Q, dim].
            wanted: [Q, 3], NaN where nothing is asked.
        """
        return _error(self.place, grounds, wanted)

    def forward(self, mentions: tuple[Tensor, Tensor], wanted: Tensor) -> Tensor:
        """Sum of both mean squared errors.

        Args:
            mentions: Hidden states [M, dim] off which things are recalled, and related.
            wanted: [M, RECALLED + RELATED], NaN where nothing is asked.
        """
        recalled, related = wanted[:, :RECALLED], wanted[:, RECALLED:]
        return _error(self.recall, mentions[0], recalled) + _error(
            self.relate, mentions[1], related
        )


def _error(reader: nn.Module, hidden: Tensor, wanted: Tensor) -> Tensor:
    asked = wanted.isfinite()
    if not asked.any():
        return hidden.new_zeros((), dtype=torch.float32)
    said = reader(functional.rms_norm(hidden.float(), hidden.shape[-1:]))
    return functional.mse_loss(said[asked], wanted.to(said)[asked])


def object_tokens(
    module: ObjectTokens,
    language: SceneLanguage,
    notes: Sequence[Notes],
    colors: Sequence[Tensor],
) -> Tensor:
    """Object tokens [B, K, D] of what is told of each clip, zeros behind the last.

    Args:
        module: Makes them.
        language: Who hears them.
        notes: Of each clip.
        colors: Of each clip, the colours' probabilities [objects, colours + 1].
    """
    device = language.model.device
    known = sorted({label for note in notes for label in note.labels})
    heard = language.embed_names([*COLOR_NAMES, *known])
    words, names = heard[: len(COLOR_NAMES)], heard[len(COLOR_NAMES) :]
    out = heard.new_zeros(len(notes), max(len(note) for note in notes), heard.shape[-1])
    for row, (note, color) in enumerate(zip(notes, colors, strict=True)):
        if len(note):
            which = torch.tensor([known.index(label) for label in note.labels], device=device)
            values = torch.from_numpy(note.values).to(device)
            tokens = module(names[which], color, words, values)
            out[row, : len(note)] = tokens.to(out.dtype)
    return out


@dataclass(frozen=True, eq=False)
class ObjectContext:
    """What the language model made of a batch.

    Attributes:
        hidden: [B, S, D], last hidden states of the suffixes.
        mentions: Hidden states at mentions after a third and after two thirds of the layers, each
            [M, D].
    """

    hidden: Tensor
    mentions: tuple[Tensor, Tensor]


def read(
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
        batch: What follows.
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
    told = batch.labels != IGNORED
    wanted = batch.labels[told].to(hidden.device)
    scores = language.model.lm_head(hidden[told.to(hidden.device)]).float()
    answer = functional.cross_entropy(scores, wanted)
    right = (scores.detach().argmax(-1) == wanted).float().mean()
    return {"answer": answer, "answer_accuracy": right}
