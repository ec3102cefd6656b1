"""Pixels of one thing, kept small: detections stay with their keyframes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class PixelMask:
    """Which pixels of an image show a thing, as bits of the rectangle that holds them.

    Attributes:
        shape: (height, width) of the image.
        corner: (row, column) of the rectangle's upper left pixel.
        size: (rows, columns) of the rectangle; (0, 0) where no pixel shows the thing.
        bits: [rows * columns / 8], row by row.
    """

    shape: tuple[int, int]
    corner: tuple[int, int]
    size: tuple[int, int]
    bits: NDArray[np.uint8]

    @classmethod
    def of(cls, pixels: NDArray[np.bool_]) -> PixelMask:
        """Of an image's pixels [H, W]."""
        height, width = pixels.shape
        rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
        if not len(rows):
            return cls((height, width), (0, 0), (0, 0), np.empty(0, np.uint8))
        part = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        corner, (down, across) = (int(rows[0]), int(columns[0])), part.shape
        return cls((height, width), corner, (down, across), np.packbits(part))

    def pixels(self) -> NDArray[np.bool_]:
        """[H, W] of the image."""
        (top, left), (down, across) = self.corner, self.size
        whole = np.zeros(self.shape, np.bool_)
        part = np.unpackbits(self.bits, count=down * across).astype(np.bool_)
        whole[top : top + down, left : left + across] = part.reshape(self.size)
        return whole
