"""The parameters of lifting, with the values that simulated rooms chose."""

from __future__ import annotations

from dataclasses import dataclass, field

from vega3d_ros.core.object_evidence import DOUBLE_SHARE, LIKE_VOLUME, SAME_SHARE
from vega3d_ros.models.grounders.lifted.boxes import BoxRules


@dataclass(frozen=True)
class LiftingRules:
    """How 2D detections become things (``benchmarks/lifting.py --sensitivity`` varies each).

    Attributes:
        floor_band_m: Points up to this high above the floor are floor, and as much more as the
            depth's noise is at their range.
        cell_m: Side of the cells by which detections of different frames are compared.
        association: Share of the smaller core's cells from which two detections show one thing.
        around_core: In [0, 1], how much a voxel counts in a frame that saw it inside the box but
            not on the core's surface (there it counts 1).
        accepted: Mean count, over the frames that saw it, from which a voxel belongs to the thing.
        same_share: Share of the smaller one's voxels from which two things of a name are one.
        double_share: The same for two names.
        like_volume: Least ratio of volumes of two things of different names that are one.
        least_voxels: Things of fewer voxels are none.
        box: How boxes are drawn.
    """

    floor_band_m: float = 0.06
    cell_m: float = 0.10
    association: float = 0.25
    around_core: float = 0.5
    accepted: float = 0.6
    same_share: float = SAME_SHARE
    double_share: float = DOUBLE_SHARE
    like_volume: float = LIKE_VOLUME
    least_voxels: int = 8
    box: BoxRules = field(default_factory=BoxRules)
