"""Depth of one camera as another camera would measure it.

Each pixel of the depth image covers a part of the other image: where the corners of the pixel
fall, at the pixel's depth. Where several cover a pixel, the nearest is kept; where none does,
depth is unknown. No value is interpolated: that would invent surfaces at depth edges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vega3d_ros.core.frames import Camera
    from vega3d_ros.core.geometry import SE3

    Floats = NDArray[np.float64]
    Singles = NDArray[np.float32]

_NEAREST_M = 1e-3
# A pixel covers at most so many times what it covers at the same distance from both cameras: what
# is that much nearer to the other camera is a fault of the sensor.
_MOST_GROWTH = 4.0
# px; rounding must leave no gap between neighbours whose border is at the centre of a pixel.
_SLACK_PX = 1e-4


def reproject(
    depth_m: NDArray[np.float32], depth_camera: Camera, camera: Camera, camera_from_depth: SE3
) -> NDArray[np.float32]:
    """What the colour camera would measure.

    Args:
        depth_m: [h, w] metres along the depth camera's optical axis; NaN, 0 or less where unknown.
        depth_camera: At the size of ``depth_m``.
        camera: The colour camera, whose image is [H, W].
        camera_from_depth: The colour camera's optical frame from the depth camera's.

    Returns:
        [H, W] metres along the colour camera's optical axis; NaN where unknown.
    """
    rows, columns = np.nonzero(np.isfinite(depth_m) & (depth_m > 0))
    depth = depth_m[rows, columns].astype(np.float64)
    turn = camera_from_depth.rotation
    rays = depth_camera.rays(np.stack([columns, rows], axis=-1).astype(np.float64))
    points = depth[:, None] * (rays @ turn.T) + camera_from_depth.translation
    ahead = points[:, 2] > _NEAREST_M
    points, depth = points[ahead], depth[ahead]
    x, y, z = points.T
    # How the place in the image changes from one pixel of the depth image to the next.
    right, down = (
        [(depth * (part / focal)).astype(np.float32) for part in turn[:, axis]]
        for axis, focal in ((0, depth_camera.fx), (1, depth_camera.fy))
    )
    flat = [axis.astype(np.float32) for axis in (x, y, z)]
    first_u, last_u, wide = _covered(
        x / z * camera.fx + camera.cx, _moves(flat[0], flat[2], right[0], right[2], camera.fx),
        _moves(flat[0], flat[2], down[0], down[2], camera.fx),
        camera.fx / min(depth_camera.fx, depth_camera.fy), camera.width,
    )  # fmt: skip
    first_v, last_v, high = _covered(
        y / z * camera.fy + camera.cy, _moves(flat[1], flat[2], right[1], right[2], camera.fy),
        _moves(flat[1], flat[2], down[1], down[2], camera.fy),
        camera.fy / min(depth_camera.fx, depth_camera.fy), camera.height,
    )  # fmt: skip
    nearest = np.full(camera.height * camera.width, np.inf, np.float32)
    near = z.astype(np.float32)
    for step_v in range(high):
        in_rows = np.flatnonzero(first_v + step_v <= last_v)
        for step_u in range(wide):
            own = in_rows[first_u[in_rows] + step_u <= last_u[in_rows]]
            pixel = (first_v[own] + step_v) * camera.width + first_u[own] + step_u
            np.minimum.at(nearest, pixel, near[own])
    nearest[np.isinf(nearest)] = np.nan
    return nearest.reshape(camera.height, camera.width)


def _moves(place: Singles, z: Singles, step: Singles, step_z: Singles, focal: float) -> Singles:
    """How far a step in space moves a point's place in the image, pixels."""
    moves: Singles = (np.abs(step - place / z * step_z) / z * focal).astype(np.float32)
    return moves


def _covered(
    middle: Floats, by_right: Singles, by_down: Singles, scale: float, size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """First and last pixel that each point covers, clipped to the image, and the largest number.

    Where the last lies before the first, none is covered.
    """
    half = np.minimum((by_right + by_down) / 2, _MOST_GROWTH * max(scale, 1.0) / 2) + _SLACK_PX
    first = np.clip(np.ceil(middle - half), 0, size).astype(np.int64)
    last = np.clip(np.floor(middle + half), -1, size - 1).astype(np.int64)
    return first, last, int((last - first).max(initial=-1)) + 1
