"""What every 2D detector takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vega3d_ros.core.errors import Vega3dError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from vega3d_ros.models.detectors.pixel_mask import PixelMask


class DetectorError(Vega3dError, ValueError):
    """A detector that cannot be loaded or asked; the message names the file and the remedy."""


@dataclass(frozen=True, eq=False)
class Detection2D:
    """One thing found in one image.

    Attributes:
        box: [x0, y0, x1, y1], pixels of the given image, between pixel edges: the whole image is
            [0, 0, width, height], and the pixel of column u and row v is inside where
            x0 <= u + 0.5 <= x1 and y0 <= v + 0.5 <= y1. Clipped to the image, never empty.
        score: In [0, 1]; comparable within one detector only.
        label: A name of the detector's vocabulary, or the text as asked where it has none.
        mask: The pixels of the thing; None from detectors of boxes.
        colors: Names of the thing's colours with their shares of the mask; empty without one.
    """

    box: tuple[float, float, float, float]
    score: float
    label: str
    mask: PixelMask | None = None
    colors: tuple[tuple[str, float], ...] = ()


class Detector(Protocol):
    """Finds things in images."""

    @property
    def vocabulary(self) -> tuple[str, ...] | None:
        """The names that it knows; None for a detector of any text."""

    def known(self, text: str) -> str | None:
        """The label under which detections answer a text; None where nothing can answer it."""

    def detect(
        self, images: Sequence[NDArray[np.uint8]], texts: Sequence[str]
    ) -> list[list[Detection2D]]:
        """Find things in each image.

        Args:
            images: [H, W, 3] RGB, of any sizes.
            texts: What to look for; those that are not ``known`` find nothing. Empty: the whole
                vocabulary, or nothing where there is none.

        Returns:
            Of each image, best score first.

        Raises:
            DetectorError: If an image is no [H, W, 3] uint8 array.
        """


def check_images(images: Sequence[NDArray[np.uint8]]) -> None:
    """Refuse what is no image.

    Raises:
        DetectorError: If an image is no [H, W, 3] uint8 array with pixels.
    """
    for image in images:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != "uint8" or 0 in image.shape:
            msg = f"an image must be [H, W, 3] uint8 RGB, not {list(image.shape)} {image.dtype}"
            raise DetectorError(msg)


def clipped(
    box: Sequence[float], width: int, height: int
) -> tuple[float, float, float, float] | None:
    """The part of [x0, y0, x1, y1] inside an image; None where nothing of it is."""
    x0, x1 = (min(max(float(x), 0.0), float(width)) for x in (box[0], box[2]))
    y0, y1 = (min(max(float(y), 0.0), float(height)) for y in (box[1], box[3]))
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None
