"""LLMDet, MM-GroundingDINO, GroundingDINO, OWLv2 and OmDet-Turbo: any text is looked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from vega3d_ros.core.json_io import JsonError, read_object
from vega3d_ros.models.detectors.base import Detection2D, DetectorError, check_images, clipped
from vega3d_ros.models.detectors.hub.grounding_dino import GroundingDino
from vega3d_ros.models.detectors.hub.omdet import OmDet
from vega3d_ros.models.detectors.hub.owl import Owl
from vega3d_ros.models.detectors.hub.prompts import phrase
from vega3d_ros.models.detectors.suppression import suppress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vega3d_ros.models.detectors.hub.family import AnyTextFamily

_FAMILIES: dict[str, type[AnyTextFamily]] = {
    "grounding-dino": GroundingDino,
    "mm-grounding-dino": GroundingDino,
    "owlv2": Owl,
    "omdet-turbo": OmDet,
}


class AnyTextDetector:
    """A network of AutoModelForZeroShotObjectDetection.

    Every text above the threshold is told, so one thing may come under several of the texts; what
    else is asked in the same call changes a score a little where texts share a prompt.

    Args:
        folder: In the layout of the Hugging Face hub, with weights as safetensors.
        threshold: Lowest score given; None: the default of the family's processor.
        device: Of torch.

    Raises:
        DetectorError: If it cannot be loaded.
    """

    def __init__(
        self, folder: str | Path, *, threshold: float | None = None, device: str = "cpu"
    ) -> None:
        folder = Path(folder)
        try:
            kind = str(read_object(folder / "config.json").get("model_type"))
        except JsonError as error:
            raise DetectorError(str(error)) from error
        if kind not in _FAMILIES:
            msg = f"{folder / 'config.json'}: model_type {kind!r} is none of {sorted(_FAMILIES)}"
            raise DetectorError(msg)
        self._family = _FAMILIES[kind](folder, device)
        self._threshold = self._family.threshold if threshold is None else threshold

    @property
    def vocabulary(self) -> None:
        """None: any text is looked for."""
        return

    def known(self, text: str) -> str | None:
        """The text itself; None where it holds no word."""
        return text if any(c.isalnum() for c in phrase(text)) else None

    def detect(
        self, images: Sequence[NDArray[np.uint8]], texts: Sequence[str]
    ) -> list[list[Detection2D]]:
        """See ``Detector.detect``."""
        check_images(images)
        asked = [text for text in dict.fromkeys(texts) if self.known(text) is not None]
        if not asked:
            return [[] for _ in images]
        return [self._detect(image, asked) for image in images]

    @torch.inference_mode()
    def _detect(self, image: NDArray[np.uint8], texts: Sequence[str]) -> list[Detection2D]:
        height, width = image.shape[:2]
        boxes, scores = self._family.look(image, [phrase(text) for text in texts])
        kept = suppress(
            boxes.double().cpu().numpy(),
            np.nan_to_num(scores.float().cpu().numpy()),
            self._threshold,
            self._family.overlap,
        )
        return [
            Detection2D(inside, score, texts[index])
            for box, score, index in kept
            if (inside := clipped(box, width, height)) is not None
        ]
