"""Evidence per voxel: who saw it, whether inside; it grows by frames and forgets them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.box_scenes import CAMERA, look

from vega3d_ros.core.geometry import Box3D
from vega3d_ros.models.grounders.lifted.points import depth_grid
from vega3d_ros.models.grounders.lifted.voxels import (
    VOXEL_M,
    VoxelEvidence,
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


def evidence(keys, stamps, seed):
    rng = np.random.default_rng(seed)
    keys = np.unique(np.array(keys, np.int64))
    seen = rng.random((len(keys), len(stamps))) < 0.7
    seen[:, 0] = True
    inside = (rng.random(seen.shape) * seen).astype(np.float32)
    points = np.repeat(keys[:, None], 3, axis=1).astype(np.float32)
    return VoxelEvidence(keys, points, tuple(stamps), seen, inside)


KEYS = st.lists(st.integers(0, 40), min_size=1, max_size=20)


@given(KEYS, KEYS, st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
@settings(max_examples=60)
def test_what_is_merged_and_forgotten_again_is_as_before(mine, theirs, count, others, seed):
    a = evidence(mine, range(count), seed)
    b = evidence(theirs, range(100, 100 + others), seed + 1)
    back = a.merged(b).forget(b.stamps_ns)
    np.testing.assert_array_equal(back.keys, a.keys)
    np.testing.assert_array_equal(back.seen, a.seen)
    np.testing.assert_array_equal(back.inside, a.inside)
    assert back.stamps_ns == a.stamps_ns


@given(KEYS, KEYS, st.integers(0, 99))
@settings(max_examples=60)
def test_shares_do_not_depend_on_who_is_merged_into_whom(mine, theirs, seed):
    a, b = evidence(mine, (1, 2), seed), evidence(theirs, (3, 4, 5), seed + 1)
    one, other = a.merged(b), b.merged(a)
    np.testing.assert_array_equal(one.keys, other.keys)
    np.testing.assert_allclose(one.share, other.share, rtol=1e-5)


@given(KEYS, st.integers(0, 99))
@settings(max_examples=30)
def test_frames_that_both_know_count_once(keys, seed):
    a = evidence(keys, (1, 2, 3), seed)
    again = a.merged(a)
    np.testing.assert_array_equal(again.share, a.share)
    assert again.stamps_ns == a.stamps_ns
