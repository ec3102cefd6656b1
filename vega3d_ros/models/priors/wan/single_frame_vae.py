"""Wan's causal video autoencoder on single frames, as plain 2-D convolutions.

With one frame, every causal 3-D convolution sees zeros in all temporal taps but the last, and the
temporal resampling of Wan's autoencoder skips its first frame. Keeping only the last tap is
therefore exact, and needs about a third of the arithmetic.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, TypeVar

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d, WanRMS_norm
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan
    from torch import Tensor

_Module = TypeVar("_Module", bound=nn.Module)


class LastTapConv2d(nn.Conv2d):
    """The last temporal tap of a :class:`WanCausalConv3d`, on [N, C, 1, H, W]."""

    def __init__(self, conv: WanCausalConv3d) -> None:
        # WanCausalConv3d keeps its padding for F.pad: (left, right, top, bottom, front, back).
        left, _, top, *_ = conv._padding  # noqa: SLF001
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size[1:],
            conv.stride[1:],
            (top, left),
            device="meta",  # nothing is drawn at random for weights that are replaced at once
        )
        self.weight = nn.Parameter(conv.weight.detach()[:, :, -1].clone())
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, 1, H, W] -> [N, C', 1, H', W']."""
        return super().forward(x.squeeze(2)).unsqueeze(2)


def single_frame(module: _Module) -> _Module:
    """A copy of a Wan encoder, decoder or 1x1x1 projection that takes one frame, [N, C, 1, H, W].

    Call the copy without feature cache. Exact for the first (and only) frame of a video.
    """
    if isinstance(module, WanCausalConv3d):
        return LastTapConv2d(module)  # type: ignore[return-value]
    copied = deepcopy(module)
    for parent in list(copied.modules()):
        for name, child in parent.named_children():
            if isinstance(child, WanCausalConv3d):
                setattr(parent, name, LastTapConv2d(child))
    return copied


class ChannelsLastNorm(nn.Module):
    """A :class:`WanRMS_norm` of a picture whose channels lie together in memory.

    Args:
        norm: The norm; its weight is copied.
    """

    # F.normalize's guard of 1e-12 on the length is far below what float32 can tell apart here.
    EPS = 1e-24

    def __init__(self, norm: WanRMS_norm) -> None:
        super().__init__()
        self.weight = nn.Parameter(norm.gamma.detach().flatten().clone())

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, ...] -> the same shape."""
        last = x.movedim(1, -1)
        return functional.rms_norm(last, last.shape[-1:], self.weight, self.EPS).movedim(-1, 1)


def frame_encoder(vae: AutoencoderKLWan) -> nn.Sequential:
    """A copy of an autoencoder's encoder for inference on frames: moments of [N, 3, 1, H, W].

    Weights and activations are channels-last.
    """
    encoder = nn.Sequential(single_frame(vae.encoder), single_frame(vae.quant_conv))
    for parent in list(encoder.modules()):
        for name, child in parent.named_children():
            if isinstance(child, WanRMS_norm):
                setattr(parent, name, ChannelsLastNorm(child))
    for parameter in encoder.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return encoder


@torch.no_grad()
def write_back(frame_module: nn.Module, module: nn.Module) -> None:
    """Copy a trained single-frame copy into the module it was made from.

    The temporal taps that single frames never reach become zero, so that the module treats a clip
    frame by frame.
    """
    trained = dict(frame_module.named_parameters())
    causal = dict(module.named_modules())
    for name, parameter in module.named_parameters():
        owner = causal[name.rpartition(".")[0]]
        if isinstance(owner, WanCausalConv3d) and name.endswith("weight"):
            parameter.zero_()
            if name in trained:
                parameter[:, :, -1] = trained[name]
        elif name in trained:
            parameter.copy_(trained[name])
