"""The language model of a scene: its visual prefix is read once, questions continue it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from transformers import DynamicCache
from transformers.modeling_outputs import BaseModelOutputWithPooling

from vega3d_ros.models.mllms.qwen2_5_vl.cuda_graphs import GraphReader
from vega3d_ros.models.mllms.qwen2_5_vl.greedy import GreedyChoice, GreedyRule
from vega3d_ros.models.mllms.qwen2_5_vl.packing import OBJECTS, PREFIX, Packed, additive, visible
from vega3d_ros.models.mllms.qwen2_5_vl.patches import patchify, resize

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from torch import Tensor
    from transformers import PreTrainedTokenizerBase, Qwen2_5_VLForConditionalGeneration


@dataclass(frozen=True)
class PromptFormat:
    """The words around frames and questions.

    Attributes:
        before: Text before the first frame.
        question: Continues the frames; ``{text}`` is the question. The answer follows.
        ground: Continues the frames; its last token is the grounding query's.
    """

    before: str = ""
    question: str = "{text}<|answer|>"
    ground: str = "{text}<ground>"


@dataclass(frozen=True, eq=False)
class Prefix:
    """A clip that the language model has read; its keys and values are kept.

    Attributes:
        cache: Keys and values of ``length`` tokens and, behind them, of ``objects`` more.
        length: Tokens read of the clip.
        position: Rotary position of the next token.
        visual: What was read, [F, rows, columns, D]; None: nothing to be used again.
        reused: Leading frames that an earlier prefix had read.
        objects: Object tokens read behind them.
        heard: Token ids among those read, each once.
    """

    cache: DynamicCache
    length: int
    position: int
    visual: Tensor | None = None
    reused: int = 0
    objects: int = 0
    heard: tuple[int, ...] = ()

    @property
    def end(self) -> tuple[int, int]:
        """Tokens in the cache, and rotary position behind the object tokens."""
        return self.length + self.objects, self.position + self.objects


class SceneLanguage:
    """Qwen2.5-VL with fused tokens in place of its own visual tokens.

    Args:
        model: The language model with its vision tower.
        tokenizer: Its tokenizer.
        prompt: The words around frames and questions.
        image_size: Width and height the vision tower is shown.

    Attributes:
        rule: How answers are decoded, from the model's generation config.

    Raises:
        GreedyRuleError: If the generation config cannot be followed.
    """

    def __init__(
        self,
        model: Qwen2_5_VLForConditionalGeneration,
        tokenizer: PreTrainedTokenizerBase,
        prompt: PromptFormat,
        image_size: tuple[int, int],
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.prompt = prompt
        self.image_size = image_size
        self.rule = GreedyRule.of(model)
        self._graph_reader: GraphReader | None = None

    def capture_graphs(self, frames: int, *, graphs: bool = True) -> None:
        """Answer single questions about clips of up to ``frames`` frames by CUDA graphs.

        Call it once, on the device where the model stays; see ``cuda_graphs``.
        """
        length = self.prefix_ids(frames)[0].shape[1]
        self._graph_reader = GraphReader(self.model, self.rule, length, graphs=graphs)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of visual tokens of one frame."""
        vision = self.model.config.vision_config
        cell = int(vision.patch_size) * vision.spatial_merge_size
        return self.image_size[1] // cell, self.image_size[0] // cell

    def on_grid(self, rows: int, columns: int) -> SceneLanguage:  # noqa: ARG002
        """The same model for tokens on another grid, where it is not bound to one size."""
        return self

    def prepare(self, images: Tensor) -> Tensor:
        """Images [N, 3, H, W] in [0, 1] as vision tower and prior are shown them."""
        return images

    def semantic_tokens(self, images: Tensor) -> Tensor:
        """Visual tokens [N, rows, columns, D] of prepared images [N, 3, H, W] in [0, 1]."""
        return self.encode_patches(
            *patchify(resize(images, *self.image_size), self.model.config.vision_config)
        )

    def encode_patches(self, patches: Tensor, grid: Tensor) -> Tensor:
        """Visual tokens [N, rows, columns, D] of images of one size that are patches already.

        Args:
            patches: Rows of normalised pixels in the tower's order (``pixel_values``).
            grid: [N, 3], frames, rows and columns of patches of each image (``image_grid_thw``).
        """
        tower = self.model.model.visual
        merge = self.model.config.vision_config.spatial_merge_size
        tokens: Tensor = tower(patches.to(tower.dtype), grid_thw=grid).pooler_output
        return tokens.view(len(grid), int(grid[0, 1]) // merge, int(grid[0, 2]) // merge, -1)

    def question_prompt(self, question: str) -> str:
        """A question with everything around it; the answer follows."""
        return self.prompt.question.format(text=" ".join(question.split()))

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without any that mark its beginning or end."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def prefix_ids(self, frames: int) -> tuple[Tensor, Tensor]:
        """Ids [1, P] of a prefix of ``frames`` frames and which are visual tokens, [1, P]."""
        config = self.model.config
        rows, columns = self.grid
        visual = [config.image_token_id] * (rows * columns)
        frame = [config.vision_start_token_id, *visual, config.vision_end_token_id]
        ids = torch.tensor(
            [[*self.encode(self.prompt.before), *frame * frames]],
            device=self.model.device,
        )
        return ids, (ids == config.image_token_id).int()

    def prefix_positions(self, frames: int) -> Tensor:
        """Rotary positions [3, 1, P] of a prefix of ``frames`` frames."""
        ids, visual = self.prefix_ids(frames)
        positions: Tensor = self.model.model.get_rope_index(
            ids, mm_token_type_ids=visual, image_grid_thw=self._image_grid(frames)
        )[0]
        return positions

    def _image_grid(self, frames: int) -> Tensor:
        merge = self.model.config.vision_config.spatial_merge_size
        rows, columns = self.grid
        grid = torch.tensor([[1, rows * merge, columns * merge]], device=self.model.device)
        return grid.expand(frames, -1)

    def read(self, visual: Tensor, earlier: Prefix | None = None) -> Prefix:
        """Read a clip's fused tokens [F, rows, columns, D] and keep what was read.

        Leading frames that are equal to those of an earlier prefix, value for value, are not read
        again: what comes later never changes their keys and values. A frame that dropped out of
        the front moves all others to new positions, so nothing of such a prefix is used.
        """
        same = _leading_equal(visual, earlier)
        ids, _ = self.prefix_ids(len(visual))
        positions = self.prefix_positions(len(visual))
        per_frame = self.grid[0] * self.grid[1] + 2
        start = ids.shape[1] - per_frame * (len(visual) - same) if same else 0
        cache = DynamicCache(config=self.model.config.text_config)
        if earlier is not None and same:
            for index, layer in enumerate(earlier.cache.layers):
                keys, values = layer.keys[:, :, :start], layer.values[:, :, :start]
                cache.update(keys.clone(), values.clone(), index)
        if same < len(visual):
            self.model.model(
                input_ids=ids[:, start:],
                position_ids=positions[..., start:],
                mm_encoder_outputs={"image": _given(visual[same:])},
                past_key_values=cache,
                use_cache=True,
            )
        position = int(positions.max()) + 1
        heard = tuple(sorted(set(ids[0].tolist())))
        return Prefix(cache, ids.shape[1], position, visual, same, heard=heard)

    def logits(self, visual: Tensor, ids: Tensor) -> Tensor:
        """Logits [1, L, vocabulary] of a whole sequence, run anew.

        Args:
            visual: A clip's fused tokens [F, rows, columns, D].
            ids: [1, L] token ids, with F * rows * columns image tokens for them.
        """
        ids = ids.to(self.model.device)
        scores: Tensor = self.model(
            input_ids=ids,
            mm_token_type_ids=(ids == self.model.config.image_token_id).int(),
            image_grid_thw=self._image_grid(len(visual)),
            mm_encoder_outputs={"image": _given(visual)},
            use_cache=False,
        ).logits
        return scores

    def embed_names(self, texts: Sequence[str]) -> Tensor:
        """Embeddings of names, [texts, D]: the mean of those of their tokens."""
        embed = self.model.model.language_model.embed_tokens
        ids = [self.encode(f" {text}") for text in texts]
        tokens = embed(torch.tensor([i for text in ids for i in text], device=self.model.device))
        parts = tokens.split([len(text) for text in ids])
        return torch.stack([part.mean(dim=0) for part in parts])

    def read_objects(self, prefix: Prefix, objects: Tensor) -> Prefix:
        """Read object tokens [K, D] behind a clip; returns the longer prefix.

        It takes the place of ``prefix``, whose keys and values it shares.
        """
        model: Any = self.model.model.language_model
        count, device = len(objects), objects.device
        owners = torch.cat([_owned(prefix, device), torch.full((count,), OBJECTS, device=device)])
        positions = prefix.position + torch.arange(count, device=device)
        try:
            model(
                inputs_embeds=objects[None],
                position_ids=positions.expand(3, 1, -1),
                attention_mask=_attention(visible(owners[-count:], owners), model.dtype),
                past_key_values=prefix.cache,
                use_cache=True,
            )
        except BaseException:
            _cut(prefix)
            raise
        return replace(prefix, objects=prefix.objects + count)

    def ground_states(self, prefix: Prefix, texts: Sequence[str]) -> Tensor:
        """Hidden states [Q, D] of the ``<ground>`` tokens of queries asked of a clip."""
        branches = Branches(self, prefix, len(texts))
        try:
            return branches.extend(
                [self.encode(self.prompt.ground.format(text=text)) for text in texts]
            )
        finally:
            branches.close()

    def answers(
        self, prefix: Prefix, questions: Sequence[str], max_tokens: int = 16
    ) -> list[tuple[str, float]]:
        """Greedy answers, each with the geometric mean probability of its tokens."""
        suffixes = [self.encode(self.question_prompt(text)) for text in questions]
        reader = self._graph_reader
        if reader and len(suffixes) == 1 and reader.fits(prefix, suffixes[0], max_tokens):
            said = [reader.answer(prefix, suffixes[0], max_tokens)]
        else:
            said = self._continued(prefix, suffixes, max_tokens)
        return [
            (
                self.tokenizer.decode(tokens, skip_special_tokens=True).strip(),
                math.exp(sum(logs) / len(logs)),
            )
            for tokens, logs in said
        ]

    def _continued(
        self, prefix: Prefix, suffixes: Sequence[Sequence[int]], max_tokens: int
    ) -> list[tuple[list[int], list[float]]]:
        """Greedy tokens behind each suffix and the logarithms of their probabilities."""
        branches = Branches(self, prefix, len(suffixes))
        said: list[tuple[list[int], list[float]]] = [([], []) for _ in suffixes]
        vocabulary = self.model.config.text_config.vocab_size
        choice = GreedyChoice(self.rule, vocabulary, self.model.device)
        prompts = [(*prefix.heard, *suffix) for suffix in suffixes]
        heard = choice.heard(prompts) if choice.listens else None
        going = list(range(len(suffixes)))
        try:
            hidden = branches.extend(suffixes)
            for step in range(max_tokens):
                logits = self.model.lm_head(hidden).float()
                known = heard[going] if heard is not None else None
                best, logs = choice.best(logits, known, first=step == 0)
                if heard is not None:
                    heard[going, best] = True
                for branch, token, log in zip(going, best.tolist(), logs.tolist(), strict=True):
                    said[branch][0].append(token)
                    said[branch][1].append(log)
                going = [branch for branch in going if said[branch][0][-1] not in self.rule.ends]
                if not going or step + 1 == max_tokens:
                    break
                hidden = branches.extend([said[branch][0][-1:] for branch in going], going)
        finally:
            branches.close()
        return said


def _given(visual: Tensor) -> BaseModelOutputWithPooling:
    """Fused tokens [F, rows, columns, D] in the form in which the model takes visual tokens."""
    tokens = tuple(frame.reshape(-1, frame.shape[-1]) for frame in visual)
    return BaseModelOutputWithPooling(pooler_output=tokens)


def _leading_equal(visual: Tensor, earlier: Prefix | None) -> int:
    """How many leading frames an earlier prefix read with exactly these tokens."""
    read = None if earlier is None else earlier.visual
    if read is None or visual.shape[1:] != read.shape[1:]:
        return 0
    both = min(len(visual), len(read))
    equal = (visual[:both] == read[:both]).flatten(1).all(dim=1)
    return int(equal.long().cumprod(0).sum())


class Branches:
    """Continuations of one prefix that grow side by side in its cache.

    Args:
        language: Whose model reads on.
        prefix: What was read; the cache is extended, and restored by ``close``.
        count: Number of continuations.
    """

    def __init__(self, language: SceneLanguage, prefix: Prefix, count: int) -> None:
        self._model: Any = language.model.model.language_model
        self._prefix = prefix
        device = language.model.device
        self._owners = _owned(prefix, device)
        self._positions = torch.full((count,), prefix.end[1], device=device)

    def extend(
        self, suffixes: Sequence[Sequence[int]], which: Sequence[int] | None = None
    ) -> Tensor:
        """Read on; returns the hidden state of each suffix's last token, [suffixes, D].

        Args:
            suffixes: Token ids to append, one list a continuation.
            which: The continuations they belong to; by default the first ones in order.
        """
        device = self._owners.device
        packed = Packed.of(suffixes)
        names = torch.tensor(range(len(suffixes)) if which is None else which, device=device)
        owners = names[packed.owners.to(device)]
        positions = self._positions[owners] + packed.offsets.to(device)
        self._owners = torch.cat([self._owners, owners])
        mask = visible(owners, self._owners)
        hidden = self._model(
            inputs_embeds=self._model.embed_tokens(packed.ids.to(device))[None],
            position_ids=positions.expand(3, 1, -1),
            attention_mask=_attention(mask, self._model.dtype),
            past_key_values=self._prefix.cache,
            use_cache=True,
        ).last_hidden_state[0]
        lengths = torch.tensor([len(suffix) for suffix in suffixes], device=device)
        self._positions[names] += lengths
        result: Tensor = hidden[packed.ends.to(device)]
        return result

    def close(self) -> None:
        """Forget everything after the prefix, also where a pass ended before its last layer."""
        _cut(self._prefix)


def _cut(prefix: Prefix) -> None:
    """Forget what lies behind a prefix in its cache."""
    kept, _ = prefix.end
    for layer in prefix.cache.layers:
        layer.crop(min(0, kept - int(layer.get_seq_length())))


def _owned(prefix: Prefix, device: torch.device) -> Tensor:
    """Owners of all tokens of a prefix."""
    owners = torch.full((prefix.end[0],), PREFIX, device=device)
    owners[prefix.length :] = OBJECTS
    return owners


def _attention(mask: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    """A bool mask [queries, keys] as the language model takes it."""
    return {"full_attention": additive(mask[None, None], dtype)}
