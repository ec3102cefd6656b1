"""DINOv2 and DINOv3 as a prior: a discriminative tower in the place of the generative one.

Follows the official ``dinov3_online`` tower: 224x224, the final normed patch tokens, ImageNet's
mean and deviation; of class and register tokens nothing is taken.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic.dataclasses import dataclass
from transformers import AutoConfig, AutoModel

from vega3d_ros.core.settings import STRICT
from vega3d_ros.models.memory import BLOCK_TENSORS, count_numbers
from vega3d_ros.models.priors.base import Pixels, PriorConfig, PriorError
from vega3d_ros.models.priors.files import load_config, read_json, save_config
from vega3d_ros.models.priors.frame_network import FrameNetwork, picture_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Self

    from torch import Tensor

_FOLDER = "dino"
_KINDS = ("dinov2", "dinov2_with_registers", "dinov3_vit")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DinoPriorConfig(PriorConfig):
    """Settings of a DINO tower; 224x224 is the official tower's size.

    Attributes:
        layer: Layer whose output is taken, normed as the last one's; -1 is the last.
        mean: Of the pixels that the tower was trained on, R, G, B in [0, 1].
        std: Their standard deviation.
    """

    type: Literal["dino"] = "dino"
    width: Pixels = 224
    height: Pixels = 224
    layer: int = -1
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


class DinoPrior(FrameNetwork):
    """Patch tokens of a DINO tower, on the grid of its patches.

    Args:
        tower: ``Dinov2Model``, ``Dinov2WithRegistersModel`` or ``DINOv3ViTModel``, whose last
            layer is the wanted one.
        config: Settings.

    Raises:
        PriorError: If the working size does not fit the patches.
    """

    Config = DinoPriorConfig
    files = (f"{_FOLDER}/config.json",)
    config: DinoPriorConfig

    def __init__(self, tower: Any, config: DinoPriorConfig) -> None:
        super().__init__()
        self.config = config
        self.tower = tower
        self.dim = int(tower.config.hidden_size)
        self.grid = self.fit_grid(int(tower.config.patch_size))
        self.freeze()

    def tokens(self, pictures: Tensor) -> Tensor:
        """Patch tokens, which follow class and register tokens."""
        mean, std = (
            torch.tensor(values, device=pictures.device).view(3, 1, 1)
            for values in (self.config.mean, self.config.std)
        )
        given = ((pictures - mean) / std).to(next(self.tower.parameters()).dtype)
        rows, columns = self.grid
        found: Tensor = self.tower(given).last_hidden_state[:, -rows * columns :]
        return torch.unflatten(found, 1, self.grid)

    def save(self, folder: Path, dtype: torch.dtype | None = None) -> None:
        """Write ``dino/`` as transformers does, and ``prior.json``."""
        save_config(self.config, folder)
        tower = self.tower if dtype is None else deepcopy(self.tower).to(dtype)
        tower.save_pretrained(folder / _FOLDER)

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        config: PriorConfig | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        reference: bool = False,
    ) -> Self:
        """Read ``dino/``, as transformers or the hub have it, as far as the layer needs it."""
        if reference:
            raise cls._refusal("is its own reference; load it without")
        config = load_config(folder, DinoPriorConfig, config)
        layers = _layers(folder, config)
        try:
            shape = AutoConfig.from_pretrained(folder / _FOLDER, local_files_only=True)
            shape.num_hidden_layers = layers
            tower, report = AutoModel.from_pretrained(
                folder / _FOLDER,
                config=shape,
                dtype=dtype,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
        except Exception as error:  # transformers raises anything of a damaged file
            msg = f"{folder / _FOLDER} cannot be loaded: {error}; copy the folder again"
            raise PriorError(msg) from error
        if report["missing_keys"]:
            msg = f"{folder / _FOLDER} lacks {min(report['missing_keys'])}; copy the folder again"
            raise PriorError(msg)
        return cls(tower, config)

    @classmethod
    def memory(
        cls, folder: Path, config: PriorConfig, dtype: torch.dtype, frames_at_once: int
    ) -> Mapping[str, int]:
        """A layer at a time, beside the pictures."""
        config = load_config(folder, DinoPriorConfig, config)
        shape = read_json(folder / _FOLDER / "config.json")
        layers, size, dim = _layers(folder, config), dtype.itemsize, shape["hidden_size"]
        tokens = config.width * config.height // shape["patch_size"] ** 2
        tokens += 1 + shape.get("num_register_tokens", 0)
        inner = shape.get("intermediate_size", dim * shape.get("mlp_ratio", 4))
        frame = picture_bytes(config) + size * tokens * (2 * inner + BLOCK_TENSORS * dim)
        weights = count_numbers(folder / _FOLDER, lambda key: _layer_of(key) < layers)
        return {"prior": size * weights, "prior at work": frames_at_once * frame}

    def randomised(self, seed: int) -> Self:
        """The same tower untrained."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            tower = AutoModel.from_config(self.tower.config)
        like = next(self.tower.parameters())
        return type(self)(tower.to(like.dtype), self.config).to(like.device)


def _layers(folder: Path, config: DinoPriorConfig) -> int:
    """Layers that run.

    Raises:
        PriorError: If the tower is of another kind, or has not so many.
    """
    shape = read_json(folder / _FOLDER / "config.json")
    kind, layers = shape.get("model_type"), shape.get("num_hidden_layers")
    if kind not in _KINDS or not isinstance(layers, int):
        msg = f"{folder / _FOLDER} is of kind {kind!r}; {', '.join(_KINDS)} are read"
        raise PriorError(msg)
    if not -layers <= config.layer < layers:
        msg = f"prior layer {config.layer} does not exist; the tower has layers 0..{layers - 1}"
        raise PriorError(msg)
    return config.layer % layers + 1


def _layer_of(key: str) -> int:
    """The layer that a tensor belongs to; -1 for those before and after all layers."""
    number = key.partition("layer.")[2].partition(".")[0]
    return int(number) if number.isdecimal() else -1
