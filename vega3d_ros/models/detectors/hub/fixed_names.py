"""D-FINE, RT-DETRv2, RF-DETR, DEIMv2 and others of AutoModelForObjectDetection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from vega3d_ros.models.detectors.base import Detection2D, check_images, clipped
from vega3d_ros.models.detectors.hub.folder import (
    load_image_processor,
    load_network,
    pixel_inputs,
)
from vega3d_ros.models.detectors.vocabulary import match

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


class FixedNamesDetector:
    """A network whose names are those of its config's ``id2label``.

    Images run one by one, so that none is padded to another's size.

    Args:
        folder: In the layout of the Hugging Face hub, with weights as safetensors.
        threshold: Lowest score given. Half: the processors' own default.
        device: Of torch.

    Raises:
        DetectorError: If it cannot be loaded.
    """

    def __init__(self, folder: str | Path, *, threshold: float = 0.5, device: str = "cpu") -> None:
        folder = Path(folder)
        self._processor = load_image_processor(folder)
        self._network = load_network(folder, "AutoModelForObjectDetection", device)
        self._names = {int(i): str(name) for i, name in self._network.config.id2label.items()}
        self._threshold = threshold
        self._device = device

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The names of its classes."""
        return tuple(dict.fromkeys(name for name in self._names.values() if name != "N/A"))

    def known(self, text: str) -> str | None:
        """The name that answers a text; None where none does."""
        return match(text, self.vocabulary)

    def detect(
        self, images: Sequence[NDArray[np.uint8]], texts: Sequence[str] = ()
    ) -> list[list[Detection2D]]:
        """See ``Detector.detect``."""
        check_images(images)
        asked = {self.known(text) for text in texts} if texts else set(self.vocabulary)
        if asked <= {None}:
            return [[] for _ in images]
        return [[d for d in self._detect(image) if d.label in asked] for image in images]

    @torch.inference_mode()
    def _detect(self, image: NDArray[np.uint8]) -> list[Detection2D]:
        height, width = image.shape[:2]
        outputs = self._network(**pixel_inputs(self._processor, image, self._device))
        (found,) = self._processor.post_process_object_detection(
            outputs, threshold=self._threshold, target_sizes=[(height, width)]
        )
        rows = zip(found["boxes"], found["scores"], found["labels"], strict=True)
        detections = [
            Detection2D(inside, float(score), self._names.get(int(label), "N/A"))
            for box, score, label in rows
            if (inside := clipped(box.tolist(), width, height)) is not None
        ]
        return sorted(detections, key=lambda detection: -detection.score)
