"""What the networks that look for any text share: their loading, and what is asked of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from vega3d_ros.models.detectors.hub.folder import (
    load_image_processor,
    load_network,
    load_tokenizer,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray


class AnyTextFamily(ABC):
    """One kind of network of AutoModelForZeroShotObjectDetection.

    Args:
        folder: Of the network, its image processor and its tokenizer.
        device: Of torch.

    Attributes:
        threshold: Lowest score given, where none is asked for: its processor's default.
        overlap: IoU above which a lower score of the same text goes; 1: none does.
    """

    threshold: ClassVar[float]
    overlap: ClassVar[float]

    def __init__(self, folder: Path, device: str) -> None:
        self._processor = load_image_processor(folder)
        self._tokenizer = load_tokenizer(folder)
        self.network = load_network(folder, "AutoModelForZeroShotObjectDetection", device)
        self._device = device

    @abstractmethod
    def look(
        self, image: NDArray[np.uint8], texts: Sequence[str]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Boxes [n, 4] (x0, y0, x1, y1) in pixels of the image; scores [n, texts]."""
