"""Priors that are one network without noise, which sees each frame alone."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch

from vega3d_ros.models.priors.base import Prior, PriorError
from vega3d_ros.models.priors.images import check_images, fit_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from vega3d_ros.models.priors.base import PriorConfig


class FrameNetwork(Prior):
    """What these priors share; a family says how pictures become tokens."""

    @abstractmethod
    def tokens(self, pictures: Tensor) -> Tensor:
        """Tokens [N, rows, columns, dim] of pictures [N, 3, height, width] in [0, 1], float32."""

    @torch.inference_mode(mode=False)
    @torch.no_grad()
    def encode(
        self, images: Tensor, stamps_ns: Sequence[int], *, noise: Tensor | None = None
    ) -> Tensor:
        """Tokens of frames; stamps and ``frames_at_once`` change nothing about them."""
        check_images(images, stamps_ns)
        if noise is not None:
            msg = f"a prior of type {self.config.type!r} takes no noise; leave it out"
            raise PriorError(msg)
        config = self.config
        device = next(self.parameters()).device
        found = []
        for part in torch.split(images, self.frames_at_once):
            given = part.to(device, torch.float32)
            pictures = fit_images(given, config.width, config.height, config.align)
            found.append(self.tokens(pictures).float())
        return torch.cat(found)

    def fit_grid(self, cell: int) -> tuple[int, int]:
        """Rows and columns of tokens of ``cell`` pixels.

        Raises:
            PriorError: If the working size holds no whole number of them.
        """
        config = self.config
        if config.width % cell or config.height % cell:
            msg = f"prior size {config.width}x{config.height} must be a multiple of {cell}"
            raise PriorError(msg)
        return config.height // cell, config.width // cell


def picture_bytes(config: PriorConfig) -> int:
    """Bytes of a frame as it is given, at the working size, normalised, and in the weights' type.

    Frames larger than the working size are not counted; they belong to the caller.
    """
    return 4 * 3 * config.width * config.height * torch.float32.itemsize
