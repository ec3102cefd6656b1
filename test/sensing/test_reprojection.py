"""Depth of one camera brought into another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.box_scenes import CAMERA, around, chair_like, look

from vega3d_ros.core.frames import Camera
from vega3d_ros.core.geometry import SE3
from vega3d_ros.sensing.reprojection import reproject


def camera(width, height, focal=80.0):
    return Camera(
        width=width, height=height, fx=focal, fy=focal,
        cx=(width - 1) / 2, cy=(height - 1) / 2,
    )  # fmt: skip


def about(axis, angle):
    """A turn about x, y or z."""
    c, s = np.cos(angle), np.sin(angle)
    i, j = ((1, 2), (2, 0), (0, 1))[axis]
    turn = np.eye(3)
    turn[i, i] = turn[j, j] = c
    turn[i, j], turn[j, i] = -s, s
    return SE3(turn, np.zeros(3))


sizes = st.tuples(st.integers(3, 24), st.integers(3, 24))
metres = st.one_of(st.floats(0.25, 8.0, width=32), st.sampled_from([np.nan, 0.0, -1.0, np.inf]))
images = sizes.flatmap(lambda size: hnp.arrays(np.float32, size, elements=metres))


def known(depth):
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.nan).astype(np.float32)


@given(images, st.floats(5.0, 500.0), st.floats(-0.4, 0.4), st.floats(-0.4, 0.4))
def test_the_same_camera_measures_the_same(depth, focal, off_x, off_y):
    height, width = depth.shape
    own = Camera(
        width=width, height=height, fx=focal, fy=1.3 * focal,
        cx=width * (0.5 + off_x), cy=height * (0.5 + off_y),
    )  # fmt: skip
    same = reproject(depth, own, own, SE3.identity())
    np.testing.assert_array_equal(same, known(depth))


@given(images, st.integers(-4, 4), st.integers(-4, 4), st.floats(0.5, 6.0))
def test_a_plane_seen_from_beside_is_shifted_and_what_was_hidden_stays_unknown(
    depth, right, down, range_m
):
    depth = np.where(np.isfinite(known(depth)), np.float32(range_m), np.nan)
    own = camera(depth.shape[1], depth.shape[0])
    moved = SE3(np.eye(3), np.array([right, down, 0.0]) * float(np.float32(range_m)) / own.fx)
    seen = reproject(depth, own, own, moved)
    rows, columns = np.mgrid[: own.height, : own.width]
    from_row, from_column = rows - down, columns - right
    inside = (from_row >= 0) & (from_row < own.height)
    inside &= (from_column >= 0) & (from_column < own.width)
    expected = np.full_like(depth, np.nan)
    expected[inside] = depth[from_row[inside], from_column[inside]]
    np.testing.assert_allclose(seen, expected, rtol=1e-6)


@given(images, st.integers(1, 5), st.integers(1, 5))
def test_a_finer_image_repeats_values_and_keeps_holes(depth, by_row, by_column):
    coarse = camera(depth.shape[1], depth.shape[0])
    fine = coarse.resized(by_column * coarse.width, by_row * coarse.height)
    seen = reproject(depth, coarse, fine, SE3.identity())
    np.testing.assert_array_equal(seen, known(depth).repeat(by_row, 0).repeat(by_column, 1))


@given(sizes, st.floats(0.25, 4.0), st.floats(0.5, 6.0))
def test_a_wall_has_no_gap_at_any_resolution(size, scale, range_m):
    own = camera(size[1], size[0])
    other = own.resized(max(1, round(scale * size[1])), max(1, round(scale * size[0])))
    depth = np.full(size, range_m, np.float32)
    seen = reproject(depth, own, other, SE3.identity())
    np.testing.assert_array_equal(seen, np.full((other.height, other.width), depth[0, 0]))


@given(images, st.integers(0, 3))
def test_a_camera_on_its_side_sees_the_image_turned(depth, quarters):
    own = camera(depth.shape[1], depth.shape[0])
    turned = np.rot90(known(depth), quarters)
    other = camera(turned.shape[1], turned.shape[0])
    seen = reproject(depth, own, other, about(2, -quarters * np.pi / 2))
    np.testing.assert_allclose(seen, turned, rtol=1e-6)


@given(st.floats(0.0, 2 * np.pi))
def test_a_rolled_camera_sees_a_wall_without_gaps(angle):
    own = camera(61, 61)
    seen = reproject(np.full((61, 61), 2.0, np.float32), own, own, about(2, angle))
    np.testing.assert_allclose(seen[20:41, 20:41], 2.0, rtol=1e-6)


@given(images, st.tuples(*[st.floats(-0.3, 0.3)] * 3), st.floats(-0.3, 0.3))
def test_no_depth_is_invented(depth, place, angle):
    """Each value is the distance of a measured point, at most half a pixel from where it falls."""
    own = camera(depth.shape[1], depth.shape[0])
    pose = SE3(about(1, angle).rotation, np.array(place))
    seen = reproject(depth, own, own, pose)
    rows, columns = np.nonzero(np.isfinite(known(depth)))
    rays = own.rays(np.stack([columns, rows], axis=1).astype(float))
    z = (rays * depth[rows, columns, None]) @ pose.rotation.T @ [0, 0, 1.0] + pose.translation[2]
    values = seen[np.isfinite(seen)]
    assert (values > 0).all()
    if len(values):
        assert len(z)
        assert np.abs(values[:, None] - z).min(axis=1).max() <= 1e-5 * max(1.0, values.max())


@pytest.mark.parametrize("side", [1, -1])  # mirrored, the wall comes before the post
def test_of_two_surfaces_on_one_ray_the_nearer_is_kept(side):
    own = camera(40, 4)
    depth = np.full((4, 40), 4.0, np.float32)
    depth[:, 20:24] = 1.0  # a post
    moved = SE3(np.eye(3), np.array([-0.1 * side, 0.0, 0.0]))
    seen = reproject(depth[:, ::side], own, own, moved)[:, ::side]
    np.testing.assert_allclose(seen[:, 12:16], 1.0)  # it moved by 8 pixels, the wall by 2
    assert np.isnan(seen[:, 18:22]).all()  # what it hid from the depth camera
    np.testing.assert_allclose(seen[:, 22:38], 4.0)
    assert np.isnan(seen[:, 38:]).all()


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_a_room_seen_from_a_depth_camera_beside_is_what_the_colour_camera_sees(scale):
    things = [("sofa", chair_like(0.0, 0.0, 0.3, (1.6, 0.8, 0.7)))]
    (pose,) = around((0.0, 0.0, 0.4), 1, radius=2.5)
    beside = SE3(about(1, 0.03).rotation, np.array([0.05, 0.01, 0.0]))  # colour from depth
    depth_camera = CAMERA.resized(round(scale * CAMERA.width), round(scale * CAMERA.height))
    measured, _ = look(pose @ beside, things, camera=depth_camera)
    seen = reproject(measured, depth_camera, CAMERA, beside)
    true, _ = look(pose, things)
    both = np.isfinite(seen) & np.isfinite(true)
    assert both.sum() > 0.85 * np.isfinite(true).sum()
    assert np.quantile(np.abs(seen - true)[both] / true[both], 0.9) < 0.02 / min(scale, 1.0)


def test_points_behind_or_at_the_other_camera_are_left_out():
    own = camera(8, 8)
    depth = np.full((8, 8), 1.0, np.float32)
    for forward in (-1.0, -1.0 + 1e-9, -2.0):
        seen = reproject(depth, own, own, SE3(np.eye(3), np.array([0.0, 0.0, forward])))
        assert np.isnan(seen).all()
