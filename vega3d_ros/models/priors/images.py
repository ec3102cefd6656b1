"""Frames brought to the working size of a prior."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from vega3d_ros.models.priors.base import PriorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from vega3d_ros.models.priors.base import Align


def check_images(images: Tensor, stamps_ns: Sequence[int]) -> None:
    """Refuse what is not [N, 3, H, W] float in [0, 1] with one stamp per frame.

    The range is part of the contract and never guessed from the pixels.

    Raises:
        PriorError: Saying what was expected.
    """
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
        msg = f"images must be [N, 3, H, W], not {list(images.shape)}"
        raise PriorError(msg)
    if not images.is_floating_point():
        msg = f"images must be float in [0, 1], not {images.dtype}; divide bytes by 255"
        raise PriorError(msg)
    low, high = (float(value) for value in torch.aminmax(images))
    if not (low >= 0 and high <= 1):  # written so that NaN is refused too
        msg = f"images must lie in [0, 1], not [{low:.3g}, {high:.3g}]"
        raise PriorError(msg)
    if len(stamps_ns) != len(images):
        msg = f"{len(images)} images need {len(images)} stamps, not {len(stamps_ns)}"
        raise PriorError(msg)


def fit_images(images: Tensor, width: int, height: int, align: Align) -> Tensor:
    """Frames [N, 3, H, W] at the working size, [N, 3, height, width].

    "full" resizes the whole frame, anti-aliased. "official" scales it to cover the working size
    and cuts the centre out, as the official code does (``common.py`` of both branches: bilinear,
    no anti-aliasing).
    """
    if align == "full":
        return functional.interpolate(
            images, (height, width), mode="bilinear", align_corners=False, antialias=True
        ).clamp(0, 1)
    rows, cols = images.shape[2:]
    scale = max(height / rows, width / cols)
    covered = (max(round(rows * scale), height), max(round(cols * scale), width))
    images = functional.interpolate(images, covered, mode="bilinear", align_corners=False)
    top, left = (covered[0] - height) // 2, (covered[1] - width) // 2
    return images[:, :, top : top + height, left : left + width]
