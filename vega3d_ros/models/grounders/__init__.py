"""Grounders: from texts to things with boxes in 3D."""

from vega3d_ros.models.grounders.base import Detection, Grounder, View

__all__ = ["Detection", "Grounder", "View"]
