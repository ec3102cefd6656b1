"""Masks that are exactly known: of each box the instance that fills most of it."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b

import numpy as np

from vega3d_ros.models.detectors.pixel_mask import PixelMask


class PlantedMasks:
    """Answers like SAM 2, for images whose instances were planted."""

    def __init__(self):
        self._instances = {}

    def plant(self, image, instance):
        """Plant the instances [H, W] of an image; 0 is none."""
        self._instances[_digest(image)] = instance

    def segment(self, image, detections):
        """See ``Masks.segment``."""
        instance = self._instances[_digest(image)]
        return [
            replace(one, mask=PixelMask.of(instance == _most(one, instance))) for one in detections
        ]


def _most(detection, instance):
    x0, y0, x1, y1 = np.round(detection.box).astype(int)
    counts = np.bincount(instance[y0:y1, x0:x1].ravel(), minlength=2)
    return 1 + int(counts[1:].argmax())


def _digest(image):
    return blake2b(np.ascontiguousarray(image).tobytes(), digest_size=16).digest()
