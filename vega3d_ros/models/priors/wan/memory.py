"""What a Wan prior takes of its device's memory, from the sizes of its networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vega3d_ros.models.memory import BLOCK_TENSORS, ENCODER_TENSORS, count_numbers
from vega3d_ros.models.priors.files import read_json
from vega3d_ros.models.priors.wan.files import ENCODER_KEYS, block_index, wanted_blocks

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from vega3d_ros.models.priors.wan.config import WanPriorConfig


@dataclass(frozen=True)
class WanSizes:
    """What the estimate needs to know of the networks.

    Attributes:
        weights: Numbers in the blocks that run and in the autoencoder's encoder.
        dim: Width of the transformer.
        ffn_dim: Inner width of its blocks.
        vae_dim: Width of the autoencoder at full resolution.
    """

    weights: int
    dim: int
    ffn_dim: int
    vae_dim: int

    def memory(
        self, config: WanPriorConfig, dtype: torch.dtype, frames_at_once: int
    ) -> dict[str, int]:
        """As :meth:`vega3d_ros.models.priors.base.Prior.memory`.

        A frame takes what the autoencoder or a block takes, whichever is more.
        """
        size, pixels = dtype.itemsize, config.width * config.height
        encoder = ENCODER_TENSORS * pixels * self.vae_dim * size
        block = pixels // 256 * (2 * self.ffn_dim * size + BLOCK_TENSORS * self.dim * 4)
        return {
            "prior": size * self.weights,
            "prior at work": frames_at_once * max(encoder, block),
        }


def folder_sizes(folder: Path, config: WanPriorConfig) -> WanSizes:
    """The sizes of a saved prior."""
    shape = read_json(folder / "transformer" / "config.json")
    wanted = wanted_blocks(block_index(config.block, shape["num_layers"]) + 1)
    vae_weights, vae_dim = vae_sizes(folder / "vae")
    return WanSizes(
        weights=count_numbers(folder / "transformer", wanted) + vae_weights,
        dim=shape["num_attention_heads"] * shape["attention_head_dim"],
        ffn_dim=shape["ffn_dim"],
        vae_dim=vae_dim,
    )


def vae_sizes(folder: Path) -> tuple[int, int]:
    """Numbers in the encoder of a saved autoencoder, and its width at full resolution."""
    weights = count_numbers(folder, lambda key: key.startswith(ENCODER_KEYS))
    return weights, read_json(folder / "config.json")["base_dim"]
