"""Folders of Wan weights in diffusers' layout, read as far as a prior needs them."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, TypeVar

import torch
from diffusers import AutoencoderKL, AutoencoderKLWan, WanTransformer3DModel
from safetensors.torch import save_file

from vega3d_ros.models.priors.base import PriorError
from vega3d_ros.models.priors.files import read_json, read_weights, save_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from vega3d_ros.models.priors.wan.config import WanPriorConfig

ENCODER_KEYS = ("encoder.", "quant_conv.")
"""What the names of the autoencoder's tensors that encode begin with, in diffusers' layout."""


Autoencoder = TypeVar("Autoencoder", AutoencoderKL, AutoencoderKLWan)


def drop_decoder(vae: Autoencoder) -> Autoencoder:
    """Take the decoder, which features never need, out of an autoencoder."""
    vae.decoder = None
    vae.post_quant_conv = None
    return vae


def load_vae_encoder(
    folder: Path,
    dtype: torch.dtype = torch.float32,
    kind: type[Autoencoder] = AutoencoderKLWan,
) -> Autoencoder:
    """The encoder half of a saved autoencoder, whether its decoder was saved or not.

    Raises:
        PriorError: If files are missing, damaged, or do not fit each other.
    """
    config = read_json(folder / "config.json")
    state = read_weights(folder, lambda key: key.startswith(ENCODER_KEYS))
    try:
        with torch.device("meta"):
            vae = drop_decoder(kind.from_config(config))
        fill(vae, state, dtype)
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        msg = f"{folder}: config.json and weights are not those of one {kind.__name__}: {error}"
        raise PriorError(msg) from error
    return vae


def load_transformer(
    folder: Path, block: int = -1, dtype: torch.dtype = torch.float32
) -> WanTransformer3DModel:
    """A saved transformer as far as ``block`` (-1: all of it); later blocks are not read.

    Raises:
        PriorError: If files are missing, damaged, or do not fit each other.
    """
    config = read_json(folder / "config.json")
    layers = config.get("num_layers")
    if not isinstance(layers, int):
        msg = f"{folder / 'config.json'} has no num_layers; is it a WanTransformer3DModel?"
        raise PriorError(msg)
    keep = block_index(block, layers) + 1
    state = read_weights(folder, wanted_blocks(keep))
    try:
        with torch.device("meta"):
            transformer = WanTransformer3DModel.from_config(config, num_layers=keep)
        fill(transformer, state, dtype)
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        msg = f"{folder}: config.json and weights are not those of one Wan transformer: {error}"
        raise PriorError(msg) from error
    return transformer


def wanted_blocks(keep: int) -> Callable[[str], bool]:
    """Tells the names of a transformer's tensors without those of blocks from ``keep`` on."""

    def wanted(key: str) -> bool:
        kind, _, rest = key.partition(".")
        return kind != "blocks" or int(rest.partition(".")[0]) < keep

    return wanted


def fill(
    model: AutoencoderKL | AutoencoderKLWan | WanTransformer3DModel,
    state: dict[str, Tensor],
    dtype: torch.dtype,
) -> None:
    """Put weights into a model built on the meta device; what diffusers keeps in float32 stays so.

    ``from_pretrained`` does the same, but for these models only where ``accelerate`` is installed,
    and it cannot leave blocks or the decoder out. Weights are copied, because tensors mapped from
    a file lie at any address, and the last bit of a matrix product depends on the alignment.

    Raises:
        RuntimeError: If names or shapes do not fit.
    """
    exact = set(model._keep_in_fp32_modules or ())  # noqa: SLF001  (it has no public name)
    cast_state = {
        key: value.to(torch.float32 if exact & set(key.split(".")) else dtype, copy=True)
        for key, value in state.items()
    }
    model.load_state_dict(cast_state, strict=True, assign=True)
    if isinstance(model, WanTransformer3DModel):  # its rotary tables are no weights
        rope = model.rope
        model.rope = type(rope)(rope.attention_head_dim, rope.patch_size, rope.max_seq_len)


def save_networks(
    folder: Path,
    vae: AutoencoderKLWan,
    transformer: WanTransformer3DModel,
    prompt: Tensor,
    config: WanPriorConfig,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a prior's folder; blocks after the hooked one and the decoder are taken out.

    Args:
        folder: Gets ``transformer/``, ``vae/``, ``prompt.safetensors`` and ``prior.json``.
        vae: The autoencoder.
        transformer: The transformer.
        prompt: [L, text_dim].
        config: Settings.
        dtype: Of the weights on disk (see :func:`fill`); None keeps that in memory.
    """
    del transformer.blocks[block_index(config.block, len(transformer.blocks)) + 1 :]
    transformer.register_to_config(num_layers=len(transformer.blocks))
    for name, model in (("transformer", transformer), ("vae", drop_decoder(vae))):
        saved = model
        if dtype is not None:
            saved = deepcopy(model)
            fill(saved, saved.state_dict(), dtype)
        saved.save_pretrained(folder / name)
    save_prompt(prompt, folder)
    save_config(config, folder)


def save_prompt(prompt: Tensor, folder: Path) -> None:
    """Write a prompt embedding [L, text_dim] as ``prompt.safetensors``."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"prompt": prompt.detach().cpu().contiguous()}, folder / "prompt.safetensors")


def block_index(block: int, layers: int) -> int:
    """``block`` counted from the first; raises :class:`PriorError` where it does not exist."""
    if not -layers <= block < layers:
        msg = f"prior block {block} does not exist; the transformer has blocks 0..{layers - 1}"
        raise PriorError(msg)
    return block % layers
