"""Where each visual token looks: rays, levelled camera frames and what the depth sensor says.

The *levelled* frame of a camera has its origin, x forward along the horizontal heading, y left and
z up (REP-103): the camera's pitch and roll are taken out, so that boxes in it are upright.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.core.geometry import SE3

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from vega3d_ros.core.frames import Camera, Frame

    Array = NDArray[np.float32]

# Optical (x right, y down, z forward) to a level body frame (x forward, y left, z up), REP-103.
BODY_FROM_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
FEATURES = 24
_SCALE_M = 3.0
_HIGHEST_M, _USUAL_M = 2.5, 1.0  # of cameras above the floor


@dataclass(frozen=True, eq=False, kw_only=True)
class TokenGeometry:
    """Geometry of one frame's visual tokens; R rows, C columns.

    Attributes:
        camera: The intrinsics at the frame's size.
        level_from_optical: [3, 3]; the camera's attitude without its heading; level where no
            pose is known.
        fixed_from_level: The levelled camera in the fixed frame, or None without a pose.
        pixels: [R, C, 2], the centre of each token in the frame's pixels.
        rays: [R, C, 3], optical rays with z = 1.
        surface_m: [R, C, 3], 10th, 50th and 90th percentile of the depth in the token; NaN where
            unknown.
    """

    camera: Camera
    level_from_optical: NDArray[np.float64]
    fixed_from_level: SE3 | None
    pixels: NDArray[np.float64]
    rays: NDArray[np.float64]
    surface_m: Array

    @property
    def rows(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def columns(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def pitch_px(self) -> tuple[float, float]:
        """Width and height of a token in the frame's pixels."""
        return self.camera.width / self.columns, self.camera.height / self.rows


def level(pose: SE3 | None) -> tuple[NDArray[np.float64], SE3 | None]:
    """Split a camera pose into attitude and levelled pose.

    Returns:
        ``level_from_optical`` [3, 3] and ``fixed_from_level`` (None without a pose; the camera is
        then taken to be level).
    """
    if pose is None:
        return BODY_FROM_OPTICAL, None
    fixed_from_level = level_pose(pose)
    return fixed_from_level.rotation.T @ pose.rotation, fixed_from_level


def level_pose(pose: SE3) -> SE3:
    """The levelled camera of a camera at ``pose`` (fixed frame from optical frame)."""
    forward = pose.rotation[:, 2]
    heading = np.arctan2(forward[1], forward[0])
    c, s = np.cos(heading), np.sin(heading)
    return SE3(np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]), pose.translation)


def token_geometry(frame: Frame, rows: int, columns: int) -> TokenGeometry | None:
    """The geometry of a frame's tokens, or None where its camera is not calibrated."""
    if frame.camera is None:
        return None
    return camera_token_geometry(frame.camera, frame.pose, frame.depth_m, rows, columns)


def camera_token_geometry(
    camera: Camera,
    pose: SE3 | None,
    depth_m: NDArray[np.float32] | None,
    rows: int,
    columns: int,
) -> TokenGeometry:
    """The geometry of the tokens of a camera's image, whose depth map may have another size."""
    u = (np.arange(columns) + 0.5) * camera.width / columns - 0.5
    v = (np.arange(rows) + 0.5) * camera.height / rows - 0.5
    pixels = np.stack(np.meshgrid(u, v), axis=-1)
    attitude, fixed_from_level = level(pose)
    return TokenGeometry(
        camera=camera,
        level_from_optical=attitude,
        fixed_from_level=fixed_from_level,
        pixels=pixels,
        rays=camera.rays(pixels),
        surface_m=surface_percentiles(depth_m, rows, columns),
    )


