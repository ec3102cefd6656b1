"""Folders of Wan weights in diffusers' layout, read as far as a prior needs them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from vega3d_ros.core.json_io import JsonError, read_object
from vega3d_ros.models.priors.base import PriorConfig, PriorError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor


def drop_decoder(vae: AutoencoderKLWan) -> AutoencoderKLWan:
    """Take the decoder, which features never need, out of an autoencoder."""
    vae.decoder = None
    vae.post_quant_conv = None
    return vae


def load_vae_encoder(folder: Path, dtype: torch.dtype = torch.float32) -> AutoencoderKLWan:
    """The encoder half of a saved ``AutoencoderKLWan``, whether its decoder was saved or not.

    Raises:
        PriorError: If files are missing, damaged, or do not fit each other.
    """
    config = read_json(folder / "config.json")
    state = read_weights(folder, lambda key: key.startswith(("encoder.", "quant_conv.")))
    try:
        with torch.device("meta"):
            vae = drop_decoder(AutoencoderKLWan.from_config(config))
        fill(vae, state, dtype)
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        msg = f"{folder}: config.json and weights are not those of one Wan autoencoder: {error}"
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
    model: AutoencoderKLWan | WanTransformer3DModel, state: dict[str, Tensor], dtype: torch.dtype
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


def save_prompt(prompt: Tensor, folder: Path) -> None:
    """Write a prompt embedding [L, text_dim] as ``prompt.safetensors``."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"prompt": prompt.detach().cpu().contiguous()}, folder / "prompt.safetensors")


def save_config(config: PriorConfig, folder: Path) -> None:
    """Write settings as ``prior.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prior.json").write_text(
        json.dumps(config.to_dict(), indent=2) + "\n", encoding="utf-8"
    )


def load_config(folder: Path) -> PriorConfig:
    """Settings of ``prior.json``.

    Raises:
        PriorError: If the file is missing or damaged.
    """
    return PriorConfig.from_dict(read_json(folder / "prior.json"))


def block_index(block: int, layers: int) -> int:
    """``block`` counted from the first; raises :class:`PriorError` where it does not exist."""
    if not -layers <= block < layers:
        msg = f"prior block {block} does not exist; the transformer has blocks 0..{layers - 1}"
        raise PriorError(msg)
    return block % layers


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; raises :class:`PriorError` where there is none."""
    try:
        return read_object(path)
    except JsonError as error:
        msg = f"{error}; is the prior's folder complete?"
        raise PriorError(msg) from error


def read_weights(folder: Path, wanted: Callable[[str], bool]) -> dict[str, Tensor]:
    """The wanted tensors of a diffusers model folder, sharded or not."""
    paths = sorted(folder.glob("diffusion_pytorch_model*.safetensors"))
    if not paths:
        msg = f"{folder} has no diffusion_pytorch_model*.safetensors; is the folder complete?"
        raise PriorError(msg)
    return {key: value for path in paths for key, value in read_tensors(path, wanted).items()}


def read_tensors(path: Path, wanted: Callable[[str], bool]) -> dict[str, Tensor]:
    """The wanted tensors of a file; raises :class:`PriorError` where it is missing or damaged."""
    try:
        with safe_open(path, "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys() if wanted(key)}  # noqa: SIM118
    except OSError as error:
        msg = f"cannot read {path}: {error}; is the prior's folder complete?"
        raise PriorError(msg) from error
    except SafetensorError as error:
        msg = f"{path} is damaged or not a safetensors file: {error}"
        raise PriorError(msg) from error
