from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from support.tiny_models import LOOKS_ALONG_X, make_frame

from vega3d_ros.core.geometry import SE3
from vega3d_ros.core.token_grid import (
    BODY_FROM_OPTICAL,
    FEATURES,
    features,
    floor_height_m,
    level,
    surface_percentiles,
    token_geometry,
)

pytestmark = pytest.mark.numeric

GRID = (6, 8)


@given(st.floats(-3, 3), st.floats(-0.9, 0.9), st.floats(-0.5, 0.5))
def test_levelled_frame_keeps_position_and_heading_and_drops_the_tilt(heading, pitch, roll):
    tilt = Rotation.from_euler("ZYX", [heading, pitch, roll]).as_matrix()
    pose = SE3(tilt @ BODY_FROM_OPTICAL, np.array([1.0, 2.0, 1.2]))
    attitude, levelled = level(pose)
    assert np.allclose(levelled.translation, pose.translation)
    assert np.allclose(levelled.rotation[:, 2], [0, 0, 1])
    assert np.isclose(np.cos(levelled.yaw - heading), 1)
    assert np.allclose(levelled.rotation @ attitude, pose.rotation)


def test_without_a_pose_the_camera_is_taken_to_be_level():
    attitude, levelled = level(None)
    assert levelled is None
    assert np.allclose(attitude @ [0, 0, 1], [1, 0, 0])
    assert np.allclose(attitude @ [0, 1, 0], [0, 0, -1])


def test_token_rays_go_through_the_token_centres():
    frame = make_frame(0)
    geometry = token_geometry(frame, *GRID)
    pixels = frame.camera.project(geometry.rays)
    assert np.allclose(pixels, geometry.pixels)
    assert geometry.pitch_px == (10.0, 10.0)
    assert np.allclose(geometry.pixels[0, 0], [4.5, 4.5])


def test_an_uncalibrated_camera_has_no_geometry():
    assert token_geometry(make_frame(0, camera=False), *GRID) is None
    assert (features(None, None, GRID) == 0).all()


def test_percentiles_of_the_valid_depth():
    depth = np.full((60, 80), np.nan, np.float32)
    depth[:10, :10] = np.linspace(1, 2, 100).reshape(10, 10)
    depth[10:20, :5] = 3.0
    depth[20:30, :1] = 4.0
    depth[0, 0] = 0.0
    surface = surface_percentiles(depth, *GRID)
    assert surface[0, 0] == pytest.approx([1.1, 1.5, 1.9], abs=0.06)
    assert surface[1, 0] == pytest.approx([3, 3, 3])
    assert np.isnan(surface[2:]).all()
    assert np.isnan(surface_percentiles(None, *GRID)).all()


def test_features_flag_what_is_unknown():
    def at(**known):
        frame = make_frame(0, **known)
        return features(token_geometry(frame, *GRID), level(frame.pose)[1], GRID)

    everything = at()
    assert everything.shape == (48, FEATURES)
    assert (everything[:, [3, 10, 12]] == 1).all()
    assert np.allclose(everything[:, 11], 1.1)
    without_depth = at(depth=False)
    assert (without_depth[:, 4:11] == 0).all()
    assert (without_depth[:, 19:22] == 0).all()
    without_pose = at(pose=False)
    assert (without_pose[:, 11:] == 0).all()
    assert (without_pose[:, 10] == 1).all()


headings = st.tuples(st.floats(-3, 3), st.floats(-0.9, 0.9), st.floats(-0.5, 0.5))


@given(headings, headings)
def test_features_are_the_points_and_directions_of_turned_cameras(turn, reference_turn):
    frame = make_frame(0)
    pose, newest = (
        SE3(Rotation.from_euler("ZYX", angles).as_matrix() @ BODY_FROM_OPTICAL, place)
        for angles, place in ((turn, [1.0, 2.0, 1.2]), (reference_turn, [-0.5, 1.0, 0.9]))
    )
    geometry = token_geometry(replace(frame, pose=pose), *GRID)
    own, reference = level(pose)[1], level(newest)[1]
    value = features(geometry, reference, GRID)
    rays = geometry.rays.reshape(-1, 3)
    seen = rays * geometry.surface_m[..., 1].reshape(-1, 1)
    in_map = pose.apply(seen)
    assert np.allclose(value[:, 4:7] * 3, own.inverse().apply(in_map), atol=1e-4)
    assert np.allclose(value[:, 19:22] * 3, reference.inverse().apply(in_map), atol=1e-4)
    ahead = rays / np.linalg.norm(rays, axis=1, keepdims=True) @ pose.rotation.T
    assert np.allclose(value[:, 0:3], ahead @ own.rotation, atol=1e-5)
    assert np.allclose(value[:, 16:19], ahead @ reference.rotation, atol=1e-5)
    assert np.allclose(value[:, 13:16] * 3, reference.inverse().apply(pose.translation), atol=1e-4)
    turned = own.yaw - reference.yaw
    assert np.allclose(value[:, 22:24], [np.cos(turned), np.sin(turned)], atol=1e-5)


def test_clip_features_place_tokens_in_the_newest_camera():
    old, new = make_frame(0), make_frame(2)
    reference = level(new.pose)[1]
    value = features(token_geometry(old, *GRID), reference, GRID)
    # The camera drives along its own x: 0.6 m behind the newest one, looking the same way.
    assert np.allclose(value[:, 13:16] * 3, [-0.6, 0, 0], atol=1e-6)
    assert np.allclose(value[:, 16:19], value[:, 0:3], atol=1e-6)
    assert np.allclose(value[:, 22:24], [1, 0])
    assert np.allclose(LOOKS_ALONG_X, old.pose.rotation)


@pytest.mark.parametrize("altitude", [519.0, 12.4, -3.3])
def test_tokens_in_a_map_with_altitudes_are_told_what_they_are_in_one_whose_floor_is_at_zero(
    altitude,
):
    def features_at(height, floor_seen):
        frames = [make_frame(0), make_frame(2)]
        for i, frame in enumerate(frames):
            depth = np.where(
                np.arange(frame.depth_m.shape[0])[:, None] > frame.camera.cy + 2,
                1.1 * frame.camera.fy / (np.indices(frame.depth_m.shape)[0] - frame.camera.cy),
                3.0,
            ).astype(np.float32)
            up = SE3(frame.pose.rotation, frame.pose.translation + np.array([0, 0, height]))
            frames[i] = replace(frame, pose=up, depth_m=depth if floor_seen else None)
        geometry = [token_geometry(frame, *GRID) for frame in frames]
        floor = floor_height_m(geometry)
        reference = level(frames[-1].pose)[1]
        return [features(one, reference, GRID, floor) for one in geometry]

    for seen, tolerance in ((True, 0.1), (False, 0.15)):
        expected = features_at(0.0, seen)
        assert np.allclose(expected[0][:, 11], 1.1)  # as it always was
        for value, wanted in zip(features_at(altitude, seen), expected, strict=True):
            assert np.allclose(value[:, 11], wanted[:, 11], atol=tolerance)
            assert np.allclose(np.delete(value, 11, 1), np.delete(wanted, 11, 1), atol=1e-6)
