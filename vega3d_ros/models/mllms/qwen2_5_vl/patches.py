"""Images to the patch rows that Qwen2.5-VL's vision tower takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import Qwen2_5_VLVisionConfig

# Qwen2.5-VL normalises with CLIP's statistics (its preprocessor_config.json).
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def resize(images: Tensor, width: int, height: int) -> Tensor:
    """Resize images [N, 3, H, W] in [0, 1], the whole frame, anti-aliased; still in [0, 1]."""
    if images.shape[-2:] == (height, width):
        return images
    resized = functional.interpolate(
        images, size=(height, width), mode="bilinear", align_corners=False, antialias=True
    )
    return resized.clamp(0, 1)


def patchify(images: Tensor, config: Qwen2_5_VLVisionConfig) -> tuple[Tensor, Tensor]:
    """What ``Qwen2VLImageProcessor`` makes of images that need no resize, all at once.

    Args:
        images: [N, 3, H, W] in [0, 1]; H and W multiples of patch size times merge size.
        config: The vision tower's configuration.

    Returns:
        Patches [N * h * w, 3 * temporal * patch * patch] in the tower's order (merge groups
        together), and the grid (1, h, w) of each image, [N, 3].

    Raises:
        ValueError: If the size is not a multiple of patch times merge size.
    """
    patch, merge = int(config.patch_size), config.spatial_merge_size
    count, channels, height, width = images.shape
    if height % (patch * merge) or width % (patch * merge):
        msg = f"image size {width}x{height} must be a multiple of {patch * merge}"
        raise ValueError(msg)
    mean = images.new_tensor(MEAN).view(1, 3, 1, 1)
    std = images.new_tensor(STD).view(1, 3, 1, 1)
    h, w = height // patch, width // patch
    x = ((images - mean) / std).view(
        count, channels, h // merge, merge, patch, w // merge, merge, patch
    )
    x = x.permute(0, 2, 5, 3, 6, 1, 4, 7).reshape(count * h * w, channels, 1, patch * patch)
    # A still image stands for every frame of the temporal patch.
    x = x.expand(-1, -1, int(config.temporal_patch_size), -1)
    grid = torch.tensor([[1, h, w]], device=images.device).expand(count, -1)
    return x.reshape(count * h * w, -1), grid
