"""From the voxels of a thing to an upright box, its covariance and whether its heading shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from vega3d_ros.core.geometry import Box3D
from vega3d_ros.models.grounders.base import UNKNOWN_ROTATION_VARIANCE, UPRIGHT_VARIANCE
from vega3d_ros.models.grounders.lifted.voxels import VOXEL_M, voxel_cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vega3d_ros.models.grounders.lifted.voxels import Keys

    Array = NDArray[np.float64]
    Flags = NDArray[np.bool_]

_LEAST_M = 0.02
_LEAST_VOXELS = 4
_UNBOUNDED = 0.25  # of the size: standard deviation of the centre where every view cuts the thing
_COARSE, _FINE = np.radians(6.0), np.radians(1.0)
_CROSS = ndimage.generate_binary_structure(3, 1)
# rad^2, about the horizontal axes where the camera is only taken to be level.
_TILTED_VARIANCE = 0.15**2


@dataclass(frozen=True)
class BoxRules:
    """How boxes are drawn around voxels.

    Attributes:
        footprint: Share of the voxels left out on each side of the outline, against strays.
        height: The same at the top and at the bottom.
        floor_gap_m: What ends no higher than this above the floor stands on it.
        rectangular: How much larger the mean rectangle over all headings must be than the least,
            relatively, for the smallest to tell the heading (0.64 for a square, 0 for a disc).
        pad_m: What is added on each side: the means of the points in the outermost voxels lie a
            little inside the surface.
    """

    footprint: float = 0.02
    height: float = 0.01
    floor_gap_m: float = 0.25
    rectangular: float = 0.15
    pad_m: float = 0.01


@dataclass(frozen=True, eq=False)
class Fit:
    """A box around voxels.

    Attributes:
        box: In the working frame.
        covariance: [6, 6] of centre and rotation.
        orientation_estimated: Whether the outline tells the heading.
    """

    box: Box3D
    covariance: Array
    orientation_estimated: bool


def largest_part(keys: Keys, weights: NDArray[np.floating]) -> Flags:
    """The voxels of the heaviest connected part; gaps of two voxels do not divide.

    Args:
        keys: [M].
        weights: [M], what each voxel counts.
    """
    cells = voxel_cells(keys)
    low = cells.min(axis=0) - 1
    shape = cells.max(axis=0) - low + 2
    if np.prod(shape.astype(float)) > 2e7:  # strays far away: look at all on a coarser grid
        cells = cells // 4
        low = cells.min(axis=0) - 1
        shape = cells.max(axis=0) - low + 2
    filled = np.zeros(shape, np.bool_)
    index = tuple((cells - low).T)
    filled[index] = True
    labels, count = ndimage.label(ndimage.binary_dilation(filled, _CROSS))
    own = labels[index]
    part: Flags = own == int(np.bincount(own, weights, count + 1).argmax())
    return part


def fit_box(
    points: NDArray[np.floating],
    share: NDArray[np.floating],
    accepted: float,
    floor_m: float | None,
    rules: BoxRules,
    *,
    stands: bool | None = None,
    bounded: bool = True,
    gravity_known: bool = True,
    noise_m: float = 0.0,
) -> Fit:
    """The upright box around points.

    Args:
        points: [M, 3] of the voxels that belong to the thing, in the working frame.
        share: [M], how surely each does.
        accepted: The least share that was accepted.
        floor_m: Height of the floor; None where unknown.
        rules: How the box is drawn.
        stands: Whether things of this name stand on the floor; None: where they end near it.
        bounded: Whether some view shows the thing uncut.
        gravity_known: Whether z is up by measurement.
        noise_m: Standard deviation of a measured range.
    """
    points = np.asarray(points, np.float64)
    yaw, rectangularity = heading(points[:, :2], rules.footprint)
    estimated = rectangularity >= rules.rectangular
    for _ in range(2):  # x along the longer side: at most one quarter turn
        rotation = Box3D.upright(np.zeros(3), np.ones(3), yaw).rotation
        local = points @ rotation
        low, high = _extent(local, rules)
        if high[0] - low[0] >= high[1] - low[1]:
            break
        yaw += np.pi / 2
    spread = _face_spread(local, share, accepted, high - low, rules)
    if floor_m is not None:
        on_floor = low[2] - floor_m <= rules.floor_gap_m if stands is None else stands
        if on_floor and high[2] > floor_m + _LEAST_M:
            low[2] = floor_m
    size = np.maximum(high - low, _LEAST_M)
    center = rotation @ ((low + high) / 2)
    std = np.hypot(spread, VOXEL_M / np.sqrt(12)) + noise_m / 2
    if not bounded:
        std = std + _UNBOUNDED * size
    covariance = np.zeros((6, 6))
    covariance[:3, :3] = rotation @ np.diag(std**2) @ rotation.T
    covariance[3, 3] = covariance[4, 4] = UPRIGHT_VARIANCE if gravity_known else _TILTED_VARIANCE
    # Both ends of the longer side off by a face's spread turn the box by so much.
    lever = max(float(size[0]), 4 * VOXEL_M)
    turn = float(np.arctan2(2 * spread[1] + VOXEL_M, lever))
    covariance[5, 5] = max(turn**2, 0.03**2) if estimated else UNKNOWN_ROTATION_VARIANCE
    yaw = float((yaw + np.pi / 2) % np.pi - np.pi / 2)  # half a turn changes nothing
    return Fit(Box3D.upright(center, size, yaw), covariance, bool(estimated))


def heading(outline: Array, left_out: float) -> tuple[float, float]:
    """The heading of the smallest rectangle around points.

    Args:
        outline: [M, 2].
        left_out: Share of the points left out on each side.

    Returns:
        Heading in [0, pi / 2), and how much larger the mean rectangle over all headings is,
        relatively.
    """
    columns, counts = np.unique(np.floor(outline / VOXEL_M), axis=0, return_inverse=True)
    middle = outline.mean(axis=0)
    weight = np.bincount(counts.ravel(), minlength=len(columns))
    xy = np.stack(
        [np.bincount(counts.ravel(), outline[:, axis] - middle[axis]) / weight for axis in (0, 1)],
        axis=1,
    )
    coarse = np.arange(0.0, np.pi / 2, _COARSE)
    areas = _areas(xy, weight, coarse, left_out)
    best = coarse[int(areas.argmin())]
    fine = best + np.arange(-_COARSE + _FINE, _COARSE, _FINE)
    fine_areas = _areas(xy, weight, fine, left_out)
    yaw = float(fine[int(fine_areas.argmin())] % (np.pi / 2))
    return yaw, float(areas.mean() / fine_areas.min() - 1.0)


def _areas(xy: Array, weight: NDArray[np.int64], angles: Array, left_out: float) -> Array:
    """Area of the rectangle around most of the points, for every heading."""
    c, s = np.cos(angles)[:, None], np.sin(angles)[:, None]
    area = np.ones(len(angles))
    total = weight.sum()
    for along in (c * xy[:, 0] + s * xy[:, 1], c * xy[:, 1] - s * xy[:, 0]):
        order = along.argsort(axis=1)
        ordered = np.take_along_axis(along, order, axis=1)
        passed = weight[order].cumsum(axis=1)
        first = (passed > left_out * total).argmax(axis=1)
        last = (passed >= (1 - left_out) * total).argmax(axis=1)
        rows = np.arange(len(angles))
        area *= ordered[rows, last] - ordered[rows, first] + VOXEL_M
    return area


def _extent(local: Array, rules: BoxRules) -> tuple[Array, Array]:
    """Lowest and highest corner of most of the points."""
    low, high = np.empty(3), np.empty(3)
    for axis, left_out in enumerate((rules.footprint, rules.footprint, rules.height)):
        low[axis], high[axis] = np.quantile(local[:, axis], [left_out, 1 - left_out])
    return low - rules.pad_m, high + rules.pad_m


def _face_spread(
    local: Array, share: NDArray[np.floating], accepted: float, size: Array, rules: BoxRules
) -> Array:
    """Standard deviation [3] of the centre, by where the faces are if only sure voxels count.

    Sure are those half as far from certainty as the accepted ones.
    """
    sure = share >= (1 + accepted) / 2
    if np.count_nonzero(sure) < _LEAST_VOXELS:
        return np.asarray(size / 4)
    low, high = _extent(local[sure], rules)
    # A face may lie anywhere between both estimates; the centre is the mean of two faces.
    return np.asarray(np.clip(size - (high - low), 0.0, None) / np.sqrt(12))
