"""Wan weights in the official layout, put into diffusers' modules by its own key conversion."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from diffusers.loaders.single_file_utils import (
    convert_wan_transformer_to_diffusers,
    convert_wan_vae_to_diffusers,
)

from vega3d_ros.models.priors.base import PriorError
from vega3d_ros.models.priors.wan.files import drop_decoder, fill

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor


VAE_ENCODER = ("encoder.", "conv1.")
"""What the names of the autoencoder's tensors that encode begin with."""

_HEAD = 128
"""Channels of an attention head in every Wan model that was released."""


def official_sizes(
    shapes: Mapping[str, Sequence[int]], described: Mapping[str, Any]
) -> dict[str, Any]:
    """What the official ``config.json`` says, told from the weights as far as they can tell it.

    Args:
        shapes: Of the tensors, by their official names.
        described: ``num_heads`` and ``eps``, which no shape tells, where a file says them.

    Raises:
        PriorError: If the tensors are not those of a Wan model.
    """
    try:
        dim, in_dim, *patch = shapes["patch_embedding.weight"]
        return {
            "dim": dim,
            "in_dim": in_dim,
            "out_dim": shapes["head.head.weight"][0] // prod(patch),
            "ffn_dim": shapes["blocks.0.ffn.0.weight"][0],
            "freq_dim": shapes["time_embedding.0.weight"][1],
            "num_layers": 1 + max(int(k.split(".")[1]) for k in shapes if k.startswith("blocks.")),
            "num_heads": int(described["num_heads"] if "num_heads" in described else _heads(dim)),
            "eps": float(described.get("eps", 1e-6)),
        }
    except (KeyError, ValueError) as error:
        msg = f"not the weights of an official Wan model: {error}"
        raise PriorError(msg) from error


def _heads(dim: int) -> int:
    if dim % _HEAD:
        msg = f"num_heads of its config.json is needed, as {dim} channels are not k x {_HEAD}"
        raise ValueError(msg)
    return dim // _HEAD


def transformer_from_official(
    state: Mapping[str, Tensor], config: Mapping[str, Any], dtype: torch.dtype = torch.float32
) -> WanTransformer3DModel:
    """The transformer of an official ``WanModel`` state dict.

    Args:
        state: Official names (``blocks.0.self_attn.q.weight``, ...), without prefix.
        config: The official ``config.json``.
        dtype: Of the weights.

    Raises:
        PriorError: If state and config do not fit.
    """
    try:
        dim, heads = config["dim"], config["num_heads"]
        with torch.device("meta"):
            model = WanTransformer3DModel(
                num_attention_heads=heads,
                attention_head_dim=dim // heads,
                in_channels=config["in_dim"],
                out_channels=config["out_dim"],
                text_dim=state["text_embedding.0.weight"].shape[1],
                freq_dim=config["freq_dim"],
                ffn_dim=config["ffn_dim"],
                num_layers=config["num_layers"],
                patch_size=tuple(state["patch_embedding.weight"].shape[2:]),
                eps=config["eps"],
            )
        fill(model, convert_wan_transformer_to_diffusers(dict(state)), dtype)
    except (KeyError, RuntimeError, ValueError, ZeroDivisionError) as error:
        msg = f"not the weights of the official Wan model that its config.json describes: {error}"
        raise PriorError(msg) from error
    return model


def _vae_sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Widths, depth and temporal reduction of the official encoder: a row of numbered parts.

    Each level is some residual blocks and, but for the last, a downsampling, which reduces time
    where it has a ``time_conv``.
    """
    base = state["encoder.conv1.weight"].shape[0]
    parts = "encoder.downsamples."
    widths: list[list[int]] = [[]]
    reduces: list[bool] = []
    for i in range(1 + max(int(k.split(".")[2]) for k in state if k.startswith(parts))):
        block = state.get(f"{parts}{i}.residual.2.weight")
        if block is not None:
            widths[-1].append(block.shape[0])
        else:
            reduces.append(f"{parts}{i}.time_conv.weight" in state)
            widths.append([])
    return {
        "base_dim": base,
        "dim_mult": [level[0] // base for level in widths],
        "num_res_blocks": len(widths[0]),
        "temperal_downsample": reduces,
    }


def vae_from_official(
    state: Mapping[str, Tensor], dtype: torch.dtype = torch.float32
) -> AutoencoderKLWan:
    """The encoder half of the official ``Wan2.1_VAE.pth``; its sizes are read from the weights.

    Raises:
        PriorError: If the state dict is not that of a Wan 2.1 autoencoder.
    """
    wanted = {key: value for key, value in state.items() if key.startswith(VAE_ENCODER)}
    try:
        with torch.device("meta"):
            vae = AutoencoderKLWan(z_dim=state["conv1.weight"].shape[0] // 2, **_vae_sizes(state))
        vae = drop_decoder(vae)
        fill(vae, convert_wan_vae_to_diffusers(wanted), dtype)
    except (KeyError, RuntimeError, ValueError, ZeroDivisionError) as error:
        msg = f"not the weights of the official Wan 2.1 autoencoder: {error}"
        raise PriorError(msg) from error
    return vae
