"""Where the floor is, and which way is up: estimated from points, or unknown.

The floor is the lowest level at which enough surface faces up. A ramp, or a frame that shows no
floor, has none: what would be guessed from it is then left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.core.geometry import SE3
from vega3d_ros.core.token_grid import BODY_FROM_OPTICAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vega3d_ros.models.grounders.lifted.points import DepthGrid

    Array = NDArray[np.float64]

_FACING_UP = 0.85
_CELL_M, _BIN_M = 0.10, 0.02
_LEAST_AREA_M2 = 0.5
_MOST_BELOW = 0.02  # share of the cells that may lie below the floor: reflections, noise
_STEEPEST = np.tan(np.radians(3.0))
_BAND_M = 0.06
_NARROWEST_M = 0.15  # standard deviation across it
_SPAN = 2  # samples to either side that a normal is taken over


@dataclass(frozen=True)
class Floor:
    """A level floor.

    Attributes:
        height_m: z in the working frame.
        area_m2: Of it, how much was seen.
    """

    height_m: float
    area_m2: float


def facing_up(grid: DepthGrid) -> NDArray[np.float32]:
    """Points [N, 3] of a frame at which the surface faces up, one per cell and level."""
    normals, points = surface_normals(grid)
    upright = points[normals[:, 2] > _FACING_UP]
    cells = np.floor(upright / [_CELL_M, _CELL_M, _BIN_M]).astype(np.int64)
    first = np.unique(_packed(cells), return_index=True)[1]
    kept: NDArray[np.float32] = upright[first]
    return kept


def estimate_floor(facing: Sequence[NDArray[np.float32]]) -> Floor | None:
    """The floor that the frames of a place show.

    Args:
        facing: Of each frame, what ``facing_up`` gives.

    Returns:
        None where no level surface is large enough, or where the lowest one slopes.
    """
    points = np.concatenate(facing).astype(np.float64) if facing else np.empty((0, 3))
    if not len(points):
        return None
    cells = np.floor(points / [_CELL_M, _CELL_M, _BIN_M]).astype(np.int64)
    points = points[np.unique(_packed(cells), return_index=True)[1]]
    order = np.argsort(points[:, 2], kind="stable")
    points = points[order]
    z = points[:, 2]
    # Area of the band that starts at each point, and how much lies below it.
    ends = np.searchsorted(z, z + _BAND_M)
    enough = (ends - np.arange(len(z))) * _CELL_M**2 >= _LEAST_AREA_M2
    if not enough.any():
        return None
    first = int(np.argmax(enough))
    if first > _MOST_BELOW * len(z) + 5:
        return None
    # The fullest band near the first that is full enough: that one may start in the noise below.
    near = np.arange(first, int(np.searchsorted(z, z[first] + 2 * _BAND_M)))
    start = int(near[np.argmax((ends - np.arange(len(z)))[near])])
    band = points[start : ends[start]]
    for _ in range(2):
        slope_x, slope_y, offset = _plane(band)
        level = points[:, :2] @ [slope_x, slope_y] + offset
        band = points[np.abs(z - level) < _BAND_M]
        if len(band) < 10:
            return None
    xy = band[:, :2]
    if np.linalg.svd(xy - xy.mean(axis=0), compute_uv=False)[1] < _NARROWEST_M * np.sqrt(len(xy)):
        return None  # a strip tells no slope across it
    if np.hypot(slope_x, slope_y) > _STEEPEST:
        return None
    columns = len(np.unique(_packed(np.floor(xy / _CELL_M).astype(np.int64))))
    area = float(columns * _CELL_M**2)
    if area < _LEAST_AREA_M2:
        return None
    return Floor(float(np.median(band[:, 2])), area)


def gravity_from_floor(grid: DepthGrid, tilt_rad: float = 0.7) -> Array | None:
    """Rotation [3, 3] from the optical to a level body frame, by the surfaces that face up.

    Args:
        grid: Of one frame, its working frame the optical one.
        tilt_rad: Largest tilt of the camera that is thought of.

    Returns:
        None where too little faces up in one direction.
    """
    normals, _ = surface_normals(grid)
    if len(normals) < 100:
        return None
    up = np.array([0.0, -1.0, 0.0])
    for angle in (tilt_rad, tilt_rad / 2, 0.15, 0.08):
        near = normals[normals @ up > np.cos(angle)]
        if len(near) < max(50, 0.05 * len(normals)):
            return None
        up = near.mean(axis=0)
        up /= np.linalg.norm(up)
    forward = BODY_FROM_OPTICAL[0] - BODY_FROM_OPTICAL[0] @ up * up
    forward /= np.linalg.norm(forward)
    return np.stack([forward, np.cross(up, forward), up])


def level_frame(grid: DepthGrid) -> tuple[SE3, bool]:
    """A frame at the camera whose z axis is up, for a camera without a pose.

    Returns:
        That frame from the optical one, and whether gravity was estimated; where it was not, the
        camera is taken to be level.
    """
    rotation = gravity_from_floor(grid)
    if rotation is None:
        return SE3(BODY_FROM_OPTICAL, np.zeros(3)), False
    return SE3(rotation, np.zeros(3)), True


def surface_normals(grid: DepthGrid, span: int = _SPAN) -> tuple[Array, NDArray[np.float32]]:
    """Unit normals [N, 3] towards the camera, over ``span`` samples, and their points [N, 3]."""
    points = grid.points
    if min(points.shape[:2]) <= 2 * span:
        return np.empty((0, 3)), np.empty((0, 3), np.float32)
    inner = slice(span, -span)
    across = points[inner, 2 * span :] - points[inner, : -2 * span]
    along = points[2 * span :, inner] - points[: -2 * span, inner]
    normal = np.stack(
        [
            along[..., 1] * across[..., 2] - along[..., 2] * across[..., 1],
            along[..., 2] * across[..., 0] - along[..., 0] * across[..., 2],
            along[..., 0] * across[..., 1] - along[..., 1] * across[..., 0],
        ],
        axis=-1,
    )
    length = np.linalg.norm(normal, axis=-1)
    middle = points[inner, inner]
    good = np.isfinite(length) & (length > 1e-9) & np.isfinite(middle[..., 0])
    return (normal[good] / length[good][:, None]).astype(np.float64), middle[good]


def _packed(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """One integer for each row of up to three small integers."""
    packed = np.zeros(len(cells), np.int64)
    for column in cells.T:
        packed = (packed << 21) + (column + (1 << 20))
    return packed


def _plane(points: Array) -> tuple[float, float, float]:
    """Least squares z = a x + b y + c."""
    middle = points.mean(axis=0)
    centred = points - middle
    (a, b), *_ = np.linalg.lstsq(centred[:, :2], centred[:, 2], rcond=None)
    return float(a), float(b), float(middle[2] - a * middle[0] - b * middle[1])
