"""A detector of boxes whose detections get masks from a second network."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from vega3d_ros.models.detectors.color_names import color_shares

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from vega3d_ros.models.detectors.base import Detection2D, Detector


class Masks(Protocol):
    """Finds the pixels of what is in boxes."""

    def segment(
        self, image: NDArray[np.uint8], detections: Sequence[Detection2D]
    ) -> list[Detection2D]:
        """The detections of an image [H, W, 3] with their masks, in the same order."""


class MaskedDetector:
    """A detector with masks, and so with the colours of what it finds.

    Args:
        detector: Finds the boxes; names and texts are its own.
        masks: Finds the pixels in them.
    """

    def __init__(self, detector: Detector, masks: Masks) -> None:
        self.boxes = detector
        self.masks = masks

    @property
    def vocabulary(self) -> tuple[str, ...] | None:
        """See ``Detector.vocabulary``."""
        return self.boxes.vocabulary

    def known(self, text: str) -> str | None:
        """See ``Detector.known``."""
        return self.boxes.known(text)

    def detect(
        self, images: Sequence[NDArray[np.uint8]], texts: Sequence[str] = ()
    ) -> list[list[Detection2D]]:
        """See ``Detector.detect``."""
        found = self.boxes.detect(images, texts)
        return [
            [_colored(image, one) for one in self.masks.segment(image, detections)]
            for image, detections in zip(images, found, strict=True)
        ]


def _colored(image: NDArray[np.uint8], detection: Detection2D) -> Detection2D:
    if detection.mask is None:
        return detection
    return replace(detection, colors=color_shares(image[detection.mask.pixels()]))
