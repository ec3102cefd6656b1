"""An image inside the fixed input of a network, its aspect ratio kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Letterbox:
    """Where an image lies inside a network's input.

    Attributes:
        image: (height, width) of the image, pixels.
        input: (height, width) of the network's input, pixels.
        centered: The image in the middle; else in the upper left corner.
    """

    image: tuple[int, int]
    input: tuple[int, int]
    centered: bool

    @property
    def resized(self) -> tuple[int, int]:
        """(height, width) of the image inside the input, whole pixels."""
        scale = min(self.input[0] / self.image[0], self.input[1] / self.image[1])
        height, width = (max(1, round(side * scale)) for side in self.image)
        return height, width

    @property
    def offset(self) -> tuple[int, int]:
        """(top, left) of the image inside the input, pixels."""
        if not self.centered:
            return 0, 0
        (height, width), (rows, columns) = self.resized, self.input
        return (rows - height) // 2, (columns - width) // 2

    def put(self, image: NDArray[np.uint8], border: int) -> NDArray[np.uint8]:
        """The input [H, W, 3] that holds the image, ``border`` around it."""
        (height, width), (top, left) = self.resized, self.offset
        out = np.full((*self.input, 3), border, np.uint8)
        out[top : top + height, left : left + width] = cv2.resize(image, (width, height))
        return out

    def to_image(self, boxes: NDArray[np.float32]) -> NDArray[np.float64]:
        """Boxes [n, 4] (x0, y0, x1, y1) of the input in pixels of the image, not clipped."""
        (height, width), (top, left) = self.resized, self.offset
        offset = np.array([left, top, left, top], np.float64)
        x, y = self.image[1] / width, self.image[0] / height
        scaled: NDArray[np.float64] = (boxes - offset) * np.array([x, y, x, y])
        return scaled
