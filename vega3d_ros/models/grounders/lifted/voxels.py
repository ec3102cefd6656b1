"""Voxels of the working frame: which frames saw them, and in which of these inside a thing.

A voxel belongs to a thing if it lay inside the thing's 2D boxes (or masks) in most of the frames
that saw it. What is behind the thing lies inside from one side and outside from another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vega3d_ros.models.grounders.lifted.points import DepthGrid

    Keys = NDArray[np.int64]
    Floats = NDArray[np.float32]
    Flags = NDArray[np.bool_]

VOXEL_M = 0.05
_FAR_M = 8.0
_BITS, _HALF = 21, 1 << 20
_MASK = (1 << _BITS) - 1


def voxel_keys(points: NDArray[np.floating], size_m: float = VOXEL_M) -> Keys:
    """One integer for each point [N, 3]; points of one voxel share it. Within 50 km of 0."""
    cells = np.floor(points / size_m).astype(np.int64) + _HALF
    keys: Keys = (cells[:, 0] << 2 * _BITS) | (cells[:, 1] << _BITS) | cells[:, 2]
    return keys


def voxel_cells(keys: Keys) -> NDArray[np.int64]:
    """The integer coordinates [N, 3] of voxels."""
    parts = [(keys >> shift) & _MASK for shift in (2 * _BITS, _BITS, 0)]
    cells: NDArray[np.int64] = np.stack(parts, axis=1) - _HALF
    return cells


@dataclass(frozen=True, eq=False)
class FrameVoxels:
    """The voxels that hold points of one frame.

    Attributes:
        keys: [K], ascending.
        points: [K, 3], the mean of the points in each.
        counts: [K], how many they are.
        index: [R, C] of the frame's samples, each one's voxel; -1 where depth is unknown.
    """

    keys: Keys
    points: Floats
    counts: Floats
    index: NDArray[np.int32]


def frame_voxels(grid: DepthGrid) -> FrameVoxels:
    """Sort a frame's points into voxels."""
    known = np.isfinite(grid.depth_m) & (grid.depth_m < _FAR_M)
    points = grid.points[known]
    keys, inverse = np.unique(voxel_keys(points), return_inverse=True)
    index = np.full(known.shape, -1, np.int32)
    index[known] = inverse
    counts = np.bincount(inverse, minlength=len(keys)).astype(np.float32)
    return FrameVoxels(keys, _sums(inverse, points, len(keys)) / counts[:, None], counts, index)


def union(parts: Sequence[tuple[FrameVoxels, Flags]]) -> tuple[Keys, Floats]:
    """The voxels of several frames together.

    Args:
        parts: Of each frame, its voxels and which of them are wanted [K].

    Returns:
        Keys, ascending, and mean points.
    """
    all_keys = np.concatenate([voxels.keys[wanted] for voxels, wanted in parts])
    keys, inverse = np.unique(all_keys, return_inverse=True)
    counts = np.concatenate([voxels.counts[wanted] for voxels, wanted in parts])
    points = np.concatenate([voxels.points[wanted] for voxels, wanted in parts])
    total = np.bincount(inverse, counts, len(keys)).astype(np.float32)
    return keys, _sums(inverse, points * counts[:, None], len(keys)) / total[:, None]


def _sums(index: NDArray[np.int64], values: Floats, count: int) -> Floats:
    columns = [np.bincount(index, values[:, axis], count) for axis in range(3)]
    return np.stack(columns, axis=1).astype(np.float32)


def visibility(grid: DepthGrid, points: Floats) -> tuple[NDArray[np.int64], Flags, Flags]:
    """How a frame sees points [N, 3] of the working frame.

    Returns:
        The flat index of the sample that looks at each, whether it sees a surface there, and
        whether it sees through to something behind. Neither where the point is out of view, hidden
        by something nearer, farther than the sensor is good for, or where depth is unknown.
    """
    rotation = grid.working_from_optical.rotation.astype(np.float32)
    optical = (points - grid.working_from_optical.translation.astype(np.float32)) @ rotation
    z = optical[:, 2]
    camera, stride = grid.camera, grid.stride
    rows, columns = grid.depth_m.shape
    ahead = (z > 0.05) & (z < _FAR_M)
    safe = np.where(ahead, z, np.float32(1))
    u = (optical[:, 0] * camera.fx / safe + camera.cx - stride // 2) / stride
    v = (optical[:, 1] * camera.fy / safe + camera.cy - stride // 2) / stride
    column, row = np.rint(u).astype(np.int64), np.rint(v).astype(np.int64)
    within = ahead & (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    sample = np.where(within, row * columns + column, 0)
    depth = grid.depth_m.ravel()[sample]
    tolerance = 1.5 * VOXEL_M + grid.tolerance_m(safe)
    with np.errstate(invalid="ignore"):
        seen = within & (np.abs(depth - z) <= tolerance)
        through = within & (depth - z > tolerance)
    return sample, seen, through
