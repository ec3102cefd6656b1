"""Projectors and gates that fuse generative with semantic tokens."""

from vega3d_ros.models.fusion.fusion_module import FusionConfig, FusionModule, PositionEncoding
from vega3d_ros.models.fusion.gates import FUSION_METHODS, Fused, FusionError

__all__ = [
    "FUSION_METHODS",
    "Fused",
    "FusionConfig",
    "FusionError",
    "FusionModule",
    "PositionEncoding",
]
