"""Masks of detected boxes: SAM 2 and EdgeTAM, whose published weights need timm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from vega3d_ros.models.detectors.base import check_images
from vega3d_ros.models.detectors.hub.folder import load_network
from vega3d_ros.models.detectors.pixel_mask import PixelMask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vega3d_ros.models.detectors.base import Detection2D

_AT_ONCE = 16  # boxes; more would take memory in proportion


class BoxMasks:
    """Finds the pixels of the thing in each box, one mask a box.

    The processor of transformers needs torchvision; the same is done here: the image is stretched
    to the network's square, and its low masks are stretched back.

    Args:
        folder: In the layout of the Hugging Face hub, with weights as safetensors.
        device: Of torch.

    Raises:
        DetectorError: If it cannot be loaded.
    """

    def __init__(self, folder: str | Path, *, device: str = "cpu") -> None:
        self._network = load_network(Path(folder), "AutoModelForMaskGeneration", device)
        self._side = int(self._network.config.prompt_encoder_config.image_size)
        self._device = device

    @torch.inference_mode()
    def segment(
        self, image: NDArray[np.uint8], detections: Sequence[Detection2D]
    ) -> list[Detection2D]:
        """The detections with their masks, in the same order.

        Args:
            image: [H, W, 3] RGB.
            detections: Of this image.

        Raises:
            DetectorError: If the image is no [H, W, 3] uint8 array.
        """
        check_images([image])
        if not detections:
            return []
        boxes = np.array([detection.box for detection in detections], np.float32)
        embedded = self._network.get_image_embeddings(self._pixels(image))
        found = []
        for start in range(0, len(boxes), _AT_ONCE):
            masks = self._segment(embedded, boxes[start : start + _AT_ONCE], image.shape[:2])
            found += [PixelMask.of(mask) for mask in masks]
        return [
            replace(detection, mask=mask)
            for detection, mask in zip(detections, found, strict=True)
        ]

    def _segment(
        self,
        embedded: list[torch.Tensor],
        boxes: NDArray[np.float32],
        size: tuple[int, ...],
    ) -> NDArray[np.bool_]:
        """[boxes, H, W] of an image of that size."""
        height, width = size
        scale = np.array([self._side / width, self._side / height] * 2, np.float32)
        low = self._network(
            image_embeddings=embedded,
            input_boxes=torch.from_numpy((boxes * scale)[None]).to(self._device),
            multimask_output=False,
        ).pred_masks[0]
        full = torch.nn.functional.interpolate(
            low.float(), (height, width), mode="bilinear", align_corners=False
        )
        inside: NDArray[np.bool_] = (full[:, 0] > 0).cpu().numpy()
        return inside

    def _pixels(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """[1, 3, side, side]."""
        size = (self._side, self._side)
        square = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
        normalised = (square - np.array(IMAGENET_DEFAULT_MEAN)) / np.array(IMAGENET_DEFAULT_STD)
        pixels = torch.from_numpy(normalised.astype(np.float32)).permute(2, 0, 1)[None]
        return pixels.to(self._device)
