"""Where depth comes from: a sensor, else a network; floor contact where there is none.

One file per kind behind :class:`vega3d_ros.models.depth.base.DepthSource`, and one line here.
Nothing is imported until it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vega3d_ros.core.registry import Registry
from vega3d_ros.models.depth.base import DepthError, DepthImage, DepthSource
from vega3d_ros.models.depth.choice import FirstDepth
from vega3d_ros.models.depth.sensor import SensorDepth

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DEPTHS", "DepthError", "DepthImage", "DepthSource", "FirstDepth", "SensorDepth"]

DEPTHS: Registry[Callable[..., DepthSource]] = Registry(
    "depth",
    entry_points="vega3d_ros.depth",
    network="vega3d_ros.models.depth.network:NetworkDepth",
    sensor="vega3d_ros.models.depth.sensor:SensorDepth",
)
"""Kinds by the ``type`` in ``model.json``."""
