"""What a model is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.errors import Vega3dError

if TYPE_CHECKING:
    from torch import nn

    from vega3d_ros.models.fusion.fusion_module import FusionModule, PositionEncoding
    from vega3d_ros.models.grounders.token_head.head import GroundingHead
    from vega3d_ros.models.mllms.qwen2_5_vl.language import SceneLanguage
    from vega3d_ros.models.mllms.qwen2_5_vl.object_tokens import ObjectTokens
    from vega3d_ros.models.priors.base import Prior


class CheckpointError(Vega3dError, ValueError):
    """A model folder that cannot be used; the message names the file and the remedy."""


@dataclass(eq=False)
class Modules:
    """A model's parts.

    Attributes:
        prior: The frozen generative model, or None for a model without one.
        language: Vision tower, language model, tokenizer and prompt.
        fusion: Projector and gate.
        positions: Position encoding of visual tokens; None in an official checkpoint.
        grounding: Token head; None for a model that answers questions only.
        objects: Makes the tokens by which the language model reads what was found, or None.
        settings: Everything else of ``model.json``: ``labels`` (the default queries), ``colors``
            (those with a name), thresholds, a ``card`` for people and a ``license``.
    """

    prior: Prior | None
    language: SceneLanguage
    fusion: FusionModule
    positions: PositionEncoding | None
    grounding: GroundingHead | None
    objects: ObjectTokens | None
    settings: dict[str, Any]

    def to(self, device: str) -> Modules:
        """Move all weights; returns itself."""
        for module in self.networks():
            module.to(device)
        return self

    def eval(self) -> Modules:
        """Switch all modules to inference; returns itself."""
        for module in self.networks():
            module.eval().requires_grad_(requires_grad=False)
        return self

    def train(self) -> Modules:
        """Switch all modules but the prior to training; returns itself."""
        for module in self.networks():
            if module is not self.prior:
                module.train().requires_grad_(requires_grad=True)
        return self

    def networks(self) -> list[nn.Module]:
        """All that has weights."""
        parts = (
            self.prior,
            self.language.model,
            self.fusion,
            self.positions,
            self.grounding,
            self.objects,
        )
        return [part for part in parts if part is not None]
