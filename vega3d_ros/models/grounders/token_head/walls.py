"""The walls of a room: where its measured surfaces end.

A wall is the outermost upright plane of its direction that is wide enough and reaches high enough.
Furniture stands before it, and next to nothing lies behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.models.grounders.lifted.floor import surface_normals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vega3d_ros.models.grounders.lifted.points import DepthGrid

    Array = NDArray[np.float64]

_UPRIGHT = 0.25  # |z| of the normal of an upright surface, at most
_ALIGNED = np.cos(np.radians(20.0))
_BINS = 90
_CELL_M = 0.10
_BAND_M = 0.06
_LEAST_POINTS = 200
_NOISY = 0.004
_SPAN, _NOISY_SPAN = 2, 6


@dataclass(frozen=True)
class WallRules:
    """What counts as a wall.

    Attributes:
        area_m2: Seen of it, at least.
        reach_m: Its highest point is this high above the floor, at least.
        beyond: Share of the points that may lie beyond it: windows, reflections.
    """

    area_m2: float = 0.5
    reach_m: float = 1.7
    beyond: float = 0.02


@dataclass(frozen=True, eq=False)
class Wall:
    """Points ``p`` with ``outward @ p[:2] > offset_m`` lie behind it."""

    outward: Array
    offset_m: float


@dataclass(frozen=True, eq=False)
class Walls:
    """The heading in [0, pi / 2) of a room's upright surfaces, and its walls.

    Attributes:
        heading: Radians about z; None where the surfaces have none in common.
        walls: At most one of each of the four directions.
    """

    heading: float | None
    walls: tuple[Wall, ...]


def find_walls(
    grids: Sequence[DepthGrid], floor_m: float | None, rules: WallRules | None = None
) -> Walls:
    """The walls that the frames of a room show.

    Args:
        grids: Of each frame, in one working frame.
        floor_m: Height of the floor; None where unknown, and then nothing is a wall.
        rules: What counts as one.
    """
    rules = rules or WallRules()
    parts = [
        surface_normals(grid, _SPAN if grid.noise < _NOISY else _NOISY_SPAN) for grid in grids
    ]
    facing = np.concatenate([normal for normal, _ in parts] or [np.empty((0, 3))])
    points = np.concatenate([point for _, point in parts] or [np.empty((0, 3), np.float32)])
    upright = np.abs(facing[:, 2]) < _UPRIGHT
    facing, points = facing[upright], points[upright].astype(np.float64)
    heading = _heading(facing)
    if heading is None or floor_m is None:
        return Walls(heading, ())
    walls = []
    for quarter in range(4):
        angle = heading + quarter * np.pi / 2
        outward = np.array([np.cos(angle), np.sin(angle)])
        toward = facing[:, :2] @ outward < -_ALIGNED
        offset = _outermost(points, outward, toward, floor_m, rules)
        if offset is not None:
            walls.append(Wall(outward, offset))
    return Walls(heading, tuple(walls))


def _heading(facing: Array) -> float | None:
    """The commonest direction of upright surfaces, modulo a quarter turn."""
    if len(facing) < _LEAST_POINTS:
        return None
    angle = np.arctan2(facing[:, 1], facing[:, 0]) % (np.pi / 2)
    counts = np.bincount((angle / (np.pi / 2) * _BINS).astype(int) % _BINS, minlength=_BINS)
    peak = (int(counts.argmax()) + 0.5) / _BINS * np.pi / 2
    apart = (angle - peak + np.pi / 4) % (np.pi / 2) - np.pi / 4
    near = np.abs(apart) < np.radians(5.0)
    if np.count_nonzero(near) < 0.2 * len(facing):
        return None
    return float((peak + np.median(apart[near])) % (np.pi / 2))


def _outermost(
    points: Array, outward: Array, toward: NDArray[np.bool_], floor_m: float, rules: WallRules
) -> float | None:
    """How far out the wall of a direction lies; None where there is none."""
    along = points[:, :2] @ outward
    own, across = along[toward], points[toward, :2] @ [-outward[1], outward[0]]
    height = points[toward, 2] - floor_m
    if len(own) < _LEAST_POINTS:
        return None
    ends = np.quantile(along, [1 - rules.beyond, 1.0])
    for edge in np.arange(ends[1], ends[0] - _BAND_M, -_BAND_M / 2):
        band = np.abs(own - edge) < _BAND_M
        if not band.any() or height[band].max() < rules.reach_m:
            continue
        cells = np.floor(np.stack([across[band], height[band]], axis=1) / _CELL_M).astype(int)
        if len(np.unique(cells[:, 0] * 100_000 + cells[:, 1])) * _CELL_M**2 < rules.area_m2:
            continue
        middle = float(np.median(own[band]))
        return float(np.median(own[np.abs(own - middle) < _BAND_M]))
    return None
