"""2D detectors: names or texts to boxes in images."""

from vega3d_ros.models.detectors.base import Detection2D, Detector, DetectorError

__all__ = ["Detection2D", "Detector", "DetectorError"]
