"""The Wan text-to-video model as a prior: latents, a little noise, part of one denoising pass.

Follows the official ``wan_t2v_encoder.py``: posterior mean of the autoencoder, normalised; one
noise level; a fixed prompt; the residual stream after one chosen block. What the official code
runs after that block is neither loaded nor run here, and what it runs before is run in the form of
:mod:`vega3d_ros.models.priors.wan.constant_folding`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from diffusers import WanTransformer3DModel

from vega3d_ros.models.priors.base import Prior, PriorConfig, PriorError
from vega3d_ros.models.priors.files import load_config, read_tensors
from vega3d_ros.models.priors.images import check_images, fit_images
from vega3d_ros.models.priors.wan.acceleration import StaticTower
from vega3d_ros.models.priors.wan.config import WanPriorConfig
from vega3d_ros.models.priors.wan.feature_extractor import FastTower, ReferenceTower
from vega3d_ros.models.priors.wan.files import (
    block_index,
    drop_decoder,
    fill,
    load_transformer,
    load_vae_encoder,
    save_networks,
)
from vega3d_ros.models.priors.wan.memory import folder_sizes
from vega3d_ros.models.priors.wan.noise import frame_noise

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from diffusers import AutoencoderKLWan
    from torch import Tensor

    from vega3d_ros.models.priors.base import Acceleration

# AutoencoderKLWan encodes 1 + 4 k frames and silently leaves out a remainder.
_VAE_CHUNK = 4


class WanPrior(Prior):
    """Wan features of frames.

    In "frames" mode each frame is a video of its own, so that its tokens depend on nothing but the
    frame, its stamp and the settings, and may be cached per keyframe. In "clip" mode the frames of
    one call are one video and attend to each other. Where the autoencoder reduces time, the
    latents of the clip (padded by repeating its last frame to the 4 k + 1 frames that the
    autoencoder takes) are fewer than its frames; latent 0 stands for frame 0, latent j for frames
    f (j-1) + 1 ... f j with f the reduction, and the tokens of a frame are interpolated linearly
    in time between the latents' centres.

    The networks are copied into the form that runs. ``vae`` and ``transformer`` stay as they are,
    on the device where they are, to be saved; :meth:`forget_sources` frees them.

    Args:
        vae: The autoencoder; its decoder is never used and may be None.
        transformer: The diffusion transformer. Blocks after the hooked one are taken out of it.
        prompt: [L, text_dim] prompt embedding, L <= ``config.text_length``.
        config: Settings; ``self.config`` holds them with ``block`` counted from the first.
        reference: Run the official protocol on diffusers' modules instead, with all blocks, to
            compare with; "frames" mode only. ``frames_at_once`` frames are its batch.

    Raises:
        PriorError: If the settings do not fit the modules.
    """

    Config = WanPriorConfig
    files = ("transformer/config.json", "vae/config.json", "prompt.safetensors")
    config: WanPriorConfig
    prompt: Tensor

    def __init__(
        self,
        vae: AutoencoderKLWan,
        transformer: WanTransformer3DModel,
        prompt: Tensor,
        config: WanPriorConfig,
        *,
        reference: bool = False,
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
        if reference and config.mode != "frames":
            msg = "the reference encodes each frame alone; use it with prior mode 'frames'"
            raise PriorError(msg)
        self.config = replace(config, block=block)
        self.dim = int(transformer.patch_embedding.out_channels)
        self.grid = (config.height // stride, config.width // stride)
        self.scope = "clip" if config.mode == "clip" else "frame"
        self._latents = (int(vae.config.z_dim), int(vae.spatial_compression_ratio))
        self._static: StaticTower | None = None
        drop_decoder(vae)
        self._sources: tuple[AutoencoderKLWan, WanTransformer3DModel] | None = (vae, transformer)
        self.register_buffer("prompt", prompt.detach().clone(), persistent=False)
        self.tower: FastTower | ReferenceTower
        if reference:
            self.tower = ReferenceTower(vae, transformer, prompt, self.config)
        else:
            del transformer.blocks[block + 1 :]
            self.tower = FastTower(vae, transformer, prompt, self.config)
        if config.mode == "clip":
            self.clip_vae = vae
        self.freeze()

    @property
    def vae(self) -> AutoencoderKLWan:
        """The autoencoder as loaded, without decoder."""
        return self._source()[0]

    @property
    def transformer(self) -> WanTransformer3DModel:
        """The transformer as loaded."""
        return self._source()[1]

    def _source(self) -> tuple[AutoencoderKLWan, WanTransformer3DModel]:
        if self._sources is None:
            msg = "the prior was loaded for inference only; load it anew to save or change it"
            raise PriorError(msg)
        return self._sources

    def forget_sources(self) -> None:
        """Free diffusers' modules, of which copies run."""
        self._sources = None

    def accelerate(self, how: Acceleration) -> None:
        """Compile the networks or capture them as CUDA graphs, for ``frames_at_once`` and for one.

        Call it once, on the device where the prior stays. Returns when everything is compiled;
        nothing is compiled afterwards.

        Args:
            how: See :data:`vega3d_ros.models.priors.base.Acceleration`.

        Raises:
            PriorError: If it is not possible here.
        """
        if self.config.mode != "frames":
            msg = "a prior in mode 'clip' has no fixed shapes; set acceleration none"
            raise PriorError(msg)
        channels, ratio = self._latents
        height, width = self.config.height, self.config.width
        self._static = StaticTower(
            self.tower,
            how,
            sorted({1, self.frames_at_once}),
            picture=(3, height, width),
            latent=(channels, 1, height // ratio, width // ratio),
            device=self.prompt.device,
        )

    @torch.inference_mode(mode=False)
    @torch.no_grad()
    def encode(
        self, images: Tensor, stamps_ns: Sequence[int], *, noise: Tensor | None = None
    ) -> Tensor:
        """Tokens of frames.

        Args:
            images: [N, 3, H, W] float RGB in [0, 1], any device.
            stamps_ns: Acquisition time of each frame.
            noise: [N, channels, rows, cols] of the latents (or with their time, [N, channels, 1,
                rows, cols]), instead of the noise that seed and stamps give; in "clip" mode N is
                the number of latents in time.

        Returns:
            [N, rows, cols, dim] float32 on the prior's device.

        Raises:
            PriorError: If images, stamps or noise do not fit.
        """
        check_images(images, stamps_ns)
        if noise is not None and noise.ndim == 5:
            noise = noise.squeeze(2)
        if self.config.mode == "clip":
            return self._encode_clip(images, stamps_ns, noise)
        channels, ratio = self._latents
        shape = (channels, 1, self.config.height // ratio, self.config.width // ratio)
        self._check_noise(noise, len(images), shape)
        run = self._static or self.tower
        tokens = []
        for part in self._batches(len(images)):
            # A GPU works on the moments while the CPU draws the noise.
            moments = run.moments(self._pictures(images[part]))
            given = None if noise is None else noise[part]
            tokens.append(run.tokens(moments, self._noise(given, shape, stamps_ns[part])))
        return tokens[0] if len(tokens) == 1 else torch.cat(tokens)

    def _batches(self, count: int) -> Iterator[slice]:
        """Parts of the frames that are encoded together."""
        start = 0
        while start < count:
            step = min(self.frames_at_once, count - start)
            if self._static is not None and step not in self._static.sizes:
                step = 1  # fixed shapes: what does not fill a batch goes one by one
            yield slice(start, start + step)
            start += step

    def _encode_clip(
        self, images: Tensor, stamps_ns: Sequence[int], noise: Tensor | None
    ) -> Tensor:
        count = len(images)
        video = self._pictures(images).transpose(0, 1)[None]  # [1, 3, T, H, W]
        missing = -(count - 1) % _VAE_CHUNK
        video = torch.cat([video, video[:, :, -1:].expand(-1, -1, missing, -1, -1)], dim=2)
        moments = self.clip_vae.encode(video).latent_dist.parameters
        factor = 2 ** sum(self.clip_vae.temperal_downsample)
        steps = 1 + -(-(count - 1) // factor)
        moments = moments[:, :, :steps]
        # A latent's noise belongs to the last frame it stands for.
        stamps = [stamps_ns[min(factor * step, count - 1)] for step in range(steps)]
        shape = (self._latents[0], 1, *moments.shape[3:])
        self._check_noise(noise, steps, shape)
        eps = self._noise(noise, shape, stamps).squeeze(2).transpose(0, 1)[None]
        tower = self.tower
        assert isinstance(tower, FastTower)
        tokens: Tensor = tower.transformer(tower.noisy(moments, eps))[0]
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
        images = images.to(self.prompt.device, torch.float32)
        config = self.config
        fitted = fit_images(images, config.width, config.height, config.align)
        return (fitted * 2 - 1).to(self.tower.picture_dtype)

    def _check_noise(self, noise: Tensor | None, count: int, shape: Sequence[int]) -> None:
        expected = [count, shape[0], *shape[2:]]
        if noise is not None and list(noise.shape) != expected:
            size = f"{self.config.width}x{self.config.height}"
            msg = (
                f"noise must be {expected} at a working size of {size}, not {list(noise.shape)}; "
                "set the prior's width and height"
            )
            raise PriorError(msg)

    def _noise(
        self, noise: Tensor | None, shape: Sequence[int], stamps_ns: Sequence[int]
    ) -> Tensor:
        """Noise [N, channels, 1, rows, cols] on the prior's device."""
        if noise is None:
            noise = frame_noise(shape, self.config.seed, stamps_ns)
            if self.prompt.is_cuda:  # from pinned memory the copy does not wait for the GPU
                noise = noise.pin_memory()
        else:
            noise = noise[:, :, None]
        return noise.to(self.prompt.device, torch.float32, non_blocking=True)

    def save(self, folder: Path, dtype: torch.dtype | None = None) -> None:
        """Write ``transformer/``, ``vae/`` (encoder), ``prompt.safetensors`` and ``prior.json``.

        Raises:
            PriorError: After :meth:`forget_sources`.
        """
        save_networks(folder, self.vae, self.transformer, self.prompt, self.config, dtype)

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        config: PriorConfig | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        reference: bool = False,
    ) -> Self:
        """Read a folder of :meth:`save`, as far as the hooked block needs it.

        diffusers keeps norms and modulation in float32 whatever ``dtype`` is. The reference runs
        what it throws away, and costs that where the folder has the blocks after the hooked one.
        """
        config = load_config(folder, WanPriorConfig, config)
        vae = load_vae_encoder(folder / "vae", dtype)
        prompt = read_tensors(folder / "prompt.safetensors", "prompt".__eq__).get("prompt")
        if prompt is None:
            msg = f"{folder / 'prompt.safetensors'} has no tensor 'prompt'"
            raise PriorError(msg)
        last = -1 if reference else config.block
        transformer = load_transformer(folder / "transformer", last, dtype)
        return cls(vae, transformer, prompt.float(), config, reference=reference)

    @classmethod
    def memory(
        cls, folder: Path, config: PriorConfig, dtype: torch.dtype, frames_at_once: int
    ) -> Mapping[str, int]:
        """See :class:`vega3d_ros.models.priors.wan.memory.WanSizes`."""
        config = load_config(folder, WanPriorConfig, config)
        return folder_sizes(folder, config).memory(config, dtype, frames_at_once)

    def randomised(self, seed: int) -> Self:
        """The same prior with an untrained transformer."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            transformer = WanTransformer3DModel.from_config(self.transformer.config)
        fill(transformer, transformer.state_dict(), self.transformer.patch_embedding.weight.dtype)
        other = type(self)(self.vae, transformer, self.prompt.cpu(), self.config)
        return other.to(self.prompt.device)
