"""Boxes around voxels: size, heading, floor, and what is not known of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vega3d_ros.core.geometry import Box3D, iou_oriented
from vega3d_ros.models.grounders.base import UNKNOWN_ROTATION_VARIANCE
from vega3d_ros.models.grounders.lifted.boxes import BoxRules, fit_box, largest_part
from vega3d_ros.models.grounders.lifted.voxels import voxel_keys

EYES = np.array([[-3.0, -3.0, 2.5], [3.0, 3.0, 2.5], [3.0, -3.0, 2.5], [-3.0, 3.0, 2.5]])
SIDES = st.floats(0.4, 2.0)


def surface(box, step=0.04):
    """Points on the four walls and the top of a box."""
    grid = [np.linspace(-0.5, 0.5, max(2, int(side / step))) for side in box.size]
    faces = []
    for axis, sign in ((0, -0.5), (0, 0.5), (1, -0.5), (1, 0.5), (2, 0.5)):
        axes = [grid[0], grid[1], grid[2]]
        axes[axis] = np.array([sign])
        faces.append(np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 3))
    return (np.concatenate(faces) * box.size) @ box.rotation.T + box.center


def fitted(points, floor_m=0.0, eyes=EYES, **options):
    return fit_box(points, np.ones(len(points)), 0.6, eyes, floor_m, BoxRules(), **options)


@given(st.floats(-np.pi, np.pi), SIDES, SIDES, st.floats(0.4, 1.5), st.floats(-9, 9))
@settings(deadline=None, max_examples=40)
def test_the_box_of_a_block_is_found_at_any_heading(yaw, length, width, height, x):
    box = Box3D.upright((x, 1.0, height / 2), (length, width, height), yaw)
    fit = fitted(surface(box), eyes=EYES + np.array([x, 1.0, 0.0]))
    assert iou_oriented(fit.box, box) > 0.8
    assert fit.orientation_estimated
    # Of a square, either side may be the longer one by rounding.
    assert fit.box.size[0] >= fit.box.size[1] * (1 - 1e-12)
    assert -np.pi / 2 - 1e-12 <= fit.box.yaw <= np.pi / 2


def test_two_walls_of_a_block_tell_its_heading():
    box = Box3D.upright((0, 0, 0.8), (0.7, 0.6, 1.6), 0.6)
    points = surface(box)
    local = (points - box.center) @ box.rotation
    walls = points[(local[:, 0] < -0.34) | (local[:, 1] < -0.29)]
    fit = fitted(walls, eyes=(box.rotation @ [-2.0, -2.0, 0.2] + box.center)[None])
    assert fit.orientation_estimated
    assert (fit.box.yaw - 0.6 + np.pi / 4) % (np.pi / 2) - np.pi / 4 == pytest.approx(0, abs=0.05)


def disc(radius=0.4, share=1.0):
    angle, height = np.meshgrid(np.linspace(0, 2 * np.pi * share, 60), np.linspace(0, 0.6, 15))
    return np.stack(
        [radius * np.cos(angle), radius * np.sin(angle), height], axis=-1
    ).reshape(-1, 3)  # fmt: skip


def test_a_round_thing_has_no_heading_and_says_so():
    fit = fitted(disc())
    assert not fit.orientation_estimated
    assert fit.covariance[5, 5] == UNKNOWN_ROTATION_VARIANCE


def test_the_hidden_half_of_a_round_thing_is_completed_away_from_the_camera():
    fit = fitted(disc(share=0.5), eyes=np.array([[0.0, 3.0, 0.5]]))
    assert fit.box.size[:2] == pytest.approx([0.8, 0.8], abs=0.08)
    assert np.linalg.norm(fit.box.center[:2]) < 0.06


def test_a_table_top_reaches_down_to_the_floor_and_a_picture_does_not():
    top = surface(Box3D.upright((0, 0, 0.7), (1.4, 0.8, 0.06)))
    for stands, low in ((True, -0.8), (False, 0.67), (None, 0.67)):
        box = fitted(top, floor_m=-0.8, stands=stands).box
        assert box.center[2] - box.size[2] / 2 == pytest.approx(low, abs=0.03)
        assert box.center[2] + box.size[2] / 2 == pytest.approx(0.73, abs=0.03)


def test_a_thing_without_a_telling_name_stands_on_the_floor_where_it_ends_near_it():
    part = surface(Box3D.upright((0, 0, 0.4), (0.5, 0.5, 0.4)))
    assert fitted(part, floor_m=0.05).box.size[2] == pytest.approx(0.55, abs=0.03)
    assert fitted(part, floor_m=None).box.size[2] == pytest.approx(0.4, abs=0.03)


def test_what_no_camera_faced_is_uncertain():
    front = surface(Box3D.upright((0, 0, 0.9), (1.2, 0.02, 1.8)))
    ahead = fitted(front, eyes=np.array([[0.0, -3.0, 1.2]]))
    both = fitted(front, eyes=np.array([[-3.0, -3.0, 1.2], [3.0, 3.0, 1.2]]))
    assert ahead.covariance[1, 1] > 4 * both.covariance[1, 1]


def test_a_thing_that_every_view_cuts_is_uncertain():
    points = surface(Box3D.upright((0, 0, 0.5), (1.0, 0.5, 1.0)))
    whole, cut = fitted(points), fitted(points, bounded=False)
    assert (np.diag(cut.covariance)[:3] > 10 * np.diag(whole.covariance)[:3]).all()


def test_doubtful_voxels_at_a_face_make_it_uncertain():
    points = surface(Box3D.upright((0, 0, 0.5), (1.0, 0.5, 1.0)))
    share = np.where(points[:, 0] > 0.2, 0.6, 1.0)
    doubtful = fit_box(points, share, 0.6, EYES, None, BoxRules()).covariance
    sure = fit_box(points, np.ones(len(points)), 0.6, EYES, None, BoxRules()).covariance
    assert doubtful[0, 0] > 4 * sure[0, 0]
    assert doubtful[1, 1] == pytest.approx(sure[1, 1], rel=0.2)


@given(st.integers(0, 3), st.integers(4, 40))
def test_only_the_heaviest_connected_part_stays_but_small_gaps_do_not_divide(gap, far):
    x = np.r_[np.arange(10), 10 + gap + np.arange(8), 18 + gap + far + np.arange(5)]
    points = np.stack([x * 0.05 + 0.025, np.zeros(len(x)), np.zeros(len(x))], axis=1)
    part = largest_part(voxel_keys(points), np.ones(len(x)))
    assert part.tolist() == [True] * 10 + [gap <= 2] * 8 + [False] * 5


def test_strays_kilometres_away_do_not_take_the_memory():
    points = np.array([[0.0, 0, 0], [0.05, 0, 0], [2000.0, 900.0, 0]]) + 0.02
    assert largest_part(voxel_keys(points), np.ones(3)).tolist() == [True, True, False]
