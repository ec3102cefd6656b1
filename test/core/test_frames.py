"""Tests of cameras, frames, clips and the buffer between a stream and the model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vega3d_ros.core.frames import (
    Camera,
    Clip,
    ClipBuffer,
    Frame,
    FrameError,
    KeyframePolicy,
    sample_uniformly,
)
from vega3d_ros.core.geometry import SE3

pytestmark = pytest.mark.numeric

SECOND = 1_000_000_000
CAMERA = Camera(width=8, height=6, fx=7.0, fy=7.0, cx=3.5, cy=2.5)

cameras = st.builds(
    Camera,
    width=st.integers(2, 2000),
    height=st.integers(2, 2000),
    **dict.fromkeys(("fx", "fy"), st.floats(20, 3000)),
    **dict.fromkeys(("cx", "cy"), st.floats(-100, 2000)),
)


def frame(stamp_ns=0, x=None, yaw=0.0, frame_id="camera", **changes):
    values = {"image": np.zeros((6, 8, 3), np.uint8), "camera": CAMERA}
    if x is not None:
        half = yaw / 2
        values["pose"] = SE3.from_quaternion((0, 0, np.sin(half), np.cos(half)), (x, 0, 0))
        values["fixed_frame"] = "map"
    return Frame(stamp_ns=stamp_ns, frame_id=frame_id, **(values | changes))


class TestCamera:
    @given(
        cameras, st.lists(st.tuples(*[st.floats(-500, 2500)] * 2), min_size=1), st.floats(0.1, 50)
    )
    def test_rays_and_projection_are_inverse(self, camera, pixels, depth):
        pixels = np.array(pixels)
        rays = camera.rays(pixels)
        assert (rays[..., 2] == 1).all()
        np.testing.assert_allclose(camera.project(rays * depth), pixels, atol=1e-6)

    @given(cameras, st.integers(1, 500), st.integers(1, 500))
    def test_resizing_keeps_every_ray(self, camera, width, height):
        small = camera.resized(width, height)
        # The outer edges of the image, half a pixel outside the outer pixel centres, stay.
        edges = np.array([[-0.5, -0.5], [camera.width - 0.5, camera.height - 0.5]])
        small_edges = np.array([[-0.5, -0.5], [width - 0.5, height - 0.5]])
        np.testing.assert_allclose(small.rays(small_edges), camera.rays(edges), atol=1e-9)
        back = small.resized(camera.width, camera.height)
        np.testing.assert_allclose(back.matrix, camera.matrix, rtol=1e-9, atol=1e-9)

    def test_matrix_projects(self):
        point = np.array([0.3, -0.2, 2.0])
        homogeneous = CAMERA.matrix @ point
        np.testing.assert_allclose(CAMERA.project(point), homogeneous[:2] / homogeneous[2])

    def test_nothing_is_seen_at_or_behind_the_camera(self):
        seen = CAMERA.project(np.array([[0, 0, 0.0], [0, 0, -1.0], [0, 0, 1.0]]))
        assert np.isnan(seen[:2]).all()
        np.testing.assert_allclose(seen[2], (3.5, 2.5))

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ((0, 6, 7, 7, 3, 2), "size 0x6"),
            ((8, 6, 0, 7, 3, 2), "calibrated"),
            ((8, 6, 7, -7, 3, 2), "calibrated"),
            ((8, 6, 7, 7, float("nan"), 2), "finite"),
        ],
    )
    def test_refuses_what_no_camera_has(self, values, words):
        with pytest.raises(FrameError, match=words):
            Camera(**dict(zip(("width", "height", "fx", "fy", "cx", "cy"), values, strict=True)))


class TestFrame:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"image": np.zeros((6, 8), np.uint8)}, "image must be"),
            ({"image": np.zeros((6, 8, 3), np.float64)}, "image must be"),
            ({"image": np.zeros((0, 8, 3), np.uint8)}, "image must be"),
            ({"image": np.zeros((5, 8, 3), np.uint8)}, "camera_info is for 8x6"),
            ({"depth_m": np.zeros((3, 4), np.float32)}, "registered"),
            ({"depth_m": np.zeros((6, 8), np.uint16)}, "metres"),
            ({"pose": SE3.identity()}, "fixed frame"),
            ({"fixed_frame": "map"}, "fixed frame"),
        ],
    )
    def test_refuses(self, changes, words):
        with pytest.raises(FrameError, match=words):
            frame(**changes)

    def test_takes_what_is_there(self):
        plain = frame(camera=None)
        assert plain.depth_m is None
        assert frame(x=0.0, depth_m=np.zeros((6, 8), np.float32)).fixed_frame == "map"


class TestClip:
    def test_stamps_and_frames(self):
        clip = Clip((frame(5, x=0.0), frame(9, x=1.0)))
        assert (len(clip), clip.start_ns, clip.stamp_ns) == (2, 5, 9)
        assert clip.fixed_frame == clip.output_frame == "map"

    def test_results_stay_in_the_camera_frame_where_a_pose_is_missing(self):
        for other in (frame(9), frame(9, x=1.0, fixed_frame="odom")):
            clip = Clip((frame(5, x=0.0), other))
            assert clip.fixed_frame == ""
            assert clip.output_frame == "camera"

    @pytest.mark.parametrize(
        ("frames", "words"),
        [
            ((), "at least one"),
            ((frame(5), frame(5)), "ordered"),
            ((frame(5), frame(4)), "ordered"),
            ((frame(5), frame(6, frame_id="other")), "one camera"),
        ],
    )
    def test_refuses(self, frames, words):
        with pytest.raises(FrameError, match=words):
            Clip(frames)


class TestKeyframePolicy:
    policy = KeyframePolicy(
        translation_m=0.2, rotation_rad=0.3, max_interval_s=2.0, min_interval_s=0.1
    )

    @pytest.mark.parametrize(
        ("other", "wanted"),
        [
            (frame(int(0.09 * SECOND), x=5.0), False),  # far, but too soon
            (frame(int(0.1 * SECOND), x=0.19), False),
            (frame(int(0.1 * SECOND), x=0.2), True),
            (frame(int(0.1 * SECOND), x=0.0, yaw=0.29), False),
            (frame(int(0.1 * SECOND), x=0.0, yaw=-0.31), True),
            (frame(2 * SECOND - 1, x=0.0), False),
            (frame(2 * SECOND, x=0.0), True),
            (frame(SECOND), False),  # no pose: time alone decides
            (frame(2 * SECOND), True),
            (frame(SECOND, x=5.0, fixed_frame="odom"), False),
        ],
    )
    def test_wants(self, other, wanted):
        assert self.policy.wants(frame(0, x=0.0), other) is wanted

    @pytest.mark.parametrize("milliseconds", range(1, 3000, 7))
    def test_an_interval_is_reached_exactly(self, milliseconds):
        policy = KeyframePolicy(max_interval_s=milliseconds / 1000, min_interval_s=0.0)
        start = 1_700_000_000 * SECOND
        assert policy.wants(frame(start), frame(start + milliseconds * 1_000_000))


class TestClipBuffer:
    def test_empty_gives_no_clip(self):
        assert ClipBuffer().clip() is None

    def test_keeps_keyframes_only_and_hands_out_the_newest(self):
        buffer = ClipBuffer(clip_length=3, capacity=3)
        kept = [buffer.add(frame(i * SECOND // 10, x=0.1 * i)) for i in range(9)]
        assert kept == [True, False] * 4 + [True]
        assert [f.stamp_ns for f in buffer.clip().frames] == [i * SECOND // 10 for i in (4, 6, 8)]

    @given(st.integers(1, 8), st.integers(0, 8), st.integers(0, 60))
    def test_is_bounded_and_samples_like_linspace(self, length, extra, offered):
        buffer = ClipBuffer(length, length + extra)
        for i in range(offered):
            assert buffer.add(frame(i * 2 * SECOND))
        held = min(offered, length + extra)
        assert len(buffer) == held
        if not offered:
            return
        stamps = [f.stamp_ns // (2 * SECOND) for f in buffer.clip().frames]
        if held <= length:
            expected = np.arange(held)
        elif length > 1:
            expected = np.linspace(0, held - 1, length, dtype=int)
        else:
            expected = np.array([held - 1])
        assert stamps == (expected + offered - held).tolist()

    def test_time_that_runs_back_is_refused_until_cleared(self):
        buffer = ClipBuffer()
        buffer.add(frame(5 * SECOND))
        with pytest.raises(FrameError, match="older"):
            buffer.add(frame(4 * SECOND))
        assert len(buffer) == 1
        buffer.clear()
        assert buffer.add(frame(4 * SECOND))

    def test_a_stamp_seen_is_not_kept_again(self):
        eager = KeyframePolicy(max_interval_s=0.0, min_interval_s=0.0)
        buffer = ClipBuffer(policy=eager)
        assert buffer.add(frame(5))
        assert not buffer.add(frame(5))
        assert buffer.add(frame(6))
        assert len(buffer.clip()) == 2

    def test_another_camera_is_refused(self):
        buffer = ClipBuffer()
        buffer.add(frame(0))
        with pytest.raises(FrameError, match="one buffer per camera"):
            buffer.add(frame(SECOND, frame_id="other"))

    @pytest.mark.parametrize(("length", "capacity"), [(0, 8), (9, 8), (-1, 8)])
    def test_refuses_sizes_that_hold_nothing(self, length, capacity):
        with pytest.raises(FrameError, match="clip_length"):
            ClipBuffer(length, capacity)


@given(st.integers(1, 5000), st.integers(2, 64))
def test_sampling_is_that_of_the_official_evaluation(available, wanted):
    indices = list(sample_uniformly(available, wanted))
    if available <= wanted:
        assert indices == list(range(available))
    else:
        assert indices == np.linspace(0, available - 1, wanted, dtype=int).tolist()
        assert indices[0] == 0
        assert indices[-1] == available - 1
        assert len(set(indices)) == wanted
