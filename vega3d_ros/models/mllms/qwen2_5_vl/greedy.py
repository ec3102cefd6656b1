"""Greedy decoding as ``generate`` of transformers does it with a model's ``generation_config``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from vega3d_ros.core.errors import Vega3dError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import Qwen2_5_VLForConditionalGeneration

# Settings that change what ``generate`` says greedily and are not applied here, with the values
# that change nothing. Those for sampling and beams do not matter: the evaluation decodes greedily.
_NOT_APPLIED: dict[str, tuple[Any, ...]] = {
    "guidance_scale": (None, 1, 1.0),
    "sequence_bias": (None,),
    "no_repeat_ngram_size": (None, 0),
    "encoder_repetition_penalty": (None, 1, 1.0),
    "encoder_no_repeat_ngram_size": (None, 0),
    "bad_words_ids": (None,),
    "min_length": (None, 0),
    "min_new_tokens": (None, 0),
    "forced_bos_token_id": (None,),
    "forced_eos_token_id": (None,),
    "exponential_decay_length_penalty": (None,),
    "watermarking_config": (None,),
    "stop_strings": (None,),
}


class GreedyRuleError(Vega3dError, ValueError):
    """A generation config that this package would not follow; the message names the setting."""


@dataclass(frozen=True)
class GreedyRule:
    """What of a generation config changes greedy decoding.

    Attributes:
        ends: Token ids that end an answer.
        repetition_penalty: Divides positive logits, and multiplies negative ones, of all tokens
            of prompt and answer so far.
        suppressed: Token ids that are never said.
        suppressed_first: Token ids that no answer begins with.
    """

    ends: tuple[int, ...]
    repetition_penalty: float = 1.0
    suppressed: tuple[int, ...] = ()
    suppressed_first: tuple[int, ...] = ()

    @classmethod
    def of(cls, model: Qwen2_5_VLForConditionalGeneration) -> GreedyRule:
        """The rule of a model's generation config; without end tokens there, its own end token.

        Raises:
            GreedyRuleError: If the config holds what is not applied here, or no sensible penalty.
        """
        config: Any = model.generation_config
        for name, harmless in _NOT_APPLIED.items():
            value = getattr(config, name, None)
            if value not in harmless:
                msg = (
                    f"generation_config.json sets {name} to {value!r}, which is not supported; "
                    "answers would differ from those of the official evaluation: remove it there"
                )
                raise GreedyRuleError(msg)
        penalty = config.repetition_penalty
        penalty = 1.0 if penalty is None else penalty
        if not isinstance(penalty, float | int) or not penalty > 0:
            msg = f"generation_config.json: repetition_penalty must be positive, not {penalty!r}"
            raise GreedyRuleError(msg)
        ends = config.eos_token_id
        if ends is None:
            ends = model.config.text_config.eos_token_id
        return cls(
            ends=_ids(ends),
            repetition_penalty=float(penalty),
            suppressed=_ids(config.suppress_tokens),
            suppressed_first=_ids(config.begin_suppress_tokens),
        )


class GreedyChoice:
    """A rule applied to logits on one device.

    Args:
        rule: The rule.
        vocabulary: V, the number of logits.
        device: Where the logits are.
    """

    def __init__(self, rule: GreedyRule, vocabulary: int, device: torch.device) -> None:
        self._penalty = rule.repetition_penalty
        self._vocabulary = vocabulary
        self._device = device
        later = self.heard([rule.suppressed])[0]
        first = self.heard([(*rule.suppressed, *rule.suppressed_first)])[0]
        # None where nothing is suppressed.
        self._banned = {
            False: later if rule.suppressed else None,
            True: first if rule.suppressed or rule.suppressed_first else None,
        }

    @property
    def listens(self) -> bool:
        """Whether the choice depends on the tokens heard before."""
        return self._penalty != 1.0

    def heard(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """Which tokens are in each of B texts, [B, V] bool."""
        marks = torch.zeros(len(texts), self._vocabulary, dtype=torch.bool)
        for row, ids in zip(marks, texts, strict=True):
            row[[i for i in ids if 0 <= i < self._vocabulary]] = True
        return marks.to(self._device)

    def best(self, logits: Tensor, heard: Tensor | None, *, first: bool) -> tuple[Tensor, Tensor]:
        """The next tokens of B texts and the logarithms of their probabilities, both [B].

        The probability is the model's own: the penalty chooses a token, it is no belief.

        Args:
            logits: [B, V] float32.
            heard: [B, V] bool, tokens of prompt and answer so far; unused where nothing listens.
            first: Whether these tokens begin the answers.
        """
        scores = logits
        if self.listens and heard is not None:
            penalised = torch.where(scores < 0, scores * self._penalty, scores / self._penalty)
            scores = torch.where(heard, penalised, scores)
        banned = self._banned[first]
        if banned is not None:
            scores = scores.masked_fill(banned, -torch.inf)
        tokens = scores.argmax(dim=-1)
        logs = torch.log_softmax(logits, dim=-1).gather(-1, tokens[:, None])[:, 0]
        return tokens, logs


def _ids(value: int | Sequence[int] | None) -> tuple[int, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, int) else tuple(int(i) for i in value)
