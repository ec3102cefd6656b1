"""A clip that the language model has read, to be asked about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from vega3d_ros.models.fusion.clip_tokens import ClipTokens
    from vega3d_ros.models.mllms.qwen2_5_vl.language import Prefix, SceneLanguage


class ClipReading:
    """What the language model keeps of a clip.

    Args:
        language: The language model.
        tokens: The clip's tokens.
        visual: [F, R, C, D], what it reads of them.
        earlier: A reading by the same model, used as far as it is the same.

    Attributes:
        language: The language model on the clip's grid.
        tokens: The clip's tokens.
        visual: [F, R, C, D], what it read of them.
        prefix: What was read, object tokens included.
    """

    @torch.inference_mode()
    def __init__(
        self,
        language: SceneLanguage,
        tokens: ClipTokens,
        visual: Tensor,
        earlier: ClipReading | None = None,
    ) -> None:
        self.language = language.on_grid(*tokens.grid)
        self.tokens = tokens
        self.visual = visual
        self.prefix: Prefix = self.language.read(visual, earlier.prefix if earlier else None)

    @torch.inference_mode()
    def add_objects(self, objects: Tensor) -> None:
        """Read object tokens [K, D] behind the clip; all that is asked later is asked of both."""
        self.prefix = self.language.read_objects(self.prefix, objects)

    @torch.inference_mode()
    def ground_states(self, texts: Sequence[str]) -> Tensor:
        """Hidden states [Q, D] of the queries of Q texts."""
        return self.language.ground_states(self.prefix, texts)

    @torch.inference_mode()
    def answers(self, questions: Sequence[str], max_tokens: int) -> list[tuple[str, float]]:
        """Greedy answers, each with the geometric mean probability of its tokens."""
        return self.language.answers(self.prefix, questions, max_tokens)

    @torch.inference_mode()
    def logits(self, ids: Tensor) -> Tensor:
        """Logits [1, L, vocabulary] of token ids [1, L] about this clip, run anew.

        To hold a model against another implementation.
        """
        return self.language.logits(self.visual, ids)
