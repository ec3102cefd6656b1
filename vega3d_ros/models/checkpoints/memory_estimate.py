"""What a model will take of a device's memory, estimated before it is loaded.

Weights are counted exactly, from the files' headers; what inference takes is bounded by the
largest tensors of each network, times how many of them live at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from vega3d_ros.core.json_io import read_object
from vega3d_ros.models.checkpoints.device_memory import GIB, available
from vega3d_ros.models.checkpoints.official.language import FRAME_SIZE
from vega3d_ros.models.checkpoints.official.layout import (
    FUSION,
    LANGUAGE,
    MERGER,
    TOWER,
    read_layout,
)
from vega3d_ros.models.checkpoints.official.wan import described, find_vae, vae_shapes, wan_folders
from vega3d_ros.models.priors.wan.files import block_index, wanted_blocks
from vega3d_ros.models.priors.wan.official_layout import official_sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import torch

UNKNOWN = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    SafetensorError,
)
"""What :func:`estimate` raises of a folder that is incomplete or damaged; loading says how."""

# Live at once at the full resolution of Wan's encoder (a residual block's input, norm, activation,
# output, and the convolution's workspace), and of a transformer block besides its inner width.
_ENCODER_TENSORS = 6
_BLOCK_TENSORS = 10
_ENCODER_KEYS = ("encoder.", "quant_conv.")


@dataclass(frozen=True)
class Workload:
    """How much is asked of a model at once.

    Attributes:
        frames: Frames of a clip.
        keyframes: Keyframes whose tokens are kept.
        frames_at_once: Frames that the prior encodes together.
    """

    frames: int = 8
    keyframes: int = 64
    frames_at_once: int = 8


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes by what they are for."""

    parts: Mapping[str, int]

    @property
    def total(self) -> int:
        """All together."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {size / GIB:.2f}" for name, size in self.parts.items())
        return f"{self.total / GIB:.2f} GiB ({parts})"


@dataclass(frozen=True)
class _Prior:
    """What the estimate needs to know of a prior.

    Attributes:
        weights: Numbers in the blocks that run and in the autoencoder's encoder.
        dim: Width of the transformer.
        ffn_dim: Inner width of its blocks.
        vae_dim: Width of the autoencoder at full resolution.
        pixels: Of its working size.
    """

    weights: int
    dim: int
    ffn_dim: int
    vae_dim: int
    pixels: int


@dataclass(frozen=True)
class _Parts:
    """What the estimate needs to know of a model.

    Attributes:
        language: Numbers in vision tower and language model.
        bridge: Numbers in everything small.
        prior: None for a model without one.
        config: Of Qwen2.5-VL.
        image_size: Width and height that its vision tower is shown.
    """

    language: int
    bridge: int
    prior: _Prior | None
    config: Mapping[str, Any]
    image_size: tuple[int, int]


def estimate(
    folder: Path,
    dtype: torch.dtype,
    workload: Workload | None = None,
    prior: Mapping[str, Any] | None = None,
) -> MemoryEstimate:
    """What a model folder, or an official checkpoint, will take on its device.

    Args:
        folder: The folder.
        dtype: Of the weights in memory.
        workload: How much is asked of it at once.
        prior: Settings of the prior instead of the model's own.

    Raises:
        One of ``UNKNOWN``, as it says.
    """
    workload = workload or Workload()
    size = dtype.itemsize
    own = (folder / "model.json").is_file()
    model = (_own if own else _official)(folder, prior or {})
    parts = {"language model": size * model.language, "bridge and heads": size * model.bridge}
    if model.prior is not None:
        parts["prior"] = size * model.prior.weights
        parts["prior at work"] = workload.frames_at_once * _frame(model.prior, size)
    return MemoryEstimate(parts | _reading(model.config, model.image_size, size, workload))


def fitting(folder: Path, device: str, dtype: torch.dtype, frames: int) -> Workload:
    """The workload of a clip length that encodes as many frames at once as there is memory for.

    Where not even one fits, or the folder cannot be read, loading says so.
    """
    workload = Workload(frames=frames)
    for at_once in (8, 4, 2, 1):
        workload = Workload(frames=frames, frames_at_once=min(at_once, frames))
        try:
            if estimate(folder, dtype, workload).total <= available(device)[0]:
                break
        except UNKNOWN:
            break
    return workload


def _own(folder: Path, settings: Mapping[str, Any]) -> _Parts:
    """A model of this package."""
    description = read_object(folder / "model.json")
    prior = None
    if description["prior"] is not None:
        config = {**description["prior"], **settings}
        transformer, vae = folder / "prior" / "transformer", folder / "prior" / "vae"
        shape = read_object(transformer / "config.json")
        wanted = wanted_blocks(block_index(config["block"], shape["num_layers"]) + 1)
        prior = _Prior(
            weights=_numel(transformer, wanted) + _vae_size(vae)[0],
            dim=shape["num_attention_heads"] * shape["attention_head_dim"],
            ffn_dim=shape["ffn_dim"],
            vae_dim=_vae_size(vae)[1],
            pixels=config["width"] * config["height"],
        )
    width, height = description["image_size"]
    return _Parts(
        language=_numel(folder / "mllm"),
        bridge=_numel(folder),
        prior=prior,
        config=read_object(folder / "mllm" / "config.json"),
        image_size=(width, height),
    )


def _official(folder: Path, settings: Mapping[str, Any]) -> _Parts:
    """An official checkpoint, whose frames are taken to be 4:3."""
    layout = read_layout(folder)
    folders = wan_folders(layout)
    tower = layout.below(TOWER)
    sizes = official_sizes(tower, described(folders))
    config = {**layout.prior_config().to_dict(), **settings}
    wanted = wanted_blocks(block_index(config["block"], sizes["num_layers"]) + 1)
    vae = find_vae(folders)
    vae_weights, vae_dim = (0, 0) if vae is None else _vae_size(vae)
    prior = _Prior(
        weights=sum(prod(shape) for key, shape in tower.items() if wanted(key)) + vae_weights,
        dim=sizes["dim"],
        ffn_dim=sizes["ffn_dim"],
        vae_dim=vae_dim,
        pixels=config["width"] * config["height"],
    )

    def below(*prefixes: str) -> int:
        return sum(prod(s) for key, s in layout.shapes.items() if key.startswith(prefixes))

    return _Parts(below(*LANGUAGE), below(MERGER, FUSION), prior, layout.config, FRAME_SIZE)


def _vae_size(path: Path) -> tuple[int, int]:
    """Numbers in the encoder of an autoencoder, and its width at full resolution."""
    if path.is_dir():
        config = read_object(path / "config.json")
        return _numel(path, lambda key: key.startswith(_ENCODER_KEYS)), config["base_dim"]
    shapes = vae_shapes(path)
    return sum(map(prod, shapes.values())), shapes["encoder.conv1.weight"][0]


def _frame(prior: _Prior, size: int) -> int:
    """Bytes at work for one frame: those of the autoencoder or of a block, not of both."""
    encoder = _ENCODER_TENSORS * prior.pixels * prior.vae_dim * size
    tokens = prior.pixels // 256
    return max(encoder, tokens * (2 * prior.ffn_dim * size + _BLOCK_TENSORS * prior.dim * 4))


def _reading(
    config: Mapping[str, Any], image_size: tuple[int, int], size: int, workload: Workload
) -> dict[str, int]:
    text = config.get("text_config", config)
    vision = config["vision_config"]
    cell = vision["patch_size"] * vision["spatial_merge_size"]
    tokens = (image_size[0] // cell) * (image_size[1] // cell)
    dim, heads = text["hidden_size"], text["num_attention_heads"]
    head_dim = text.get("head_dim") or dim // heads
    pair = 2 * text["num_key_value_heads"] * head_dim * text["num_hidden_layers"]
    read = workload.frames * (tokens + 2)
    patches = workload.frames * tokens * vision["spatial_merge_size"] ** 2
    at_work = max(
        read * (3 * text["intermediate_size"] + _BLOCK_TENSORS * dim),
        patches * (3 * vision["intermediate_size"] + _BLOCK_TENSORS * vision["hidden_size"]),
    )
    return {
        "kept keyframes": size * workload.keyframes * tokens * dim,
        # The newest, the one before while it is read, and where recorded graphs continue it.
        "kept clips": 3 * size * read * pair,
        "language model at work": size * at_work,
    }


def _numel(folder: Path, wanted: Callable[[str], bool] = lambda _: True) -> int:
    """Numbers in the wanted tensors of a folder's safetensors."""
    found = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            found += sum(
                prod(tensors.get_slice(key).get_shape())
                for key in tensors.keys()  # noqa: SIM118
                if wanted(key)
            )
    return found
