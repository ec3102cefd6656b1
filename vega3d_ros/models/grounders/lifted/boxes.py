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
_ABOVE_M = 0.1
_MOST_HIDDEN = 0.6  # of the width of a round thing: half, and what its edge loses
_FAR_SIDE = 0.15  # of the longer side: standard deviation of the centre where the far side hides
_UNBOUNDED = 0.25  # of the size: standard deviation of the centre where every view cuts the thing
_EDGE_M = 0.05  # farther from the outline's edges than this is inside, however far
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
        rectangular: How much worse rectangles of all headings must fit in the mean than the best,
            relatively, for the best to tell the heading (0 for a disc).
        pad_m: What is added on each side: the means of the points in the outermost voxels lie a
            little inside the surface.
    """

    footprint: float = 0.02
    height: float = 0.01
    floor_gap_m: float = 0.25
    rectangular: float = 0.4
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
    points: Array,
    share: NDArray[np.floating],
    accepted: float,
    eyes: Array,
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
        eyes: [F, 3], where the cameras were.
        floor_m: Height of the floor; None where unknown.
        rules: How the box is drawn.
        stands: Whether things of this name stand on the floor; None: where they end near it.
        bounded: Whether some view shows the thing uncut.
        gravity_known: Whether z is up by measurement.
        noise_m: Standard deviation of a measured range.
    """
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
    local_eyes = eyes @ rotation
    if bounded and not estimated:
        hidden = _hidden_half(local_eyes, low, high)
        low[1], high[1] = low[1] - hidden[0], high[1] + hidden[1]
        spread[1] = np.hypot(spread[1], sum(hidden) / 4)
    spread[:2] = np.hypot(spread[:2], _unseen(local_eyes, low, high))
    if floor_m is not None:
        on_floor = low[2] - floor_m <= rules.floor_gap_m if stands is None else stands
        if on_floor and high[2] > floor_m + _LEAST_M:
            low[2] = floor_m
    size = np.maximum(high - low, _LEAST_M)
    center = rotation @ ((low + high) / 2)
    std = np.hypot(spread, VOXEL_M / 2) + noise_m / 2
    if not bounded:
        std = std + _UNBOUNDED * size
    covariance = np.zeros((6, 6))
    covariance[:3, :3] = rotation @ np.diag(std**2) @ rotation.T
    covariance[3, 3] = covariance[4, 4] = UPRIGHT_VARIANCE if gravity_known else _TILTED_VARIANCE
    # Both ends of the longer side off by a face's spread turn the box by so much.
    lever = max(float(size[0]), 4 * VOXEL_M)
    turn = float(np.arctan2(2 * spread[1] + VOXEL_M / 2, lever))
    covariance[5, 5] = max(turn**2, 0.03**2) if estimated else UNKNOWN_ROTATION_VARIANCE
    yaw = float((yaw + np.pi / 2) % np.pi - np.pi / 2)  # half a turn changes nothing
    return Fit(Box3D.upright(center, size, yaw), covariance, bool(estimated))


def heading(outline: Array, left_out: float) -> tuple[float, float]:
    """The heading of the rectangle that fits points best.

    Args:
        outline: [M, 2].
        left_out: Share of the points left out on each side.

    Returns:
        Heading in [0, pi / 2), and how much worse rectangles of all headings fit in the mean,
        relatively.
    """
    cells = np.floor(outline / VOXEL_M).astype(np.int64)
    index = np.unique((cells[:, 0] << 32) + cells[:, 1], return_inverse=True)[1]
    weight = np.bincount(index)
    middle = outline.mean(axis=0)
    xy = np.stack(
        [np.bincount(index, outline[:, axis] - middle[axis]) / weight for axis in (0, 1)], axis=1
    )
    coarse = np.arange(0.0, np.pi / 2, _COARSE)
    loose = _looseness(xy, weight, coarse, left_out)
    best = coarse[int(loose.argmin())]
    fine = best + np.arange(-_COARSE + _FINE, _COARSE, _FINE)
    tight = _looseness(xy, weight, fine, left_out)
    return float(fine[int(tight.argmin())] % (np.pi / 2)), float(loose.mean() / tight.min() - 1.0)


def _looseness(xy: Array, weight: NDArray[np.int64], angles: Array, left_out: float) -> Array:
    """How badly rectangles of each heading fit: area times how far points are from the edges.

    The area alone lays an outline of two walls, which is all that shows of a block, diagonally.
    """
    c, s = np.cos(angles)[:, None], np.sin(angles)[:, None]
    rows, total = np.arange(len(angles)), weight.sum()
    area = np.ones(len(angles))
    apart = np.full((len(angles), len(xy)), _EDGE_M)
    for along in (c * xy[:, 0] + s * xy[:, 1], c * xy[:, 1] - s * xy[:, 0]):
        order = along.argsort(axis=1)
        ordered = np.take_along_axis(along, order, axis=1)
        passed = weight[order].cumsum(axis=1)
        low = ordered[rows, (passed > left_out * total).argmax(axis=1)]
        high = ordered[rows, (passed >= (1 - left_out) * total).argmax(axis=1)]
        area *= high - low + VOXEL_M
        apart = np.minimum(apart, np.abs(along - low[:, None]))
        apart = np.minimum(apart, np.abs(along - high[:, None]))
    loose: Array = area * (apart @ weight / total + 0.1 * _EDGE_M)
    return loose


def _extent(local: Array, rules: BoxRules) -> tuple[Array, Array]:
    """Lowest and highest corner of most of the points."""
    ordered = np.sort(local, axis=0)
    left_out = np.array([rules.footprint, rules.footprint, rules.height])
    first = np.rint(left_out * (len(local) - 1)).astype(np.int64)
    axes = np.arange(3)
    low, high = ordered[first, axes], ordered[len(local) - 1 - first, axes]
    return low - rules.pad_m, high + rules.pad_m


def _hidden_half(eyes: Array, low: Array, high: Array) -> tuple[float, float]:
    """How much of a round thing hides behind its shorter side's low and high end.

    A round thing is as deep as it is wide, and its near half shows; only a side that no camera
    faced can hide the rest.
    """
    missing = float((high[0] - low[0]) - (high[1] - low[1]))
    faced_low, faced_high = eyes[:, 1].min() < low[1], eyes[:, 1].max() > high[1]
    if faced_low == faced_high or missing > _MOST_HIDDEN * (high[0] - low[0]):
        return 0.0, 0.0
    return (0.0, missing) if faced_low else (missing, 0.0)


def _unseen(eyes: Array, low: Array, high: Array) -> Array:
    """Standard deviation [2] of the centre along x and y for sides that no camera faced.

    Cameras above a thing see where its top ends; from lower, its far side may be anywhere.
    """
    if eyes[:, 2].max() > high[2] + _ABOVE_M:
        return np.zeros(2)
    faced = (eyes[:, :2].min(axis=0) < low[:2]) & (eyes[:, :2].max(axis=0) > high[:2])
    return np.where(faced, 0.0, _FAR_SIDE * float((high - low)[:2].max()))


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