def surface_percentiles(
    depth_m: NDArray[np.float32] | None, rows: int, columns: int, samples: int = 8
) -> Array:
    """10th, 50th and 90th percentile of the valid depth in each token, [rows, columns, 3].

    A grid of ``samples`` x ``samples`` pixels stands for the token. NaN where less than a quarter
    of them is valid.
    """
    surface = np.full((rows, columns, 3), np.nan, np.float32)
    if depth_m is None:
        return surface
    height, width = depth_m.shape
    y = ((np.arange(rows * samples) + 0.5) * height / (rows * samples)).astype(int)
    x = ((np.arange(columns * samples) + 0.5) * width / (columns * samples)).astype(int)
    sampled = depth_m[np.ix_(y, x)].reshape(rows, samples, columns, samples)
    cells = sampled.transpose(0, 2, 1, 3).reshape(rows, columns, -1)
    ordered = np.sort(np.where(np.isfinite(cells) & (cells > 0), cells, np.nan), axis=-1)
    count = np.isfinite(ordered).sum(axis=-1)
    for k, fraction in enumerate((0.1, 0.5, 0.9)):
        index = np.maximum(((count - 1) * fraction).round().astype(int), 0)
        surface[..., k] = np.take_along_axis(ordered, index[..., None], axis=-1)[..., 0]
    surface[count < cells.shape[-1] / 4] = np.nan
    return surface


def floor_height_m(geometries: Iterable[TokenGeometry | None]) -> float:
    """Height of the floor in the fixed frame of a clip, as far as ``features`` need it.

    0 where that gives the cameras the height of one that stands there. Else, as in a map with
    altitudes or on another storey, the lowest surface in view, or what is below a camera.
    """
    eyes, levels = [], [np.empty(0)]
    for one in geometries:
        if one is not None and one.fixed_from_level is not None:
            eye = float(one.fixed_from_level.translation[2])
            down = (one.rays @ one.level_from_optical.T)[..., 2] * one.surface_m[..., 1]
            eyes.append(eye)
            levels.append(eye + down[np.isfinite(down) & (down < 0)])
    if not eyes or (min(eyes) >= 0 and max(eyes) <= _HIGHEST_M):
        return 0.0
    below = np.concatenate(levels)
    return float(np.quantile(below, 0.02)) if below.size else min(eyes) - _USUAL_M


def features(
    geometry: TokenGeometry | None,
    reference: SE3 | None,
    shape: tuple[int, int],
    floor_m: float = 0.0,
) -> Array:
    """What a token is told of where it looks, [rows * columns, FEATURES].

    Twelve values are the camera's own (ray, height, depth); twelve place the token in the frame of
    ``reference`` (the clip's newest levelled camera). Unknown values are 0 beside a flag of 0. The
    camera's height is above ``floor_m``.
    """
    rows, columns = shape
    out = np.zeros((rows * columns, FEATURES), np.float32)
    if geometry is None:
        return out
    rays = (geometry.rays @ geometry.level_from_optical.T).reshape(-1, 3)
    out[:, 0:3] = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    out[:, 3] = 1.0
    surface = geometry.surface_m.reshape(-1, 3)
    seen = np.isfinite(surface[:, 1])
    points = rays * np.where(seen, surface[:, 1], 0.0)[:, None]
    out[:, 4:7] = points / _SCALE_M
    out[seen, 7] = np.log(surface[seen, 1])
    out[seen, 8] = np.log(surface[seen, 1] / surface[seen, 0])
    out[seen, 9] = np.log(surface[seen, 2] / surface[seen, 1])
    out[:, 10] = seen
    pose = geometry.fixed_from_level
    if pose is None:
        return out
    out[:, 11] = pose.translation[2] - floor_m
    out[:, 12] = 1.0
    if reference is None:
        return out
    relative = reference.inverse() @ pose
    out[:, 13:16] = relative.translation / _SCALE_M
    out[:, 16:19] = out[:, 0:3] @ relative.rotation.T
    out[seen, 19:22] = relative.apply(points[seen]) / _SCALE_M
    out[:, 22] = np.cos(relative.yaw)
    out[:, 23] = np.sin(relative.yaw)
    return out
