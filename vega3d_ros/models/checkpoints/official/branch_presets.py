"""Settings of the official branches, for models that are trained anew.

The spatial-reasoning branch is described by each of its checkpoints (``layout``); the main branch
published no weights, only its settings (``train_wan_t2v_online.sh`` and ``..._small_size.sh``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vega3d_ros.models.fusion.fusion_module import FusionConfig
from vega3d_ros.models.priors.wan.config import WanPriorConfig

if TYPE_CHECKING:
    from vega3d_ros.models.priors.base import Align

MAIN_GRID = 14
"""Rows and columns of a frame's tokens in the main branch, semantic and generative alike."""


def main_branch_prior(*, small: bool = False, align: Align = "official") -> WanPriorConfig:
    """What the main branch takes of Wan 2.1: block 20 at 1280x720, or at 832x480 if ``small``."""
    width, height = (832, 480) if small else (1280, 720)
    return WanPriorConfig(block=20, width=width, height=height, align=align)


def main_branch_fusion(dim: int, prior_dim: int) -> FusionConfig:
    """Its projector and gate: generative tokens averaged to 14x14, an MLP, one gate a token.

    Args:
        dim: D, width of the language model.
        prior_dim: Channels of a generative token.
    """
    return FusionConfig("token_gated", dim, prior_dim, projector="mlp2x_gelu", pool=MAIN_GRID)
