"""Frames to tokens: what the vision tower sees, what the prior sees, and what becomes of both."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from vega3d_ros.perception.errors import PerceiverError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from vega3d_ros.core.frames import Frame
    from vega3d_ros.models.checkpoints.modules import Modules


class Encoded(NamedTuple):
    """Every stage of the tokens of frames.

    Attributes:
        semantic: [N, rows, columns, D], of the vision tower.
        generative: [N, r, c, C], of the prior on its own grid; None for a model without one.
        projected: [N, rows, columns, D], what the projector makes of them; None likewise.
        tokens: [N, rows, columns, D], fused.
        gate: [N, rows, columns], the generator's share; None for a fusion without a gate.
    """

    semantic: Tensor
    generative: Tensor | None
    projected: Tensor | None
    tokens: Tensor
    gate: Tensor | None


class FusedFrame(NamedTuple):
    """What is kept of a keyframe: tokens [rows, columns, D] and gate [rows, columns] (or None)."""

    tokens: Tensor
    gate: Tensor | None


class Patches(NamedTuple):
    """Frames as an image processor gives them, [rows of patches, pixels] and [N, 3]."""

    pixel_values: Tensor
    image_grid_thw: Tensor


@torch.inference_mode()
def encode(
    modules: Modules,
    images: Tensor,
    stamps_ns: Sequence[int],
    *,
    noise: Tensor | None = None,
    patches: Patches | None = None,
) -> Encoded:
    """All tokens of frames.

    Args:
        modules: The model.
        images: [N, 3, H, W] RGB in [0, 1].
        stamps_ns: Acquisition times; with the prior's seed they determine the noise.
        noise: [N, channels, rows, columns] for the prior's latents instead, or with their time,
            [N, channels, 1, rows, columns].
        patches: What the vision tower is shown instead of the images. The prior then sees the
            images as they are, without what the model does to prepare frames.
    """
    language = modules.language
    images = images.to(language.model.device)
    if patches is None:
        images = language.prepare(images)
        semantic = language.semantic_tokens(images)
    else:
        semantic = language.encode_patches(*(values.to(images.device) for values in patches))
    generative = None
    if modules.prior is not None:
        generative = modules.prior.encode(images, stamps_ns, noise=noise).to(semantic)
    projected = modules.fusion.projected(generative, *semantic.shape[1:3])
    tokens, gate = modules.fusion.fused(semantic, projected)
    return Encoded(semantic, generative, projected, tokens, gate)


def encode_frames(
    modules: Modules,
    frames: Sequence[Frame],
    *,
    noise: Tensor | None = None,
    patches: Patches | None = None,
) -> list[FusedFrame]:
    """What is kept of frames; see ``encode``.

    Raises:
        PerceiverError: If they are not of one size.
    """
    sizes = {frame.image.shape for frame in frames}
    if len(sizes) > 1:
        msg = f"the frames of a clip must have one size, not {sorted(sizes)}"
        raise PerceiverError(msg)
    images = torch.stack([torch.from_numpy(np.array(frame.image)) for frame in frames])
    images = images.to(modules.language.model.device).permute(0, 3, 1, 2)
    images = images if images.is_floating_point() else images.float() / 255
    stamps = [frame.stamp_ns for frame in frames]
    encoded = encode(modules, images, stamps, noise=noise, patches=patches)
    gates: Iterable[Tensor | None] = encoded.gate if encoded.gate is not None else repeat(None)
    return [FusedFrame(*one) for one in zip(encoded.tokens, gates, strict=False)]
