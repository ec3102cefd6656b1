"""The Wan text-to-video model as a prior: latents, a little noise, part of one denoising pass.

Follows the official ``wan_t2v_encoder.py`` on diffusers' own modules: posterior mean of the
autoencoder, normalised; one noise level; a fixed prompt; the residual stream after one chosen
block. What the official code runs after that block is neither loaded nor run here.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from diffusers import WanTransformer3DModel
from torch import nn

from vega3d_ros.prior.base import PriorConfig, PriorError
from vega3d_ros.prior.images import check_images, fit_images
from vega3d_ros.prior.noise import frame_noise, noise_level
from vega3d_ros.prior.single_frame_vae import single_frame
from vega3d_ros.prior.wan_files import (
    block_index,
    drop_decoder,
    fill,
    load_config,
    load_transformer,
    load_vae_encoder,
    read_tensors,
    save_config,
    save_prompt,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffusers import AutoencoderKLWan
    from torch import Tensor

# AutoencoderKLWan encodes 1 + 4 k frames and silently leaves out a remainder.
_VAE_CHUNK = 4


class WanPrior(nn.Module):
    """Wan features of frames; implements :class:`vega3d_ros.prior.base.Prior`.

    In "frames" mode each frame is a video of its own, so that its tokens depend on nothing but the
    frame, its stamp and the settings, and may be cached per keyframe. In "clip" mode the frames of
    one call are one video and attend to each other. Where the autoencoder reduces time, the
    latents of the clip (padded by repeating its last frame to the 4 k + 1 frames that the
    autoencoder takes) are fewer than its frames; latent 0 stands for frame 0, latent j for frames
    f (j-1) + 1 ... f j with f the reduction, and the tokens of a frame are interpolated linearly
    in time between the latents' centres.

    Args:
        vae: The autoencoder; its decoder is never used and may be None.
        transformer: The diffusion transformer. Blocks after the hooked one are taken out of it.
        prompt: [L, text_dim] prompt embedding, L <= ``config.text_length``.
        config: Settings; ``self.config`` holds them with ``block`` counted from the first.

    Raises:
        PriorError: If the settings do not fit the modules.
    """

    latents_mean: Tensor
    latents_std: Tensor
    prompt: Tensor

    def __init__(
        self,
        vae: AutoencoderKLWan,
        transformer: WanTransformer3DModel,
        prompt: Tensor,
        config: PriorConfig,
    ) -> None:
        super().__init__()
        block = block_index(config.block, len(transformer.blocks))
        text_dim = transformer.condition_embedder.text_embedder.linear_1.in_features
        if prompt.ndim != 2 or prompt.shape[1] != text_dim or len(prompt) > config.text_length:
            msg = (
                f"the prompt embedding must be [<= {config.text_length}, {text_dim}], "
                f"not {list(prompt.shape)}; is it from this model's text encoder?"
            )
            raise PriorError(msg)
        stride = int(vae.spatial_compression_ratio) * int(transformer.config.patch_size[1])
        if config.width % stride or config.height % stride:
            msg = f"prior size {config.width}x{config.height} must be a multiple of {stride}"
            raise PriorError(msg)
        del transformer.blocks[block + 1 :]
        self.config = replace(config, block=block)
        self.vae = drop_decoder(vae)
        self.transformer = transformer
        self.frame_encoder = nn.Sequential(single_frame(vae.encoder), single_frame(vae.quant_conv))
        for name in ("latents_mean", "latents_std"):
            value = torch.tensor(vae.config[name]).view(1, -1, 1, 1, 1)
            self.register_buffer(name, value, persistent=False)
        self.register_buffer("prompt", prompt.detach().clone(), persistent=False)
        self.eval().requires_grad_(requires_grad=False)

    @property
    def dim(self) -> int:
        """Channels of a token."""
        return int(self.transformer.patch_embedding.out_channels)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens."""
        stride = self.vae.spatial_compression_ratio * self.transformer.config.patch_size[1]
        return self.config.height // stride, self.config.width // stride

    @torch.no_grad()
    def encode(
        self, images: Tensor, stamps_ns: Sequence[int], *, noise: Tensor | None = None
    ) -> Tensor:
        """Tokens of frames.

        Args:
            images: [N, 3, H, W] float RGB in [0, 1], any device.
            stamps_ns: Acquisition time of each frame.
            noise: [N, channels, rows, cols] of the latents, instead of the noise that seed and
                stamps give; in "clip" mode N is the number of latents in time.

        Returns:
            [N, rows, cols, dim] float32 on the prior's device.

        Raises:
            PriorError: If images, stamps or noise do not fit.
        """
        check_images(images, stamps_ns)
        if self.config.mode == "frames":
            video = self._pictures(images)[:, :, None]
            latents = self._normalised(self.frame_encoder(video))
            tokens = self._tokens(latents, self._noise(noise, latents.shape[1:], stamps_ns))
            return tokens[:, 0]
        return self._encode_clip(images, stamps_ns, noise)

    def _encode_clip(
        self, images: Tensor, stamps_ns: Sequence[int], noise: Tensor | None
    ) -> Tensor:
        count = len(images)
        video = self._pictures(images).transpose(0, 1)[None]  # [1, 3, T, H, W]
        missing = -(count - 1) % _VAE_CHUNK
        video = torch.cat([video, video[:, :, -1:].expand(-1, -1, missing, -1, -1)], dim=2)
        latents = self._normalised(self.vae.encode(video).latent_dist.parameters)
        factor = 2 ** sum(self.vae.temperal_downsample)
        steps = 1 + -(-(count - 1) // factor)
        latents = latents[:, :, :steps]
        # A latent's noise belongs to the last frame it stands for.
        stamps = [stamps_ns[min(factor * step, count - 1)] for step in range(steps)]
        shape = (latents.shape[1], 1, *latents.shape[3:])
        eps = self._noise(noise, shape, stamps).squeeze(2).transpose(0, 1)[None]
        tokens = self._tokens(latents, eps)[0]
        if factor == 1:
            return tokens
        centres = [max(0.0, factor * step - (factor - 1) / 2) for step in range(steps)]
        where = torch.from_numpy(np.interp(np.arange(count), centres, np.arange(steps)))
        lower = where.floor().long()
        upper = (lower + 1).clamp(max=steps - 1)
        share = (where - lower).to(tokens)[:, None, None, None]
        return torch.lerp(tokens[lower], tokens[upper], share)

    def _pictures(self, images: Tensor) -> Tensor:
        """Frames [N, 3, height, width] in [-1, 1] at the working size, in the encoder's dtype."""
        weight = self.vae.quant_conv.weight
        images = images.to(weight.device, torch.float32)
        config = self.config
        fitted = fit_images(images, config.width, config.height, config.align)
        return (fitted * 2 - 1).to(weight.dtype)

    def _normalised(self, moments: Tensor) -> Tensor:
        """Normalised posterior mean [N, channels, T, rows, cols], float32."""
        mean = moments.chunk(2, dim=1)[0].float()
        return (mean - self.latents_mean.float()) / self.latents_std.float()

    def _noise(
        self, noise: Tensor | None, shape: Sequence[int], stamps_ns: Sequence[int]
    ) -> Tensor:
        """Noise [N, channels, 1, rows, cols] on the prior's device."""
        if noise is None:
            noise = frame_noise(shape, self.config.seed, stamps_ns)
        else:
            expected = [len(stamps_ns), shape[0], *shape[2:]]
            if list(noise.shape) != expected:
                msg = f"noise must be {expected}, not {list(noise.shape)}"
                raise PriorError(msg)
            noise = noise[:, :, None]
        return noise.to(self.prompt.device, torch.float32)

    def _tokens(self, latents: Tensor, noise: Tensor) -> Tensor:
        """Hooked block's output [N, T, rows, cols, dim], float32, for normalised latents.

        ``WanTransformer3DModel.forward`` as far as the hooked block, without the head.
        """
        level = noise_level(self.config.timestep, self.config.shift)
        model = self.transformer
        dtype = model.patch_embedding.weight.dtype
        noisy = torch.lerp(latents, noise, level.sigma).to(dtype)
        hidden = model.patch_embedding(noisy)
        grid = hidden.shape[2:]
        hidden = hidden.flatten(2).transpose(1, 2).contiguous()
        padding = self.config.text_length - len(self.prompt)
        prompt = nn.functional.pad(self.prompt, (0, 0, 0, padding)).to(dtype)[None]
        timestep = torch.tensor([level.timestep], device=hidden.device)
        _, modulation, text, _ = model.condition_embedder(timestep, prompt)
        modulation = modulation.unflatten(1, (6, -1))
        text = text.expand(len(hidden), -1, -1)
        rotary = model.rope(noisy)
        for block in model.blocks:
            hidden = block(hidden, text, modulation, rotary)
        return cast("Tensor", hidden.unflatten(1, grid).float())

    def save_pretrained(self, folder: Path | str, dtype: torch.dtype | None = None) -> None:
        """Write ``transformer/``, ``vae/`` (encoder), ``prompt.safetensors`` and ``prior.json``.

        Args:
            folder: Created where missing.
            dtype: Of the weights on disk (see :func:`fill`); None keeps that in memory.
        """
        folder = Path(folder)
        self.transformer.register_to_config(num_layers=len(self.transformer.blocks))
        for name, model in (("transformer", self.transformer), ("vae", self.vae)):
            saved = model
            if dtype is not None:
                saved = deepcopy(model)
                fill(saved, saved.state_dict(), dtype)
            saved.save_pretrained(folder / name)
        save_prompt(self.prompt, folder)
        save_config(self.config, folder)

    @classmethod
    def from_pretrained(
        cls,
        folder: Path | str,
        config: PriorConfig | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> WanPrior:
        """Read a folder of :meth:`save_pretrained`, as far as the hooked block needs it.

        Args:
            folder: With ``transformer/`` and ``vae/`` in diffusers' layout and
                ``prompt.safetensors``.
            config: Settings instead of those in ``prior.json``.
            dtype: Of the weights; diffusers keeps norms and modulation in float32 whatever it is.
            device: Where they go.

        Raises:
            PriorError: If a file is missing or damaged, or does not fit the settings.
        """
        folder = Path(folder)
        config = config or load_config(folder)
        vae = load_vae_encoder(folder / "vae", dtype)
        prompt = read_tensors(folder / "prompt.safetensors", "prompt".__eq__).get("prompt")
        if prompt is None:
            msg = f"{folder / 'prompt.safetensors'} has no tensor 'prompt'"
            raise PriorError(msg)
        transformer = load_transformer(folder / "transformer", config.block, dtype)
        return cls(vae, transformer, prompt.float(), config).to(device)


def randomised(prior: WanPrior, seed: int) -> WanPrior:
    """The control that tells what pre-training is worth: the transformer untrained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformer = WanTransformer3DModel.from_config(prior.transformer.config)
    fill(transformer, transformer.state_dict(), prior.transformer.patch_embedding.weight.dtype)
    device = prior.prompt.device
    return WanPrior(prior.vae, transformer, prior.prompt.cpu(), prior.config).to(device)
