"""Tests of transforms and boxes: the laws they obey, and values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vega3d_ros.core.geometry import (
    SE3,
    Box3D,
    GeometryError,
    distance_between,
    iou_axis_aligned,
    iou_oriented,
)

pytestmark = pytest.mark.numeric

coordinate = st.floats(-10, 10)
points = st.tuples(coordinate, coordinate, coordinate)
yaws = st.floats(-3.1, 3.1)
sizes = st.tuples(*[st.floats(0.05, 3.0)] * 3)
quaternions = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.05)
poses = st.builds(SE3.from_quaternion, quaternions, points)
upright = st.builds(Box3D.upright, st.tuples(*[st.floats(-2, 2)] * 3), sizes, yaws)
level_motions = st.builds(
    lambda yaw, shift: SE3(Rotation.from_euler("z", yaw).as_matrix(), np.array(shift)),
    yaws,
    points,
)


def same(a: SE3, b: SE3, tolerance=1e-9):
    np.testing.assert_allclose(a.matrix, b.matrix, atol=tolerance)


@given(poses, poses, poses)
def test_transforms_form_a_group(a, b, c):
    same((a @ b) @ c, a @ (b @ c))
    same(a @ SE3.identity(), a)
    same(SE3.identity() @ a, a)
    same(a @ a.inverse(), SE3.identity())
    same(a.inverse() @ a, SE3.identity())
    same((a @ b).inverse(), b.inverse() @ a.inverse())


@given(poses, poses, points)
def test_composition_is_application_in_turn(a, b, point):
    np.testing.assert_allclose((a @ b).apply(point), a.apply(b.apply(point)), atol=1e-9)
    stack = np.broadcast_to(point, (2, 3, 3))
    np.testing.assert_allclose(a.apply(stack)[1, 2], a.apply(point), atol=1e-12)
    homogeneous = a.matrix @ np.array([*point, 1.0])
    np.testing.assert_allclose(a.apply(point), homogeneous[:3], atol=1e-9)


@given(poses)
def test_quaternion_and_matrix_round_trips(pose):
    same(SE3.from_quaternion(pose.quaternion, pose.translation), pose)
    same(SE3.from_matrix(pose.matrix), pose)
    assert pose.quaternion[3] >= 0
    assert np.linalg.norm(pose.quaternion) == pytest.approx(1)


def test_quaternion_is_in_ros_order_and_normalised():
    quarter = SE3.from_quaternion((0, 0, 2, 2), (1, 2, 3))  # 90 degrees about z
    np.testing.assert_allclose(quarter.apply((1, 0, 0)), (1, 3, 3), atol=1e-12)
    assert quarter.yaw == pytest.approx(np.pi / 2)


@given(poses, poses, st.floats(0, 1))
def test_interpolation(a, b, fraction):
    assume(a.angle_to(b) < np.pi - 1e-3)  # at half a turn the shorter arc is not unique
    same(a.interpolate(b, 0.0), a, 1e-7)
    same(a.interpolate(b, 1.0), b, 1e-7)
    between = a.interpolate(b, fraction)
    assert a.angle_to(between) == pytest.approx(fraction * a.angle_to(b), abs=1e-6)
    assert a.distance_to(between) == pytest.approx(fraction * a.distance_to(b), abs=1e-9)
    same(between, b.interpolate(a, 1 - fraction), 1e-6)


@pytest.mark.parametrize("fraction", [-0.01, 1.01, float("nan")])
def test_interpolation_never_extrapolates(fraction):
    with pytest.raises(GeometryError, match="extrapolated"):
        SE3.identity().interpolate(SE3.identity(), fraction)


@given(poses, poses)
def test_distance_and_angle_are_symmetric(a, b):
    assert a.angle_to(b) == pytest.approx(b.angle_to(a), abs=1e-9)
    assert 0 <= a.angle_to(b) <= np.pi + 1e-9
    assert a.distance_to(b) == b.distance_to(a)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SE3(np.eye(3) * 2, np.zeros(3)), "orthonormal"),
        (lambda: SE3(np.diag([1.0, 1.0, -1.0]), np.zeros(3)), "determinant"),
        (lambda: SE3(np.eye(3), np.zeros(2)), "translation has shape"),
        (lambda: SE3(np.eye(3), np.array([0, np.nan, 0])), "NaN"),
        (lambda: SE3.from_quaternion((0, 0, 0, 0), (0, 0, 0)), "all zeros"),
        (lambda: SE3.from_quaternion((0, 0, np.inf, 1), (0, 0, 0)), "infinity"),
        (lambda: SE3.from_matrix(np.eye(3)), "matrix has shape"),
        (lambda: Box3D.upright((0, 0, 0), (1, 0, 1)), "positive"),
        (lambda: Box3D.upright((0, 0, 0), (1, -1, 1)), "positive"),
        (lambda: Box3D.upright((0, np.nan, 0), (1, 1, 1)), "center holds NaN"),
        (lambda: Box3D(np.zeros(3), np.ones(3), np.ones((3, 3))), "proper rotation"),
    ],
)
def test_what_cannot_exist_is_refused(make, words):
    with pytest.raises(GeometryError, match=words):
        make()


def test_transforms_cannot_be_changed_from_outside():
    rotation = np.eye(3)
    pose = SE3(rotation, np.zeros(3))
    rotation[0, 0] = 5
    assert pose.rotation[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        pose.translation[0] = 1


def test_corners_by_hand():
    box = Box3D.upright((1, 2, 3), (2, 4, 6))
    np.testing.assert_allclose(box.corners[0], (0, 0, 0))
    np.testing.assert_allclose(box.corners[0b100], (2, 0, 0))
    np.testing.assert_allclose(box.corners[0b010], (0, 4, 0))
    np.testing.assert_allclose(box.corners[0b001], (0, 0, 6))
    np.testing.assert_allclose(box.corners[7], (2, 4, 6))
    turned = Box3D.upright((0, 0, 0), (4, 2, 2), np.pi / 2)
    np.testing.assert_allclose(turned.bounds, ((-1, -2, -1), (1, 2, 1)), atol=1e-12)
    assert turned.yaw == pytest.approx(np.pi / 2)
    assert turned.volume == 16


@given(upright, poses)
def test_a_moved_box_has_moved_corners(box, motion):
    moved = box.transformed(motion)
    np.testing.assert_allclose(moved.corners, motion.apply(box.corners), atol=1e-9)
    assert moved.volume == pytest.approx(box.volume)
    np.testing.assert_allclose(box.corners.mean(axis=0), box.center, atol=1e-9)


@pytest.mark.parametrize(
    ("shift", "expected"),
    [((0, 0, 0), 1.0), ((0.5, 0, 0), 1 / 3), ((0.5, 0.5, 0.5), 1 / 15), ((1, 0, 0), 0.0)],
)
def test_overlap_of_unit_cubes(shift, expected):
    a, b = Box3D.upright((0, 0, 0), (1, 1, 1)), Box3D.upright(shift, (1, 1, 1))
    assert iou_axis_aligned(a, b) == pytest.approx(expected)
    assert iou_oriented(a, b) == pytest.approx(expected)


def test_overlap_of_a_turned_square():
    # A unit square and one turned by 45 degrees meet in a regular octagon of area 2 (sqrt 2 - 1).
    a, b = Box3D.upright((0, 0, 0), (1, 1, 1)), Box3D.upright((0, 0, 0), (1, 1, 1), np.pi / 4)
    octagon = 2 * (np.sqrt(2) - 1)
    assert iou_oriented(a, b) == pytest.approx(octagon / (2 - octagon))
    # Its axis-aligned bounds are sqrt 2 wide and hold the first square.
    assert iou_axis_aligned(a, b) == pytest.approx(1 / 2)


@given(upright, upright)
def test_overlap_is_symmetric_bounded_and_one_with_itself(a, b):
    for overlap in (iou_axis_aligned, iou_oriented):
        value = overlap(a, b)
        assert 0 <= value <= 1
        assert value == pytest.approx(overlap(b, a), abs=1e-9)
        assert overlap(a, a) == pytest.approx(1)


@given(upright, upright, level_motions)
def test_oriented_overlap_does_not_depend_on_the_map(a, b, motion):
    moved = iou_oriented(a.transformed(motion), b.transformed(motion))
    assert moved == pytest.approx(iou_oriented(a, b), abs=1e-7)


@given(points, sizes, points, sizes)
def test_without_headings_both_overlaps_are_one(center_a, size_a, shift, size_b):
    a = Box3D.upright(center_a, size_a)
    b = Box3D.upright(np.array(center_a) + np.array(shift) / 10, size_b)
    assert iou_oriented(a, b) == pytest.approx(iou_axis_aligned(a, b), abs=1e-9)


@given(upright, upright, st.integers(0, 2**32 - 1))
def test_oriented_overlap_agrees_with_random_points(a, b, seed):
    def holds(box, cloud):
        return (np.abs((cloud - box.center) @ box.rotation) <= box.size / 2).all(axis=1)

    inside_a = np.random.default_rng(seed).uniform(-0.5, 0.5, (4000, 3)) * a.size
    share = holds(b, inside_a @ a.rotation.T + a.center).mean()
    common = share * a.volume
    expected = common / (a.volume + b.volume - common)
    assert iou_oriented(a, b) == pytest.approx(expected, abs=0.06)


def test_boxes_that_are_not_upright_are_refused():
    tilted = Box3D(np.zeros(3), np.ones(3), Rotation.from_euler("x", 0.1).as_matrix())
    straight = Box3D.upright((0, 0, 0), (1, 1, 1))
    with pytest.raises(GeometryError, match="upright"):
        iou_oriented(tilted, straight)
    with pytest.raises(GeometryError, match="upright"):
        distance_between(straight, tilted)
    # Upside down is upright.
    over = Box3D(np.zeros(3), np.ones(3), np.diag([1.0, -1.0, -1.0]))
    assert iou_oriented(over, straight) == pytest.approx(1)


@pytest.mark.parametrize(
    ("shift", "expected"),
    [((3, 0, 0), 2.0), ((0, 0, 3), 2.0), ((3, 3, 3), 2 * np.sqrt(3)), ((0.5, 0, 0), 0.0)],
)
def test_distance_between_unit_cubes(shift, expected):
    a, b = Box3D.upright((0, 0, 0), (1, 1, 1)), Box3D.upright(shift, (1, 1, 1))
    assert distance_between(a, b) == pytest.approx(expected)
    assert distance_between(b, a) == pytest.approx(expected)


@given(upright, upright)
def test_distance_is_zero_where_boxes_overlap_and_below_every_corner_distance(a, b):
    distance = distance_between(a, b)
    if iou_oriented(a, b) > 1e-9:
        assert distance == pytest.approx(0, abs=1e-9)
    gaps = np.linalg.norm(a.corners[:, None] - b.corners[None], axis=-1)
    assert distance <= gaps.min() + 1e-9
