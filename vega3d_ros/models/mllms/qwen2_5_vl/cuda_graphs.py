"""One text after a prefix at fixed shapes, so that a GPU need not wait for its CPU.

A question's own tokens are few, and a language model spends its time on them in launching kernels.
Here they are read, and the answer's tokens after them, by two CUDA graphs: one of
``SUFFIX`` tokens, of which those beyond the text are overwritten by what follows, and one of a
single token. Keys and values of the prefix are copied to where the graphs look for them.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import torch
from transformers import StaticCache

from vega3d_ros.models.mllms.qwen2_5_vl.greedy import GreedyChoice
from vega3d_ros.models.mllms.qwen2_5_vl.packing import additive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import Qwen2_5_VLForConditionalGeneration

    from vega3d_ros.models.mllms.qwen2_5_vl.greedy import GreedyRule
    from vega3d_ros.models.mllms.qwen2_5_vl.language import Prefix

SUFFIX = 64
ANSWER = 64
MAX_OBJECTS = 64
_WARM_UP_RUNS = 3


class GraphReader:
    """Answers one question at a time.

    Args:
        model: The language model, on the device where it stays.
        rule: How answers are decoded.
        prefix_length: Tokens of the longest clip; up to ``MAX_OBJECTS`` object
            tokens come behind them.
        graphs: Capture CUDA graphs; without, the same runs kernel by kernel on any device.
    """

    @torch.inference_mode()
    def __init__(
        self,
        model: Qwen2_5_VLForConditionalGeneration,
        rule: GreedyRule,
        prefix_length: int,
        *,
        graphs: bool,
    ) -> None:
        self._model: Any = model
        self._ends = rule.ends
        self.capacity = prefix_length + MAX_OBJECTS + SUFFIX + ANSWER
        config = model.config.text_config
        self._cache = StaticCache(config=config, max_cache_len=self.capacity)
        head_dim = config.hidden_size // config.num_attention_heads
        self._cache.early_initialization(
            1, config.num_key_value_heads, head_dim, model.dtype, model.device
        )
        self._loaded: weakref.ref[Prefix] | None = None
        self._choice = GreedyChoice(rule, config.vocab_size, model.device)
        # Where the graphs look for, and note, the tokens of prompt and answer.
        self._heard = self._choice.heard([()])
        pool = torch.cuda.graph_pool_handle() if graphs else None
        self._passes = {count: _Pass(self, count, graphs, pool) for count in (SUFFIX, 1)}

    def fits(self, prefix: Prefix, suffix: Sequence[int], max_tokens: int) -> bool:
        """Whether a question is of the shapes that the graphs have."""
        room = self.capacity - SUFFIX - ANSWER
        return len(suffix) <= SUFFIX and max_tokens <= ANSWER and prefix.end[0] <= room

    @torch.inference_mode()
    def answer(
        self, prefix: Prefix, suffix: Sequence[int], max_tokens: int
    ) -> tuple[list[int], list[float]]:
        """Greedy tokens, the end included, and the logarithms of their probabilities."""
        self._load(prefix)
        if self._choice.listens:
            self._heard.copy_(self._choice.heard([prefix.heard]))
        padded = [*suffix, *[0] * (SUFFIX - len(suffix))]
        said: list[int] = []
        logs: list[float] = []
        ids, count = padded, len(suffix)
        length, position = prefix.end
        while True:
            token, log_probability = self._passes[len(ids)](ids, count - 1, length, position)
            said.append(token)
            logs.append(log_probability)
            if token in self._ends or len(said) == max_tokens:
                return said, logs
            length, position = length + count, position + count
            ids, count = [token], 1

    def _load(self, prefix: Prefix) -> None:
        if self._loaded is not None and self._loaded() is prefix:
            return
        length, _ = prefix.end
        for place, layer in zip(self._cache.layers, prefix.cache.layers, strict=True):
            place.keys[:, :, :length].copy_(layer.keys[:, :, :length])
            place.values[:, :, :length].copy_(layer.values[:, :, :length])
        self._loaded = weakref.ref(prefix)

    def read(self, ids: Tensor, last: Tensor, length: Tensor, position: Tensor) -> Tensor:
        """Best next token and the logarithm of its probability, [2] float64.

        Args:
            ids: [S] tokens.
            last: [1], index of the one that is followed by the next token.
            length: [1], tokens in the cache before them.
            position: [1], rotary position of the first.
        """
        for layer in self._cache.layers:
            layer.cumulative_length.copy_(length[0])
        steps = torch.arange(len(ids), device=ids.device)
        places = torch.arange(self.capacity, device=ids.device)
        seen = places[None] <= (length + steps)[:, None]
        language = self._model.model.language_model
        hidden = language(
            inputs_embeds=language.embed_tokens(ids)[None],
            position_ids=(position + steps).expand(3, 1, -1),
            attention_mask={"full_attention": additive(seen[None, None], language.dtype)},
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state[0]
        logits = self._model.lm_head(hidden.index_select(0, last)).float()
        if self._choice.listens:  # what lies behind the last token is none of the text
            said = torch.where(steps <= last, ids, ids[0])
            self._heard.scatter_(1, said[None], value=True)
        token, best = self._choice.best(logits, self._heard, first=len(ids) == SUFFIX)
        # float64 holds every token id and every float32 exactly: one copy to the host.
        return torch.cat([token.double(), best.double()])


class _Pass:
    """A pass over a fixed number of tokens, with the places of its inputs."""

    def __init__(self, reader: GraphReader, count: int, graphs: bool, pool: Any) -> None:
        device = reader._model.device  # noqa: SLF001
        self._reader = reader
        # Tokens, then last, length and position: one copy to the device.
        self._inputs = torch.zeros(count + 3, dtype=torch.long, device=device)
        self._graph: torch.cuda.CUDAGraph | None = None
        if not graphs:
            return
        with torch.cuda.device(device):
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(_WARM_UP_RUNS):
                    self._run()
            torch.cuda.current_stream().wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            # On this stream: the default one belongs to the device of the process's first capture.
            with torch.cuda.graph(
                self._graph, pool=pool, stream=side, capture_error_mode="thread_local"
            ):
                self._output = self._run()

    def _run(self) -> Tensor:
        ids, last, length, position = torch.split(self._inputs, [len(self._inputs) - 3, 1, 1, 1])
        return self._reader.read(ids, last, length, position)

    def __call__(
        self, ids: Sequence[int], last: int, length: int, position: int
    ) -> tuple[int, float]:
        self._inputs.copy_(torch.tensor([*ids, last, length, position]))
        if self._graph is None:
            output = self._run()
        else:
            self._graph.replay()
            output = self._output
        token, log_probability = output.tolist()
        return int(token), log_probability
