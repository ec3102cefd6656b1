"""Depth that came with the frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.models.depth.base import DepthImage

if TYPE_CHECKING:
    from vega3d_ros.core.frames import Frame


class SensorDepth:
    """The depth sensor's; none where the sensor saw nothing."""

    def depth(self, frame: Frame) -> DepthImage | None:
        """See ``DepthSource``."""
        metres = frame.depth_m
        if metres is None:
            return None
        known = np.isfinite(metres) & (metres > 0)
        if not known.any():
            return None
        if not known.all():
            metres = np.where(known, metres, np.float32(np.nan))
        return DepthImage(metres, "depth")
