"""Things of a 2D detector, lifted to boxes in 3D by the voxels that all frames agree on."""

from vega3d_ros.models.grounders.lifted.grounder import LiftedGrounder
from vega3d_ros.models.grounders.lifted.rules import LiftingRules

__all__ = ["LiftedGrounder", "LiftingRules"]
