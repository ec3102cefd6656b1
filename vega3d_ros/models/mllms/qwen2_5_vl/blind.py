"""The baseline that is shown nothing: it answers from the words of questions alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from vega3d_ros.models.mllms.qwen2_5_vl.language import SceneLanguage

if TYPE_CHECKING:
    from torch import Tensor

    from vega3d_ros.models.mllms.qwen2_5_vl.language import Prefix


class BlindLanguage(SceneLanguage):
    """A language model that was trained without images and reads zeros in their place."""

    def read(self, visual: Tensor, earlier: Prefix | None = None) -> Prefix:
        """Read as many zeros; see ``SceneLanguage.read``."""
        return super().read(torch.zeros_like(visual), earlier)

    def logits(self, visual: Tensor, ids: Tensor) -> Tensor:
        """See ``SceneLanguage.logits``."""
        return super().logits(torch.zeros_like(visual), ids)
