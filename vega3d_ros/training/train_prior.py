"""Trains nano's prior: an autoencoder of frames, then a transformer by flow matching of latents.

Neither reads a label. Both see frames as one-frame videos, as the official code shows them to its
video model; the autoencoder is trained as its exact 2-D equivalent for single frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import WanAttentionBlock, WanResidualBlock
from torch import nn

from vega3d_ros.core.console import track
from vega3d_ros.core.json_io import write_json
from vega3d_ros.models.priors.images import fit_images
from vega3d_ros.models.priors.wan.config import (
    WanPriorConfig,  # noqa: TC001  (settings files are read by type)
)
from vega3d_ros.models.priors.wan.files import save_networks
from vega3d_ros.models.priors.wan.single_frame_vae import single_frame, write_back
from vega3d_ros.simulation.dataset import ClipDataset
from vega3d_ros.training.loop import Schedule, optimise
from vega3d_ros.training.nano_prior import (
    nano_prior_config,
    nano_prompt,
    nano_transformer,
    nano_vae,
)
from vega3d_ros.training.precision import mixed_precision
from vega3d_ros.training.samples import image_tensor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from diffusers import AutoencoderKLWan
    from torch import Tensor

_ENCODE_BATCH = 16
_START_LOG_VARIANCE = -6.0


@dataclass(frozen=True)
class PriorTrainingConfig:
    """Settings of both stages, explained in ``recipes/prior.yaml``."""

    data: str
    split: str = "train"
    vae: Schedule = field(default_factory=lambda: Schedule(1600, 2e-3, 50, 0.0, 60.0))
    vae_batch: int = 16
    crop: int = 64
    whole_frames: float = 0.2
    kl_weight: float = 1e-4
    flow: Schedule = field(default_factory=lambda: Schedule(3000, 1e-3, 100, 0.01, 60.0))
    flow_batch: int = 32
    flow_frames: int = 8000
    flow_shift: float = 1.0
    heldout_frames: int = 64
    prior: WanPriorConfig = field(default_factory=nano_prior_config)
    seed: int = 0
    device: str = "cpu"


def train_prior(config: PriorTrainingConfig, out: Path, *, resume: bool) -> Path:
    """Train autoencoder and transformer and write them for ``priors.load_prior``.

    ``out`` becomes the prior's folder; it also gets ``autoencoder/`` and ``flow/`` (checkpoint and
    log, from which ``resume`` continues) and ``report.json`` (figures on held-out frames).

    Raises:
        DatasetError: If there are no clips.
        TrainingError: If a loss diverges.
    """
    frames = FrameSource(ClipDataset(config.data, config.split), config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        vae, transformer = nano_vae(), nano_transformer()
        codec = FrameCodec(vae)
    codec.to(config.device)
    loss = CodecLoss(codec, frames, config)
    optimise("autoencoder", {"codec": codec}, loss, config.vae, out / "autoencoder", resume=resume)
    report = codec_report(codec, frames, config)

    latents = frame_latents(codec, frames, frames.first(config.flow_frames), config)
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    latents = (latents - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)
    transformer.to(config.device)
    learn = FlowLoss(transformer, latents, config)
    optimise("flow", {"transformer": transformer}, learn, config.flow, out / "flow", resume=resume)
    heldout = frame_latents(codec, frames, frames.heldout, config)
    heldout = (heldout - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)
    report |= flow_report(transformer, heldout, config)
    write_json(out / "report.json", report)

    codec.write_back(vae)
    vae.register_to_config(latents_mean=mean.tolist(), latents_std=std.tolist())
    save_networks(out, vae.cpu(), transformer.cpu().float(), nano_prompt(), config.prior)
    return out


class FrameSource:
    """Frames of a data set at the prior's working size, in [-1, 1]; the last are held out."""

    def __init__(self, clips: ClipDataset, config: PriorTrainingConfig) -> None:
        self.clips = clips
        self.config = config
        self.per_clip = len(clips[0].rgb)
        total = len(clips) * self.per_clip
        held = min(config.heldout_frames, total // 2)
        self.trained = total - held
        self.heldout = range(self.trained, total)

    def first(self, count: int) -> range:
        """At most ``count`` training frames, evenly spread."""
        return range(0, self.trained, -(-self.trained // count))

    def load(self, numbers: Sequence[int]) -> Tensor:
        """Frames [N, 3, height, width]."""
        images = []
        for number in numbers:
            clip, frame = divmod(int(number), self.per_clip)
            images.append(self.clips[clip].rgb[frame])
        prior = self.config.prior
        frames = image_tensor(np.stack(images), "cpu")
        return fit_images(frames, prior.width, prior.height, prior.align) * 2 - 1


class FrameCodec(nn.Module):
    """An autoencoder's exact 2-D equivalent for single frames, with weights that train fast.

    Residual branches start at zero and all other layers at a gain of one, so that the untrained
    network is close to linear: nano's was better than plain grey within 60 steps of 16 crops.
    """

    def __init__(self, vae: AutoencoderKLWan) -> None:
        super().__init__()
        self.z_dim = int(vae.config.z_dim)
        self.encoder = single_frame(vae.encoder)
        self.quant_conv = single_frame(vae.quant_conv)
        self.post_quant_conv = single_frame(vae.post_quant_conv)
        self.decoder = single_frame(vae.decoder)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, WanResidualBlock):
                nn.init.zeros_(module.conv2.weight)
            elif isinstance(module, WanAttentionBlock):
                nn.init.zeros_(module.proj.weight)
        with torch.no_grad():
            self.quant_conv.weight[self.z_dim :] *= 0.1
            self.quant_conv.bias[self.z_dim :] = _START_LOG_VARIANCE
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def moments(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance [N, z, h, w] of frames [N, 3, H, W] in [-1, 1]."""
        moments = self.quant_conv(self.encoder(images.unsqueeze(2))).squeeze(2)
        mean, log_variance = moments.chunk(2, dim=1)
        return mean, log_variance.clamp(-20, 10)

    def decode(self, latents: Tensor) -> Tensor:
        """Frames [N, 3, H, W] of latents [N, z, h, w]."""
        frames: Tensor = self.decoder(self.post_quant_conv(latents.unsqueeze(2)))
        return frames.squeeze(2)

    def write_back(self, vae: AutoencoderKLWan) -> None:
        """Copy the trained weights into the video autoencoder."""
        for name in ("encoder", "quant_conv", "post_quant_conv", "decoder"):
            write_back(getattr(self, name), getattr(vae, name))


class CodecLoss:
    """Reconstruction of random crops: L1 + 2 L2 + a little KL, with PSNR beside grey's."""

    def __init__(
        self, codec: FrameCodec, frames: FrameSource, config: PriorTrainingConfig
    ) -> None:
        self.codec, self.frames, self.config = codec, frames, config

    def __call__(self, step: int) -> dict[str, Tensor]:
        """Losses of a step; its number alone determines the frames."""
        config = self.config
        rng = np.random.default_rng([config.seed, 0, step])
        images = self._batch(rng, whole=step >= (1 - config.whole_frames) * config.vae.steps)
        images = images.to(config.device).contiguous(memory_format=torch.channels_last)
        with mixed_precision(config.device):
            mean, log_variance = self.codec.moments(images)
            eps = normal(rng, mean.shape).to(mean)
            decoded = self.codec.decode(mean + eps * (0.5 * log_variance).exp()).float()
        mean, log_variance = mean.float(), log_variance.float()
        error = decoded - images
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        loss = error.abs().mean() + 2 * error.square().mean() + config.kl_weight * kl
        return {
            "loss": loss,
            "kl": kl.detach(),
            "psnr": psnr(decoded.detach(), images),
            "psnr_grey": psnr(images.mean((2, 3), keepdim=True), images),
        }

    def _batch(self, rng: np.random.Generator, *, whole: bool) -> Tensor:
        config = self.config
        width, height, crop = config.prior.width, config.prior.height, config.crop
        count = config.vae_batch
        if whole:
            count = max(1, round(count * crop * crop / (width * height)))
        images = self.frames.load(rng.integers(self.frames.trained, size=count).tolist())
        flips = torch.from_numpy(rng.random(count) < 0.5).view(-1, 1, 1, 1)
        images = torch.where(flips, images.flip(3), images)
        if whole:
            return images
        tops = rng.integers(height - crop + 1, size=count)
        lefts = rng.integers(width - crop + 1, size=count)
        return torch.stack(
            [
                image[:, top : top + crop, left : left + crop]
                for image, top, left in zip(images, tops, lefts, strict=True)
            ]
        )


class FlowLoss:
    """Wan's flow-matching loss at a step: the velocity eps - z at a random noise level."""

    def __init__(
        self, transformer: nn.Module, latents: Tensor, config: PriorTrainingConfig
    ) -> None:
        self.transformer, self.latents, self.config = transformer, latents, config

    def __call__(self, step: int) -> dict[str, Tensor]:
        """Loss of a step; its number alone determines frames and noise."""
        config = self.config
        rng = np.random.default_rng([config.seed, 1, step])
        numbers = torch.from_numpy(rng.integers(len(self.latents), size=config.flow_batch))
        uniform = torch.from_numpy(rng.random(config.flow_batch)).float()
        sigma = config.flow_shift * uniform / (1 + (config.flow_shift - 1) * uniform)
        clean = self.latents[numbers]
        error = flow_error(self.transformer, clean, normal(rng, clean.shape), sigma, config)
        return {"loss": error.mean()}


def flow_error(
    transformer: nn.Module, clean: Tensor, eps: Tensor, sigma: Tensor, config: PriorTrainingConfig
) -> Tensor:
    """Squared error [N] of the predicted velocity for latents [N, C, h, w] at noise levels [N]."""
    clean, eps, sigma = (value.to(config.device) for value in (clean, eps, sigma))
    level = sigma.view(-1, 1, 1, 1)
    noisy = (1 - level) * clean + level * eps
    prompt = nano_prompt().to(config.device).expand(len(clean), -1, -1)
    with mixed_precision(config.device):
        velocity = transformer(noisy.unsqueeze(2), 1000 * sigma, prompt, return_dict=False)[0]
    error: Tensor = (velocity.squeeze(2).float() - (eps - clean)).square()
    return error.mean((1, 2, 3))


@torch.no_grad()
def frame_latents(
    codec: FrameCodec, frames: FrameSource, numbers: Sequence[int], config: PriorTrainingConfig
) -> Tensor:
    """Posterior means [N, z, h, w] of frames, float32 on the CPU."""
    batches = [numbers[i : i + _ENCODE_BATCH] for i in range(0, len(numbers), _ENCODE_BATCH)]
    latents = []
    for batch in track(batches, "latents", len(batches)) if len(batches) > 1 else batches:
        images = frames.load(batch).to(config.device, memory_format=torch.channels_last)
        with mixed_precision(config.device):
            latents.append(codec.moments(images)[0].float().cpu().contiguous())
    return torch.cat(latents)


@torch.no_grad()
def codec_report(
    codec: FrameCodec, frames: FrameSource, config: PriorTrainingConfig
) -> dict[str, float]:
    """Mean PSNR over held-out whole frames, beside that of each frame's mean colour."""
    latents = frame_latents(codec, frames, frames.heldout, config)
    predicted, grey = [], []
    for i, number in enumerate(frames.heldout):
        image = frames.load([number])
        with mixed_precision(config.device):
            decoded = codec.decode(latents[i : i + 1].to(config.device)).float().cpu()
        predicted.append(float(psnr(decoded, image)))
        grey.append(float(psnr(image.mean((2, 3), keepdim=True), image)))
    return {"psnr": float(np.mean(predicted)), "psnr_grey": float(np.mean(grey))}


@torch.no_grad()
def flow_report(
    transformer: nn.Module, latents: Tensor, config: PriorTrainingConfig
) -> dict[str, float]:
    """Velocity error on held-out latents by noise level; a prediction of 0 has about 2."""
    eps = normal(np.random.default_rng([config.seed, 2]), latents.shape)
    return {
        f"flow_{sigma}": float(
            flow_error(
                transformer, latents, eps, torch.full((len(latents),), sigma), config
            ).mean()
        )
        for sigma in (0.1, 0.3, 0.6, 0.9)
    }


def psnr(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean over images in [-1, 1] of their PSNR, dB."""
    error = ((predicted - target) / 2).square().mean((1, 2, 3)).clamp(min=1e-10)
    return -10 * error.log10().mean()


def normal(rng: np.random.Generator, shape: Sequence[int]) -> Tensor:
    """Standard normal numbers on the CPU, float32."""
    return torch.from_numpy(rng.standard_normal(tuple(shape), dtype=np.float32))
