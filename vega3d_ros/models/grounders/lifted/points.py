"""From a depth image to points in the working frame.

Sensors and renderers mix foreground and background at depth edges: such pixels fly between both.
The inverse depth of a plane is linear over the image, whatever the plane's slope; its second
difference is therefore large at depth edges alone, and where it is small it measures the noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vega3d_ros.core.frames import Camera
    from vega3d_ros.core.geometry import SE3

    Floats = NDArray[np.float32]
    Flags = NDArray[np.bool_]

_SAMPLES = 20_000  # of an image, about
_EDGE_M = 0.10
_EDGE_NOISE = 4.0
_SMOOTHED_FROM = 0.004  # noise relative to range
_SECOND_DIFFERENCE = np.sqrt(6.0)  # its noise relative to that of one value


@dataclass(frozen=True, eq=False)
class DepthGrid:
    """Every ``stride``-th pixel of a frame with what the depth image says there.

    Attributes:
        camera: At the frame's size.
        working_from_optical: The camera in the working frame, whose z axis is up.
        stride: Pixels between samples; sample (r, c) is pixel (r, c) * stride + stride // 2.
        depth_m: [R, C], metres along the optical axis; NaN where unknown or at a depth edge.
        points: [R, C, 3] in the working frame; NaN where the depth is.
        right: [R, C - 1], whether the surface goes on from a sample to the one on its right.
        down: [R - 1, C], the same for the one below.
        noise: Standard deviation of the depth, relative to the range.
        source: "depth" or "network".
        scale_error: Standard deviation of the error that the whole image shares, relative.
    """

    camera: Camera
    working_from_optical: SE3
    stride: int
    depth_m: Floats
    points: Floats
    right: Flags
    down: Flags
    noise: float
    source: str
    scale_error: float

    @property
    def pixels(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Columns [C] and rows [R] of the samples, in the frame's pixels."""
        offset = self.stride // 2
        rows, columns = self.depth_m.shape
        return (
            np.arange(columns) * self.stride + offset,
            np.arange(rows) * self.stride + offset,
        )

    def tolerance_m(self, range_m: Floats) -> Floats:
        """How far two measurements of one surface may differ at a range, metres."""
        error = np.hypot(self.noise, self.scale_error)
        tolerance: Floats = (2.0 * error * range_m).astype(np.float32)
        return tolerance


def depth_grid(
    depth_m: Floats,
    camera: Camera,
    working_from_optical: SE3,
    source: str = "depth",
    scale_error: float = 0.0,
) -> DepthGrid:
    """Sample a depth image; flying pixels are left out.

    Args:
        depth_m: [H, W] metres along the optical axis; NaN, 0 or less where unknown.
        camera: Of the depth image.
        working_from_optical: The camera in a frame whose z axis is up.
        source: "depth" or "network".
        scale_error: Standard deviation of the error that the whole image shares, relative.
    """
    height, width = depth_m.shape
    stride = max(1, round((height * width / _SAMPLES) ** 0.5))
    known = np.isfinite(depth_m) & (depth_m > 0)
    inverse = np.full(depth_m.shape, np.nan, np.float32)
    np.divide(1.0, depth_m, out=inverse, where=known)
    noise = _noise(inverse, depth_m)
    inverse[_edges(inverse, depth_m, noise)] = np.nan
    offset, left = stride // 2, noise
    if noise > _SMOOTHED_FROM:
        size = 2 * offset + 3
        inverse, left = _smoothed(inverse, size), noise / size
    sampled = inverse[offset::stride, offset::stride]
    if left < noise:  # what flew too little to be told from noise
        sampled = np.where(_edges(sampled, np.float32(1) / sampled, left), np.nan, sampled)
    depth = (1.0 / sampled).astype(np.float32)
    right, down = (_joined(sampled, depth, noise, axis) for axis in (1, 0))
    rows, columns = depth.shape
    u, v = np.arange(columns) * stride + offset, np.arange(rows) * stride + offset
    optical = np.empty((rows, columns, 3), np.float32)
    optical[..., 0] = ((u - camera.cx) / camera.fx) * depth
    optical[..., 1] = ((v - camera.cy) / camera.fy)[:, None] * depth
    optical[..., 2] = depth
    rotation = working_from_optical.rotation.astype(np.float32)
    points = optical.reshape(-1, 3) @ rotation.T + working_from_optical.translation.astype(
        np.float32
    )
    return DepthGrid(
        camera,
        working_from_optical,
        stride,
        depth,
        points.reshape(optical.shape),
        right,
        down,
        noise,
        source,
        scale_error,
    )


def _bend(inverse: Floats, axis: int) -> Floats:
    """Second difference along an axis, 1/m; NaN at the border and beside unknown values."""
    bend = np.full(inverse.shape, np.nan, np.float32)
    inner, before, after = slice(1, -1), slice(None, -2), slice(2, None)
    if axis == 0:
        bend[inner] = inverse[before] - 2 * inverse[inner] + inverse[after]
    else:
        bend[:, inner] = inverse[:, before] - 2 * inverse[:, inner] + inverse[:, after]
    return bend


def _edges(inverse: Floats, depth_m: Floats, noise: float) -> Flags:
    """Where the inverse depth bends more than noise makes it."""
    edge = np.zeros(inverse.shape, np.bool_)
    limit = np.maximum(_EDGE_M, _EDGE_NOISE * _SECOND_DIFFERENCE * noise * depth_m)
    for axis in (0, 1):
        with np.errstate(invalid="ignore"):
            edge |= np.abs(_bend(inverse, axis)) * depth_m * depth_m > limit
    return edge


def _noise(inverse: Floats, depth_m: Floats) -> float:
    """Noise of the depth relative to the range, from a sparse sample (median: edges are few)."""
    sparse = [inverse[first::7, 3::7] for first in (2, 3, 4)]
    rows = min(len(part) for part in sparse)
    before, middle, after = (part[:rows] for part in sparse)
    sample = np.abs((before - 2 * middle + after) * depth_m[3::7, 3::7][:rows]).ravel()
    sample = sample[np.isfinite(sample)]
    if sample.size < 50:
        return 0.0
    return float(1.4826 * np.median(sample) / _SECOND_DIFFERENCE)


def _smoothed(inverse: Floats, size: int) -> Floats:
    """Mean of the known values around each known one."""
    known = np.isfinite(inverse)
    filled = np.where(known, inverse, np.float32(0))
    total = cv2.blur(filled, (size, size), borderType=cv2.BORDER_REPLICATE)
    share = cv2.blur(known.astype(np.float32), (size, size), borderType=cv2.BORDER_REPLICATE)
    return np.where(known, total / np.maximum(share, 1e-6), np.nan).astype(np.float32)


def _joined(inverse: Floats, depth: Floats, noise: float, axis: int) -> Flags:
    """Whether neighbours along an axis lie on one surface: their step goes on as a step beside."""
    if axis == 0:
        return _joined(inverse.T, depth.T, noise, 1).T
    step = np.diff(inverse, axis=1)
    beside = np.full((2, *step.shape), np.nan, np.float32)
    beside[0, :, 1:] = step[:, :-1]
    beside[1, :, :-1] = step[:, 1:]
    change = np.fmin(*np.abs(step - beside))
    change = np.where(np.isnan(change), np.abs(step), change)
    range_m = np.minimum(depth[:, 1:], depth[:, :-1])
    with np.errstate(invalid="ignore"):
        joined: Flags = change * range_m * range_m <= np.maximum(
            _EDGE_M, 2 * _EDGE_NOISE * noise * range_m
        )
    return joined
