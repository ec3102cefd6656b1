"""The floor is found where it shows, at any height, and unknown where it does not."""

from __future__ import annotations

import numpy as np
import pytest
from support.box_scenes import CAMERA, about_z, around, look

from vega3d_ros.core.geometry import SE3, Box3D
from vega3d_ros.models.grounders.lifted.floor import estimate_floor, facing_up, level_frame
from vega3d_ros.models.grounders.lifted.points import depth_grid
from vega3d_ros.simulation.clip_paths import camera_pose

TABLE = ("table", Box3D.upright((0, 0, 0.72), (1.6, 0.9, 0.06)))


def facing(poses, things, floor_m):
    grids = [depth_grid(look(pose, things, floor_m)[0], CAMERA, pose) for pose in poses]
    return [facing_up(grid) for grid in grids]


@pytest.mark.parametrize("height", [0.0, -0.8, 3.4])
def test_the_floor_is_found_at_any_height_below_a_table(height):
    poses = [about_z(0.0, z=height) @ pose for pose in around((0, 0, 0.5), height=1.4)]
    table = ("table", Box3D.upright((0, 0, height + 0.72), (1.6, 0.9, 0.06)))
    floor = estimate_floor(facing(poses, [table], height))
    assert floor is not None
    assert floor.height_m == pytest.approx(height, abs=0.01)
    assert floor.area_m2 > 1.0


def test_noise_moves_the_floor_by_little():
    rng = np.random.default_rng(0)
    points = []
    for pose in around((0, 0, 0.5), height=1.4):
        depth, _ = look(pose, [TABLE], 0.0)
        depth = depth * (1 + 0.02 * rng.standard_normal(depth.shape).astype(np.float32))
        points.append(facing_up(depth_grid(depth, CAMERA, pose)))
    floor = estimate_floor(points)
    assert floor is not None
    assert floor.height_m == pytest.approx(0.0, abs=0.04)


def test_without_a_floor_in_view_it_is_unknown():
    wall = ("wall", Box3D.upright((2.0, 0, 1.5), (0.1, 6.0, 3.0)))
    pose = camera_pose(0, 0, 1.2, 0.0, 0.1)
    assert estimate_floor(facing([pose], [wall], None)) is None
    assert estimate_floor([]) is None


def test_a_ramp_is_no_floor():
    tilt = np.radians(8)
    c, s = np.cos(tilt), np.sin(tilt)
    ramp = SE3(np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]), np.zeros(3))
    pose = camera_pose(-1.5, 0, 1.2, 0.0, -0.5)
    grid = depth_grid(look(pose, [], 0.0)[0], CAMERA, ramp @ pose)
    assert estimate_floor([facing_up(grid)]) is None


@pytest.mark.parametrize(("pitch", "roll"), [(-0.2, 0.0), (-0.5, 0.1), (-0.35, -0.2)])
def test_gravity_is_read_off_the_floor_of_a_tilted_camera(pitch, roll):
    c, s = np.cos(roll), np.sin(roll)
    rolled = SE3(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]), np.zeros(3))
    pose = camera_pose(0, 0, 1.2, 0.0, pitch) @ rolled
    grid = depth_grid(look(pose, [TABLE], 0.0)[0], CAMERA, SE3.identity())
    level, known = level_frame(grid)
    assert known
    up = level.rotation[2]
    assert up @ pose.rotation[2] == pytest.approx(1.0, abs=5e-4)


def test_without_a_floor_the_camera_is_taken_to_be_level():
    wall = ("wall", Box3D.upright((2.0, 0, 1.5), (0.1, 6.0, 3.0)))
    pose = camera_pose(0, 0, 1.2, 0.0, 0.0)
    level, known = level_frame(depth_grid(look(pose, [wall], None)[0], CAMERA, SE3.identity()))
    assert not known
    np.testing.assert_allclose(level.rotation @ [0, -1, 0], [0, 0, 1], atol=1e-9)
