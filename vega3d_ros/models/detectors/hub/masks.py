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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vega3d_ros.models.detectors.base import Detection2D


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
        height, width = image.shape[:2]
        scale = np.array([self._side / width, self._side / height] * 2)
        boxes = np.array([detection.box for detection in detections]) * scale
        low = self._network(
            pixel_values=self._pixels(image),
            input_boxes=torch.tensor(boxes[None], dtype=torch.float32, device=self._device),
            multimask_output=False,
        ).pred_masks[0]
        full = torch.nn.functional.interpolate(
            low.float(), (height, width), mode="bilinear", align_corners=False
        )
        masks = (full[:, 0] > 0).cpu().numpy()
        return [
            replace(detection, mask=mask)
            for detection, mask in zip(detections, masks, strict=True)
        ]

    def _pixels(self, image: NDArray[np.uint8]) -> torch.Tensor:
        """[1, 3, side, side]."""
        size = (self._side, self._side)
        square = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
        normalised = (square - np.array(IMAGENET_DEFAULT_MEAN)) / np.array(IMAGENET_DEFAULT_STD)
        pixels = torch.from_numpy(normalised.astype(np.float32)).permute(2, 0, 1)[None]
        return pixels.to(self._device)
