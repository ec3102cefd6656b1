"""Depth images become points; what flies between foreground and background does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.box_scenes import CAMERA, look

from vega3d_ros.core.frames import Camera
from vega3d_ros.core.geometry import SE3, Box3D
from vega3d_ros.models.grounders.lifted.points import depth_grid
from vega3d_ros.simulation.clip_paths import camera_pose

FRONT = camera_pose(0, 0, 1.2, 0.0, -0.3)


def wall_and_block(torn):
    """A block 1.5 m before a wall at 3 m; where ``torn``, its edge pixels lie between both."""
    depth = np.full((120, 160), 3.0, np.float32)
    depth[40:80, 60:100] = 1.5
    if torn:
        depth[40:80, 59] = 2.2
        depth[40:80, 100] = 2.5
    return depth


def test_a_flying_pixel_between_block_and_wall_is_dropped():
    depth = wall_and_block(torn=True)
    grid = depth_grid(depth, CAMERA, SE3.identity())
    left = grid.depth_m[np.isfinite(grid.depth_m)]
    assert np.isclose(left[:, None], [1.5, 3.0], atol=1e-4).any(axis=1).all()
    assert np.count_nonzero(left < 2) > 0.85 * 40 * 40


@given(pitch=st.floats(-1.2, -0.1), height=st.floats(0.3, 2.0))
@settings(deadline=None, max_examples=25)
def test_a_floor_seen_at_any_slant_has_no_edges(pitch, height):
    pose = camera_pose(0, 0, height, 0.4, pitch)
    depth, _ = look(pose, [], 0.0)
    grid = depth_grid(depth, CAMERA, pose)
    assert np.isfinite(grid.depth_m).sum() >= 0.99 * np.isfinite(depth).sum()
    assert np.nanmax(np.abs(grid.points[..., 2])) < 1e-3 * (1 + np.nanmax(depth))
    known = np.isfinite(grid.depth_m)
    assert grid.right[known[:, 1:] & known[:, :-1]].all()


def test_a_step_in_depth_is_no_surface_to_walk_on():
    grid = depth_grid(wall_and_block(torn=False), CAMERA, SE3.identity())
    known = np.isfinite(grid.depth_m)
    jump = np.abs(np.diff(np.where(known, grid.depth_m, np.nan), axis=1)) > 1
    assert not grid.right[jump].any()


@pytest.mark.parametrize("noise", [0.0, 0.005, 0.02, 0.05])
def test_noise_is_measured(noise):
    depth, _ = look(FRONT, [("block", Box3D.upright((2, 0, 0.4), (0.6, 0.6, 0.8)))])
    rng = np.random.default_rng(1)
    noisy = depth * (1 + noise * rng.standard_normal(depth.shape).astype(np.float32))
    assert depth_grid(noisy, CAMERA, FRONT).noise == pytest.approx(noise, rel=0.15, abs=1e-4)


def test_noise_does_not_take_surfaces_for_edges():
    depth, _ = look(FRONT, [])
    rng = np.random.default_rng(1)
    noisy = depth * (1 + 0.03 * rng.standard_normal(depth.shape).astype(np.float32))
    kept = np.isfinite(depth_grid(noisy, CAMERA, FRONT).depth_m).sum()
    assert kept > 0.97 * np.isfinite(depth).sum()


@given(width=st.integers(40, 900), height=st.integers(40, 700))
@settings(deadline=None, max_examples=20)
def test_samples_are_where_they_say(width, height):
    camera = Camera(width=width, height=height, fx=300.0, fy=310.0, cx=width / 2, cy=height / 2)
    depth = np.full((height, width), 2.0, np.float32)
    grid = depth_grid(depth, camera, SE3.identity())
    columns, rows = grid.pixels
    assert columns.max() < width
    assert rows.max() < height
    back = camera.project(grid.points.astype(np.float64))
    np.testing.assert_allclose(back[..., 0], np.broadcast_to(columns, back.shape[:2]), atol=1e-2)
    np.testing.assert_allclose(back[..., 1].T, np.broadcast_to(rows, back.shape[1::-1]), atol=1e-2)


@pytest.mark.parametrize("value", [np.nan, 0.0, -1.0])
def test_unknown_depth_gives_no_points(value):
    depth = np.full((120, 160), value, np.float32)
    grid = depth_grid(depth, CAMERA, SE3.identity())
    assert not np.isfinite(grid.points).any()
    assert grid.noise == 0.0
