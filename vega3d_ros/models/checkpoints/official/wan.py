"""Folders of Wan 2.1, in the original and in the Diffusers layout, as far as a prior needs them.

====================  =====================================  ================================
what                  original                               Diffusers
====================  =====================================  ================================
transformer           ``config.json``,                       ``transformer/``
                      ``diffusion_pytorch_model*``
autoencoder           ``Wan2.1_VAE.pth``                     ``vae/``
prompt embedding      ``wan_prompt_embedding.pt``            ``prompt.safetensors``
text encoder          (not read)                             ``text_encoder/``, ``tokenizer/``
====================  =====================================  ================================

A prompt embedding of either form is taken in either layout.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vega3d_ros.models.checkpoints.official.layout import Layout, OfficialError, read_json
from vega3d_ros.models.priors.files import read_tensors, read_weights
from vega3d_ros.models.priors.wan.files import (
    block_index,
    load_transformer,
    load_vae_encoder,
    wanted_blocks,
)
from vega3d_ros.models.priors.wan.official_layout import (
    VAE_ENCODER,
    official_sizes,
    transformer_from_official,
    vae_from_official,
)
from vega3d_ros.models.priors.wan.prior import WanPrior

if TYPE_CHECKING:
    from collections.abc import Iterable

    from diffusers import AutoencoderKLWan
    from torch import Tensor

    from vega3d_ros.models.priors.wan.config import WanPriorConfig

VAE_FILE = "Wan2.1_VAE.pth"
PROMPT_FILES = ("wan_prompt_embedding.pt", "prompt.safetensors")


def wan_folders(layout: Layout) -> list[Path]:
    """Where the Wan files that a checkpoint lacks are looked for, in this order."""
    folder = layout.folder
    named = str(
        layout.setting("checkpoint", None) or layout.config.get("generative_encoder_path") or ""
    )
    places = [folder / "wan", folder]
    if named:
        name = Path(named).name
        places = [folder / named, Path(named), folder / name, folder.parent / name, *places]
    return [place for place in dict.fromkeys(places) if place.is_dir()]


def find_vae(folders: Iterable[Path]) -> Path | None:
    """The first autoencoder, ``Wan2.1_VAE.pth`` or a Diffusers ``vae/``, in some folders."""
    for folder in folders:
        if (folder / VAE_FILE).is_file():
            return folder / VAE_FILE
        if (folder / "vae" / "config.json").is_file():
            return folder / "vae"
    return None


def find_prompt(folders: Iterable[Path]) -> Path | None:
    """The first file of a prompt embedding in some folders."""
    files = (folder / name for folder in folders for name in PROMPT_FILES)
    return next((file for file in files if file.is_file()), None)


def load_vae(path: Path, dtype: torch.dtype = torch.float32) -> AutoencoderKLWan:
    """The encoder half of what :func:`find_vae` found.

    Raises:
        OfficialError: If a pickle holds anything but tensors.
        PriorError: If the weights are not those of a Wan 2.1 autoencoder.
    """
    if path.is_dir():
        return load_vae_encoder(path, dtype)
    return vae_from_official(_state_dict(path), dtype)


def load_prompt(path: Path) -> Tensor:
    """A prompt embedding, [L, text_dim] float32.

    Raises:
        OfficialError: If the file holds something else.
        PriorError: If a safetensors file is damaged.
    """
    if path.suffix == ".safetensors":
        value: Any = read_tensors(path, "prompt".__eq__).get("prompt")
    else:
        value = read_pickle(path)
    if isinstance(value, dict):
        value = value.get("context", value.get("embedding"))
    if not isinstance(value, torch.Tensor) or value.ndim != 2 or not value.is_floating_point():
        msg = f"{path} holds no prompt embedding [tokens, width]; make one with `vega3d prompt`"
        raise OfficialError(msg)
    return value.float()


def vae_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors of ``Wan2.1_VAE.pth`` that a prior needs, by their official names.

    Raises:
        OfficialError: If the file cannot be read, or holds something else.
    """
    state = _state_dict(path, device="meta")
    return {key: tuple(v.shape) for key, v in state.items() if key.startswith(VAE_ENCODER)}


def _state_dict(path: Path, device: str = "cpu") -> dict[str, Tensor]:
    state = read_pickle(path, device)
    if not isinstance(state, dict):
        msg = f"{path} must hold a state dict, not {type(state).__name__}; download it again"
        raise OfficialError(msg)
    return state


def read_pickle(path: Path, device: str = "cpu") -> Any:
    """A ``.pt`` or ``.pth`` file, of which nothing but tensors in plain containers is accepted.

    On the device "meta" no value is read.

    Raises:
        OfficialError: If it is missing, damaged or wants to run code.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0]
        msg = f"{path} cannot be read as plain tensors: {reason}; download it again"
        raise OfficialError(msg) from error


def described(folders: Iterable[Path]) -> dict[str, Any]:
    """What no weight tells of the transformer, by its official name, where a folder says it.

    ``num_heads``, ``eps``, and ``text_len``, to which the prompt is padded.

    Raises:
        OfficialError: If a ``config.json`` is damaged.
    """
    for folder in folders:
        if (folder / "transformer" / "config.json").is_file():
            values = read_json(folder / "transformer" / "config.json")
            names = {"num_attention_heads": "num_heads", "eps": "eps"}
            return {official: values[name] for name, official in names.items() if name in values}
        if (folder / "config.json").is_file():
            values = read_json(folder / "config.json")
            if values.get("_class_name") == "WanModel":
                return {k: values[k] for k in ("num_heads", "eps", "text_len") if k in values}
    return {}


def load_wan_prior(
    folder: Path, config: WanPriorConfig, *, dtype: torch.dtype = torch.float32
) -> WanPrior:
    """A prior from a folder of Wan 2.1 itself, for training on top of it.

    Args:
        folder: In the original or in the Diffusers layout, with a prompt embedding.
        config: Which features are meant.
        dtype: Of the weights.

    Raises:
        OfficialError: If something is missing.
        PriorError: If something does not fit.
    """
    vae, prompt = find_vae([folder]), find_prompt([folder])
    if vae is None:
        msg = f"{folder} has neither {VAE_FILE} nor vae/; is it a folder of Wan 2.1?"
        raise OfficialError(msg)
    if prompt is None:
        msg = f"{folder} has no {' or '.join(PROMPT_FILES)}; make one with `vega3d prompt`"
        raise OfficialError(msg)
    if (folder / "transformer").is_dir():
        transformer = load_transformer(folder / "transformer", config.block, dtype)
    else:
        layers = int(read_json(folder / "config.json").get("num_layers", 0))
        keep = block_index(config.block, layers) + 1
        state = read_weights(folder, wanted_blocks(keep))
        shapes = {name: tuple(value.shape) for name, value in state.items()}
        transformer = transformer_from_official(
            state, official_sizes(shapes, described([folder])), dtype
        )
    return WanPrior(load_vae(vae, dtype), transformer, load_prompt(prompt), config)
