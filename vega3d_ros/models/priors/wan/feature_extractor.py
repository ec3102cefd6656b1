"""From pictures and noise to tokens: one function of fixed shapes, in two forms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from vega3d_ros.models.priors.wan.constant_folding import FoldedTransformer
from vega3d_ros.models.priors.wan.noise import noise_level
from vega3d_ros.models.priors.wan.single_frame_vae import frame_encoder

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan, WanTransformer3DModel
    from torch import Tensor

    from vega3d_ros.models.priors.wan.config import WanPriorConfig


class Tower(nn.Module, ABC):
    """What both forms share: the latents' scale, the noise level, and what is called.

    Args:
        vae: Autoencoder, for the statistics of its latents.
        config: Settings, ``block`` counted from the first.
    """

    latents_mean: Tensor
    latents_std: Tensor

    def __init__(self, vae: AutoencoderKLWan, config: WanPriorConfig) -> None:
        super().__init__()
        self.level = noise_level(config.timestep, config.shift)
        for name in ("latents_mean", "latents_std"):
            value = torch.tensor(vae.config[name]).view(1, -1, 1, 1, 1)
            self.register_buffer(name, value, persistent=False)

    @property
    @abstractmethod
    def picture_dtype(self) -> torch.dtype:
        """Type of the pictures that the encoder takes."""

    @abstractmethod
    def moments(self, pictures: Tensor) -> Tensor:
        """What the autoencoder sees in pictures [N, 3, height, width] in [-1, 1].

        Args:
            pictures: Of ``picture_dtype``.

        Returns:
            Mean and log-variance of the latents, [N, 2 channels, 1, rows, columns].
        """

    @abstractmethod
    def tokens(self, moments: Tensor, noise: Tensor) -> Tensor:
        """Tokens of frames, each a video of its own.

        Args:
            moments: Of :meth:`moments`.
            noise: [N, channels, 1, rows, columns] of the latents, float32.

        Returns:
            [N, rows, columns, dim] float32.
        """

    def forward(self, pictures: Tensor, noise: Tensor) -> Tensor:
        """Tokens of pictures."""
        return self.tokens(self.moments(pictures), noise)

    def normalised(self, moments: Tensor) -> Tensor:
        """Normalised posterior mean, float32."""
        mean = moments.chunk(2, dim=1)[0].float()
        return (mean - self.latents_mean) / self.latents_std

    def noisy(self, moments: Tensor, noise: Tensor) -> Tensor:
        """Normalised posterior mean with its share of noise, float32."""
        return torch.lerp(self.normalised(moments), noise, self.level.sigma)


class FastTower(Tower):
    """All frames at once, 2-D convolutions, folded blocks as far as the hooked one.

    Args:
        vae: Autoencoder; the weights of its encoder are copied.
        transformer: Transformer; the weights of its first blocks are copied.
        prompt: [L, text_dim].
        config: Settings, ``block`` counted from the first.

    Raises:
        PriorError: If the transformer is not one for text to video.
    """

    def __init__(
        self,
        vae: AutoencoderKLWan,
        transformer: WanTransformer3DModel,
        prompt: Tensor,
        config: WanPriorConfig,
    ) -> None:
        super().__init__(vae, config)
        self.encoder = frame_encoder(vae)
        self.transformer = FoldedTransformer(
            transformer, config.block + 1, prompt, config.text_length, self.level.timestep
        )

    @property
    def picture_dtype(self) -> torch.dtype:
        """Type of the encoder's weights."""
        return next(self.encoder.parameters()).dtype

    def moments(self, pictures: Tensor) -> Tensor:
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        moments: Tensor = self.encoder(pictures[:, :, None])
        return moments

    def tokens(self, moments: Tensor, noise: Tensor) -> Tensor:
        tokens: Tensor = self.transformer(self.noisy(moments, noise))
        return tokens[:, 0]


class ReferenceTower(Tower):
    """The official protocol on diffusers' modules as they are, for comparison.

    The autoencoder, of 3-D convolutions, takes one frame at a time, the transformer all frames as
    a batch; text is padded, and every block and the head run. The hooked block's output is taken
    by a hook and the rest thrown away. Source: ``wan_t2v_encoder.py`` of VEGA-3D.

    Args:
        vae: Autoencoder; used, not copied.
        transformer: Transformer with all its blocks; used, not copied.
        prompt: [L, text_dim].
        config: Settings, ``block`` counted from the first.
    """

    prompt: Tensor

    def __init__(
        self,
        vae: AutoencoderKLWan,
        transformer: WanTransformer3DModel,
        prompt: Tensor,
        config: WanPriorConfig,
    ) -> None:
        super().__init__(vae, config)
        self.vae, self.transformer = vae, transformer
        padded = nn.functional.pad(prompt, (0, 0, 0, config.text_length - len(prompt)))
        self.register_buffer("prompt", padded[None], persistent=False)
        self._hooked: Tensor
        transformer.blocks[config.block].register_forward_hook(self._keep)

    @property
    def picture_dtype(self) -> torch.dtype:
        """Type of the encoder's weights."""
        return cast("torch.dtype", self.vae.quant_conv.weight.dtype)

    def _keep(self, _block: nn.Module, _inputs: object, output: Tensor) -> None:
        self._hooked = output

    def moments(self, pictures: Tensor) -> Tensor:
        return torch.cat(
            [
                self.vae.encode(picture[:, :, None]).latent_dist.parameters
                for picture in torch.split(pictures, 1)
            ]
        )

    def tokens(self, moments: Tensor, noise: Tensor) -> Tensor:
        dtype = self.transformer.patch_embedding.weight.dtype
        patch = self.transformer.config.patch_size[1]
        grid = (noise.shape[3] // patch, noise.shape[4] // patch)
        latents = self.noisy(moments, noise).to(dtype)
        timestep = torch.full((len(latents),), self.level.timestep, device=noise.device)
        self.transformer(latents, timestep, self.prompt.to(dtype).expand(len(latents), -1, -1))
        return torch.unflatten(self._hooked, 1, grid).float()
