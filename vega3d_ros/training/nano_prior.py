"""Nano's prior: Wan's classes with a few million parameters."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel

from vega3d_ros.models.priors.wan.config import WanPriorConfig

TEXT_DIM = 32


def nano_prior_config(seed: int = 0) -> WanPriorConfig:
    """128x96 pixels make 8x6 tokens, as many as a 224x168 frame has semantic tokens."""
    return WanPriorConfig(block=3, width=128, height=96, seed=seed, text_length=1)


def nano_vae() -> AutoencoderKLWan:
    """8x spatial and no temporal reduction, 16 channels; its encoder has 0.5 M 2-D parameters."""
    return AutoencoderKLWan(
        base_dim=16,
        z_dim=16,
        dim_mult=[1, 2, 2, 3],
        temperal_downsample=[False, False, False],
        latents_mean=[0.0] * 16,
        latents_std=[1.0] * 16,
        scale_factor_temporal=1,
    )


def nano_transformer() -> WanTransformer3DModel:
    """Five blocks, 192 wide."""
    return WanTransformer3DModel(
        num_attention_heads=4,
        attention_head_dim=48,
        text_dim=TEXT_DIM,
        freq_dim=64,
        ffn_dim=512,
        num_layers=5,
        rope_max_seq_len=64,
    )


def nano_prompt() -> torch.Tensor:
    """The embedding of the empty prompt, [1, TEXT_DIM]; nano's prior is trained without text."""
    return torch.zeros(1, TEXT_DIM)
