"""Voxels of frames: their keys, their points, and who sees them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.box_scenes import CAMERA, look

from vega3d_ros.core.geometry import Box3D
from vega3d_ros.models.grounders.lifted.points import depth_grid
from vega3d_ros.models.grounders.lifted.voxels import (
    VOXEL_M,
    frame_voxels,
    union,
    visibility,
    voxel_cells,
    voxel_keys,
)
from vega3d_ros.simulation.clip_paths import camera_pose

POSE = camera_pose(0, 0, 1.0, 0.0, 0.0)
BLOCK = ("block", Box3D.upright((2.0, 0, 1.0), (0.4, 0.6, 0.6)))


@given(hnp.arrays(np.float64, (20, 3), elements=st.floats(-4000, 4000)))
def test_keys_tell_the_cells(points):
    cells = voxel_cells(voxel_keys(points))
    np.testing.assert_array_equal(cells, np.floor(points / VOXEL_M))


def test_the_voxels_of_a_frame_hold_its_points():
    grid = depth_grid(look(POSE, [BLOCK])[0], CAMERA, POSE)
    voxels = frame_voxels(grid)
    assert (np.diff(voxels.keys) > 0).all()
    off = voxels.points / VOXEL_M - voxel_cells(voxels.keys)
    assert off.min() > -1e-3
    assert off.max() < 1 + 1e-3
    known = voxels.index >= 0
    assert voxels.counts.sum() == np.count_nonzero(known)
    keys = voxel_keys(grid.points[known])
    np.testing.assert_array_equal(voxels.keys[voxels.index[known]], keys)


def test_a_union_does_not_depend_on_how_often_a_frame_is_given():
    voxels = frame_voxels(depth_grid(look(POSE, [BLOCK])[0], CAMERA, POSE))
    every = np.ones(len(voxels.keys), np.bool_)
    once, twice = union([(voxels, every)]), union([(voxels, every), (voxels, every)])
    np.testing.assert_array_equal(once[0], twice[0])
    np.testing.assert_allclose(once[1], twice[1], rtol=1e-5)


def test_a_frame_sees_surfaces_sees_through_air_and_not_behind_things():
    grid = depth_grid(look(POSE, [BLOCK])[0], CAMERA, POSE)
    front, before, behind, beside, back = np.array(
        [[1.8, 0, 1.0], [1.2, 0, 1.0], [2.6, 0, 1.0], [1.8, 5.0, 1.0], [-1.0, 0, 1.0]], np.float32
    )
    _, seen, through = visibility(grid, np.stack([front, before, behind, beside, back]))
    assert seen.tolist() == [True, False, False, False, False]
    assert through.tolist() == [False, True, False, False, False]
