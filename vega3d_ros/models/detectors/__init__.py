"""2D detectors: names or texts to boxes in images."""

from __future__ import annotations

from vega3d_ros.models.detectors.base import Detection2D, Detector, DetectorError
from vega3d_ros.models.detectors.loading import DETECTORS, load_detector, with_masks

__all__ = ["DETECTORS", "Detection2D", "Detector", "DetectorError", "load_detector", "with_masks"]
