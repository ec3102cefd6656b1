"""The latents of an image autoencoder alone: what a diffusion prior adds to them is its ablation.

Follows the official ``vae_online`` tower (posterior mean, normalised, 224x224 by default; the
official one is SD 2.1's). Wan's video autoencoder runs on single frames.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Literal

import torch
from diffusers import AutoencoderKL, AutoencoderKLWan
from pydantic.dataclasses import dataclass
from torch import nn

from vega3d_ros.core.settings import STRICT
from vega3d_ros.models.memory import ENCODER_TENSORS, count_numbers
from vega3d_ros.models.priors.base import Pixels, PriorConfig, PriorError
from vega3d_ros.models.priors.files import load_config, read_json, save_config
from vega3d_ros.models.priors.frame_network import FrameNetwork, picture_bytes
from vega3d_ros.models.priors.wan.files import (
    ENCODER_KEYS,
    drop_decoder,
    fill,
    load_vae_encoder,
)
from vega3d_ros.models.priors.wan.single_frame_vae import frame_encoder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Self

    from torch import Tensor

_KINDS: dict[str, type[Any]] = {
    "AutoencoderKL": AutoencoderKL,
    "AutoencoderKLWan": AutoencoderKLWan,
}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class VaePriorConfig(PriorConfig):
    """Settings of an autoencoder's latents; 224x224 is the official tower's size."""

    type: Literal["vae"] = "vae"
    width: Pixels = 224
    height: Pixels = 224


class VaePrior(FrameNetwork):
    """Normalised posterior means of an autoencoder, one token per latent pixel.

    Args:
        vae: The autoencoder; its decoder is taken out.
        config: Settings.

    Raises:
        PriorError: If the working size does not fit the autoencoder.
    """

    Config = VaePriorConfig
    files = ("vae/config.json",)
    config: VaePriorConfig
    mean: Tensor
    std: Tensor

    def __init__(self, vae: AutoencoderKL | AutoencoderKLWan, config: VaePriorConfig) -> None:
        super().__init__()
        self.config = config
        # In a tuple, so that diffusers' form of Wan's weights is no part of what runs.
        self._sources: tuple[AutoencoderKL | AutoencoderKLWan, ...] = (drop_decoder(vae),)
        self._single_frame = isinstance(vae, AutoencoderKLWan)
        values = vae.config
        self.encoder: nn.Module
        if isinstance(vae, AutoencoderKLWan):
            self.dim = int(values.z_dim)
            self.grid = self.fit_grid(int(vae.spatial_compression_ratio))
            self.encoder = frame_encoder(vae)
            mean, std = values.latents_mean, values.latents_std
        else:
            self.dim = int(values.latent_channels)
            self.grid = self.fit_grid(2 ** (len(values.block_out_channels) - 1))
            self.encoder = nn.Sequential(vae.encoder, vae.quant_conv or nn.Identity())
            mean, std = values.shift_factor or 0.0, 1 / values.scaling_factor
        for name, value in (("mean", mean), ("std", std)):
            shaped = torch.tensor(value).expand(self.dim).view(-1, 1, 1).clone()
            self.register_buffer(name, shaped, persistent=False)
        self.freeze()

    @property
    def vae(self) -> AutoencoderKL | AutoencoderKLWan:
        """The autoencoder as loaded, without decoder.

        Raises:
            PriorError: After :meth:`forget_sources`.
        """
        if not self._sources:
            msg = "the prior was loaded for inference only; load it anew to save or change it"
            raise PriorError(msg)
        return self._sources[0]

    def forget_sources(self) -> None:
        """Free diffusers' module."""
        self._sources = ()

    def tokens(self, pictures: Tensor) -> Tensor:
        """Latents, one per 8x8 pixels in released autoencoders."""
        pictures = (pictures * 2 - 1).to(next(self.encoder.parameters()).dtype)
        if self._single_frame:
            pictures = pictures.contiguous(memory_format=torch.channels_last)
            moments = self.encoder(pictures[:, :, None]).squeeze(2)
        else:
            moments = self.encoder(pictures)
        latents: Tensor = (moments[:, : self.dim].float() - self.mean) / self.std
        return latents.permute(0, 2, 3, 1)

    def save(self, folder: Path, dtype: torch.dtype | None = None) -> None:
        """Write ``vae/`` (encoder) and ``prior.json``."""
        save_config(self.config, folder)
        saved = self.vae
        if dtype is not None:
            saved = deepcopy(self.vae)
            fill(saved, saved.state_dict(), dtype)
        saved.save_pretrained(folder / "vae")

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        config: PriorConfig | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        reference: bool = False,
    ) -> Self:
        """Read ``vae/`` in diffusers' layout: a Wan or a Stable Diffusion autoencoder."""
        if reference:
            raise cls._refusal("is its own reference; load it without")
        config = load_config(folder, VaePriorConfig, config)
        return cls(load_vae_encoder(folder / "vae", dtype, _kind(folder)), config)

    @classmethod
    def memory(
        cls, folder: Path, config: PriorConfig, dtype: torch.dtype, frames_at_once: int
    ) -> Mapping[str, int]:
        """The encoder at full resolution needs most."""
        values = read_json(folder / "vae" / "config.json")
        width = values["base_dim"] if "base_dim" in values else values["block_out_channels"][0]
        weights = count_numbers(folder / "vae", lambda key: key.startswith(ENCODER_KEYS))
        frame = picture_bytes(config)
        frame += ENCODER_TENSORS * config.width * config.height * width * dtype.itemsize
        return {"prior": dtype.itemsize * weights, "prior at work": frames_at_once * frame}

    def randomised(self, seed: int) -> Self:
        """The same prior with an untrained encoder."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            vae = type(self.vae).from_config(self.vae.config)
        weights = next(self.encoder.parameters())
        return type(self)(vae.to(weights.dtype), self.config).to(weights.device)


def _kind(folder: Path) -> type[Any]:
    """The class of a saved autoencoder."""
    name = read_json(folder / "vae" / "config.json").get("_class_name", "AutoencoderKLWan")
    if name not in _KINDS:
        msg = f"{folder / 'vae'} is of kind {name!r}; {' and '.join(_KINDS)} are read"
        raise PriorError(msg)
    return _KINDS[name]
