"""What an official checkpoint takes of its device's memory, from the headers of its files."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.settings import read_settings
from vega3d_ros.models.checkpoints.official.language import FRAME_SIZE
from vega3d_ros.models.checkpoints.official.layout import (
    FUSION,
    LANGUAGE,
    MERGER,
    TOWER,
    read_layout,
)
from vega3d_ros.models.checkpoints.official.wan import described, find_vae, vae_shapes, wan_folders
from vega3d_ros.models.mllms.qwen2_5_vl import memory as qwen2_5_vl
from vega3d_ros.models.priors.wan.config import WanPriorConfig
from vega3d_ros.models.priors.wan.files import block_index, wanted_blocks
from vega3d_ros.models.priors.wan.memory import WanSizes, vae_sizes
from vega3d_ros.models.priors.wan.official_layout import official_sizes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

    from vega3d_ros.models.memory import Workload


def official_memory(
    folder: Path, dtype: torch.dtype, workload: Workload, prior: Mapping[str, Any]
) -> dict[str, int]:
    """Bytes by what they are for; frames are taken to be 4:3.

    Args:
        folder: The checkpoint.
        dtype: Of the weights in memory.
        workload: How much is asked at once.
        prior: Settings of the prior instead of the checkpoint's own.
    """
    layout = read_layout(folder)
    folders = wan_folders(layout)
    tower = layout.below(TOWER)
    sizes = official_sizes(tower, described(folders))
    config = read_settings(WanPriorConfig, {**layout.prior_config().to_dict(), **prior}, "prior")
    wanted = wanted_blocks(block_index(config.block, sizes["num_layers"]) + 1)
    vae = find_vae(folders)
    vae_weights, vae_dim = (0, 0) if vae is None else _vae_sizes(vae)
    wan = WanSizes(
        weights=sum(prod(shape) for key, shape in tower.items() if wanted(key)) + vae_weights,
        dim=sizes["dim"],
        ffn_dim=sizes["ffn_dim"],
        vae_dim=vae_dim,
    )

    def below(*prefixes: str) -> int:
        return sum(prod(s) for key, s in layout.shapes.items() if key.startswith(prefixes))

    return {
        **qwen2_5_vl.memory(below(*LANGUAGE), layout.config, FRAME_SIZE, dtype, workload),
        "fusion and heads": dtype.itemsize * below(MERGER, FUSION),
        **wan.memory(config, dtype, workload.frames_at_once),
    }


def _vae_sizes(path: Path) -> tuple[int, int]:
    """Numbers in the encoder of an autoencoder, and its width at full resolution."""
    if path.is_dir():
        return vae_sizes(path)
    shapes = vae_shapes(path)
    return sum(map(prod, shapes.values())), shapes["encoder.conv1.weight"][0]
