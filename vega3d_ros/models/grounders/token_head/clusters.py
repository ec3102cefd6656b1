"""Clusters of depth points: what stands apart from the floor, the walls and each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from vega3d_ros.models.grounders.lifted.floor import estimate_floor
from vega3d_ros.models.grounders.lifted.voxels import union, voxel_cells
from vega3d_ros.models.grounders.token_head.walls import find_walls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from vega3d_ros.models.grounders.lifted.evidence import FrameGeometry
    from vega3d_ros.models.grounders.token_head.walls import Walls

    Flags = NDArray[np.bool_]

_FLOOR_BAND_M, _WALL_BAND_M = 0.05, 0.06
_NOISY, _SMOOTHING = 0.004, 3.0  # ``depth_grid`` averages noise from there on, at least so much
_TOUCHING = np.ones((3, 3, 3), np.bool_)


@dataclass(frozen=True, eq=False)
class Clusters:
    """Voxels of a clip that are neither floor nor wall, and which of them belong together.

    Attributes:
        points: [M, 3], means of the points in each voxel, in the working frame.
        labels: [M], from 1 on: voxels that touch have one label.
        index: Of each frame with depth, [R, C]: the voxel of each sample of its grid; -1 where
            there is none.
        geometry: Of those frames.
        floor_m: Height of the floor; None where unknown.
        heading: That of the walls, see ``Walls``.
    """

    points: NDArray[np.float32]
    labels: NDArray[np.int64]
    index: Mapping[int, NDArray[np.int64]]
    geometry: Mapping[int, FrameGeometry]
    floor_m: float | None
    heading: float | None

    def shown(
        self, frame: int, pixel: tuple[int, int], pitch_px: tuple[float, float]
    ) -> NDArray[np.int64]:
        """Of the samples around a pixel, in a rectangle of that pitch: labels, 0 without one."""
        if frame not in self.index:
            return np.zeros(0, np.int64)
        stride = self.geometry[frame].grid.stride
        columns, rows = (
            slice(
                max(0, round((middle - side / 2) / stride)),
                max(0, round((middle + side / 2) / stride)),
            )
            for middle, side in zip(pixel, pitch_px, strict=True)
        )
        voxels = self.index[frame][rows, columns]
        labels: NDArray[np.int64] = np.where(voxels >= 0, np.append(self.labels, 0)[voxels], 0)
        return labels.ravel()


def find_clusters(geometry: Mapping[int, FrameGeometry]) -> Clusters | None:
    """Clusters of the frames of a clip; None where no frame shows any.

    Args:
        geometry: Of each frame with depth, by its index in the clip; all in one working frame.
    """
    if not geometry:
        return None
    floor = estimate_floor([one.facing_up for one in geometry.values()])
    floor_m = None if floor is None else floor.height_m
    walls = find_walls([one.grid for one in geometry.values()], floor_m)
    solid = {frame: _solid(one, floor_m, walls) for frame, one in geometry.items()}
    parts = []
    for frame, one in geometry.items():
        wanted = np.zeros(len(one.voxels.keys), np.bool_)
        wanted[one.voxels.index[solid[frame]]] = True
        parts.append((one.voxels, wanted))
    keys, points = union(parts)
    if not len(keys):
        return None
    cells = voxel_cells(keys)
    low = cells.min(axis=0) - 1
    filled = np.zeros(cells.max(axis=0) - low + 2, np.bool_)
    place = tuple((cells - low).T)
    filled[place] = True
    labels = ndimage.label(filled, _TOUCHING)[0][place].astype(np.int64)
    index: dict[int, NDArray[np.int64]] = {}
    for frame, one in geometry.items():
        own = np.minimum(np.searchsorted(keys, one.voxels.keys), len(keys) - 1)
        own = np.where(keys[own] == one.voxels.keys, own, -1)
        index[frame] = np.where(solid[frame], np.append(own, -1)[one.voxels.index], -1)
    return Clusters(points, labels, index, geometry, floor_m, walls.heading)


def _solid(one: FrameGeometry, floor_m: float | None, walls: Walls) -> Flags:
    """Samples [R, C] with depth that are neither floor nor wall, by the measured noise."""
    grid = one.grid
    solid = one.voxels.index >= 0
    left = grid.noise / (_SMOOTHING if grid.noise > _NOISY else 1.0)
    with np.errstate(invalid="ignore"):
        tolerance = 2 * left * grid.depth_m
        if floor_m is not None:
            solid &= grid.points[..., 2] > floor_m + _FLOOR_BAND_M + tolerance
        for wall in walls.walls:
            out = grid.points[..., :2] @ wall.outward.astype(np.float32)
            solid &= out < wall.offset_m - _WALL_BAND_M - tolerance
    return solid
