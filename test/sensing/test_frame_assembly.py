from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from vega3d_ros.core.geometry import SE3
from vega3d_ros.sensing.depth_registration import camera_info_beside
from vega3d_ros.sensing.frame_assembly import MAX_WAITING, POSE_LOST_NS, FrameAssembler
from vega3d_ros.sensing.transform_buffer import TransformError

MS = 1_000_000
S = 1000 * MS
START = 1000 * S


def header(stamp, frame_id="camera"):
    time = SimpleNamespace(sec=stamp // S, nanosec=stamp % S)
    return SimpleNamespace(stamp=time, frame_id=frame_id)


def image(stamp, encoding="rgb8", size=(4, 6), frame_id="camera"):
    height, width = size
    width_bytes = width * {"rgb8": 3, "32FC1": 4}.get(encoding, 1)
    data = np.full(height * width_bytes // 4, 2.0, np.float32).tobytes()
    return SimpleNamespace(
        header=header(stamp, frame_id),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=width_bytes,
        data=data,
    )


def depth(stamp, **how):
    return image(stamp, "32FC1", **how)


def info(width=6, height=4, frame_id="camera", scale=1.0):
    cx, cy = 3.5 * scale - 0.5, 2.5 * scale - 0.5
    return SimpleNamespace(
        header=header(START, frame_id),
        width=width,
        height=height,
        k=[5.0 * scale, 0, cx, 0, 5.0 * scale, cy, 0, 0, 1],
        p=[0.0] * 12,
        binning_x=0,
        binning_y=0,
        roi=SimpleNamespace(width=0, height=0, x_offset=0, y_offset=0),
    )


class Poses:
    """Transforms that are known up to a stamp."""

    def __init__(self, until=None):
        self.until = until

    def __call__(self, target, source, stamp):
        if self.until is None or stamp > self.until:
            raise TransformError("not yet", may_come=self.until is not None)
        return SE3(np.eye(3), [stamp / S, 0, 0])


def frames(assembler, now, **how):
    return [item.frame for item in assembler.poll(now, **how)]


def test_an_image_with_all_that_belongs_to_it():
    assembler = FrameAssembler("map", Poses(2 * START))
    assembler.add_camera_info(info())
    assembler.add_depth(depth(START + 15 * MS), 0)
    assembler.add_image(image(START), 7)
    (item,) = assembler.poll(8)
    assert item.arrival_ns == 7
    frame = item.frame
    assert (frame.stamp_ns, frame.frame_id, frame.fixed_frame) == (START, "camera", "map")
    assert frame.pose.translation[0] == START / S
    assert frame.camera.fx == 5.0
    assert (frame.depth_m == 2.0).all()
    assert not assembler.drops
    assert not assembler.lacks


def test_depth_that_comes_later_is_waited_for_and_paired_by_stamp():
    assembler = FrameAssembler()
    assembler.add_camera_info(info())
    assembler.add_depth(depth(START), 0)
    assembler.add_image(image(START + 100 * MS), 0)
    assert frames(assembler, 10 * MS) == []
    assembler.add_depth(depth(START + 110 * MS), 20 * MS)
    (frame,) = frames(assembler, 20 * MS)
    assert frame.depth_m is not None


@pytest.mark.parametrize("nearest", [0, 1, 2])
def test_of_several_depth_images_the_nearest_in_time_is_taken(nearest):
    assembler = FrameAssembler()
    assembler.add_camera_info(info())
    apart = [-15 * MS, 10 * MS, 19 * MS]
    apart[nearest] = -5 * MS + nearest * 5 * MS
    for number, offset in enumerate(apart):
        msg = depth(START + offset)
        msg.data = np.full(24, 1.0 + number, np.float32).tobytes()
        assembler.add_depth(msg, 0)
    assembler.add_image(image(START), 0)
    (frame,) = frames(assembler, 0)
    assert (frame.depth_m == 1.0 + nearest).all()


def test_the_first_image_waits_for_depth_that_somebody_publishes():
    """Else whether it has depth would hang on which of two messages is a millisecond earlier."""
    assembler = FrameAssembler(wait_ns=300 * MS)
    assembler.depth_expected = True
    assembler.add_camera_info(info())
    assembler.add_image(image(START), 0)
    assert frames(assembler, 100 * MS) == []
    assembler.add_depth(depth(START), 200 * MS)
    (frame,) = frames(assembler, 200 * MS)
    assert frame.depth_m is not None


def test_a_depth_publisher_that_never_speaks_costs_a_bounded_time_once():
    assembler = FrameAssembler(wait_ns=300 * MS)
    assembler.depth_expected = True
    assembler.add_camera_info(info())
    assembler.add_image(image(START), 0)
    assert frames(assembler, 299 * MS) == []
    (frame,) = frames(assembler, 300 * MS)
    assert frame.depth_m is None
    assembler.add_image(image(START + S), S)
    assert len(frames(assembler, S)) == 1


def test_depth_that_does_not_come_costs_a_bounded_time():
    assembler = FrameAssembler(wait_ns=300 * MS)
    assembler.add_camera_info(info())
    assembler.add_depth(depth(START), 0)
    assembler.add_image(image(START + 100 * MS), 0)
    assert frames(assembler, 299 * MS) == []
    (frame,) = frames(assembler, 300 * MS)
    assert frame.depth_m is None
    assert assembler.lacks["no depth"] == 1


def test_a_missing_depth_is_known_as_soon_as_a_later_one_is_there():
    assembler = FrameAssembler()
    assembler.add_camera_info(info())
    assembler.add_image(image(START), 0)
    assembler.add_depth(depth(START + 30 * MS), 0)
    (frame,) = frames(assembler, 1)
    assert frame.depth_m is None


def test_depth_that_stopped_is_not_waited_for():
    assembler = FrameAssembler()
    assembler.add_camera_info(info())
    assembler.add_depth(depth(START), 0)
    assembler.add_image(image(START + 5 * S), 3 * S)
    assert len(frames(assembler, 3 * S)) == 1


@pytest.mark.parametrize(
    ("msg", "reason"),
    [
        (depth(START, frame_id="ir"), "unregistered depth"),
        (depth(START, size=(4, 8)), "unregistered depth"),
        (image(START, "rgb8"), "unreadable depth"),
    ],
)
def test_depth_that_does_not_fit_is_left_out_with_the_reason(msg, reason):
    assembler = FrameAssembler()
    assembler.add_camera_info(info())
    assembler.add_depth(msg, 0)
    assembler.add_image(image(START), 0)
    (frame,) = frames(assembler, S)
    assert frame.depth_m is None
    assert assembler.lacks[reason] == 1
    assert assembler.details[reason]


SMALL = np.array([[1, 2, np.nan], [4, 5, 6]], np.float32)


def small_depth(stamp=START, frame_id="camera"):
    """Half the size of the image."""
    msg = depth(stamp, size=SMALL.shape, frame_id=frame_id)
    msg.data = SMALL.tobytes()
    return msg


def mount(target, source, stamp):
    """The depth camera "ir" sits where the colour camera does."""
    if (target, source) != ("camera", "ir"):
        raise TransformError(f"frame {source!r} is unknown", may_come=False)
    return SE3.identity()


@pytest.mark.parametrize("frame_id", ["camera", "ir"])
def test_depth_of_another_resolution_is_brought_to_the_image_without_inventing_values(frame_id):
    assembler = FrameAssembler(lookup=mount)
    assembler.add_camera_info(info())
    assembler.registration.add_camera_info(info(3, 2, frame_id, scale=0.5))
    assembler.add_depth(small_depth(frame_id=frame_id), 0)
    assembler.add_image(image(START), 0)
    (frame,) = frames(assembler, 0)
    np.testing.assert_array_equal(frame.depth_m, SMALL.repeat(2, 0).repeat(2, 1))
    assert not assembler.lacks


@pytest.mark.parametrize(
    ("msg", "calibration", "lookup", "said"),
    [
        (small_depth(), None, mount, ["3x2 in 'camera'", "no calibration", "/ir/camera_info"]),
        (small_depth(frame_id="ir"), None, mount, ["'ir'", "/ir/depth", "/ir/camera_info"]),
        (small_depth(frame_id="ir"), info(3, 2, "ir"), None, ["no transforms", "/tf_static"]),
        (small_depth(frame_id="tof"), info(3, 2, "tof"), mount, ["'tof' is unknown"]),
        (small_depth(frame_id="ir"), info(3, 2), mount, ["/ir/camera_info is of 'camera'"]),
        (small_depth(frame_id="ir"), info(6, 4, "ir"), mount, ["6x4", "3x2"]),
        (depth(START, frame_id=""), None, mount, ["frame_id of the depth on /ir/depth is empty"]),
    ],
)
def test_depth_that_cannot_be_registered_is_refused_by_name(msg, calibration, lookup, said):
    assembler = FrameAssembler(lookup=lookup)
    assembler.expect_depth("/ir/depth")
    assembler.add_camera_info(info())
    if calibration is not None:
        assembler.registration.add_camera_info(calibration)
    assembler.add_depth(msg, 0)
    assembler.add_image(image(START), 0)
    (frame,) = frames(assembler, S)
    assert frame.depth_m is None
    assert assembler.lacks == {"unregistered depth": 1}
    for words in said:
        assert words in assembler.details["unregistered depth"]


def test_depth_of_the_images_size_and_frame_needs_no_calibration_of_its_own():
    assembler = FrameAssembler()
    assembler.registration.add_camera_info(info(3, 2, "ir"))  # of the raw depth, not of this
    assembler.add_camera_info(info())
    assembler.add_depth(depth(START), 0)
    assembler.add_image(image(START), 0)
    (frame,) = frames(assembler, 0)
    assert (frame.depth_m == 2.0).all()


def test_depth_of_other_rays_is_reprojected_even_where_size_and_frame_are_the_images():
    """A driver that puts the colour camera's frame on the raw depth of a wider lens."""
    assembler = FrameAssembler()
    assembler.add_camera_info(info())
    wide = info()
    wide.k[0] = wide.k[4] = 2.5
    assembler.registration.add_camera_info(wide)
    values = np.arange(1, 25, dtype=np.float32).reshape(4, 6)
    msg = depth(START)
    msg.data = values.tobytes()
    assembler.add_depth(msg, 0)
    assembler.add_image(image(START), 0)
    (frame,) = frames(assembler, 0)
    expected = values[np.ix_([1, 1, 2, 2], [2, 2, 2, 3, 4, 4])]
    inner = np.s_[1:, 1:5]  # the pixels whose centres are in one pixel of the depth image
    assert set(frame.depth_m.ravel()) < set(values.ravel())
    np.testing.assert_array_equal(frame.depth_m[2, 3], expected[2, 3])
    assert frame.depth_m[inner].max() < values.max()


def test_calibration_and_transform_of_depth_are_waited_for_at_first():
    known = []

    def lookup(target, source, stamp):
        if not known:
            raise TransformError("not yet", may_come=False)
        return SE3.identity()

    assembler = FrameAssembler(lookup=lookup, wait_ns=300 * MS)
    assembler.add_camera_info(info())
    assembler.add_depth(small_depth(frame_id="ir"), 0)
    assembler.add_image(image(START), 0)
    assert frames(assembler, 10 * MS) == []
    assembler.registration.add_camera_info(info(3, 2, "ir", scale=0.5))
    assert frames(assembler, 20 * MS) == []
    known.append(True)
    (frame,) = frames(assembler, 30 * MS)
    assert frame.depth_m is not None


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("/camera/depth/image_raw", "/camera/depth/camera_info"),
        ("/camera/depth/image_raw/compressedDepth", "/camera/depth/camera_info"),
        ("/camera/depth", "/camera/camera_info"),
        ("depth", "camera_info"),
    ],
)
def test_the_calibration_of_an_image_topic_is_beside_it(topic, expected):
    assert camera_info_beside(topic) == expected


def test_camera_info_is_waited_for_only_at_first():
    assembler = FrameAssembler(wait_ns=300 * MS)
    assembler.add_image(image(START), 0)
    assert frames(assembler, 100 * MS) == []
    (frame,) = frames(assembler, 300 * MS)
    assert frame.camera is None
    assembler.add_image(image(START + S), 301 * MS)
    assert len(frames(assembler, 301 * MS)) == 1
    assert assembler.lacks["no camera_info"] == 2
    assembler.add_camera_info(info())
    assembler.add_image(image(START + 2 * S), 302 * MS)
    (frame,) = frames(assembler, 302 * MS)
    assert frame.camera is not None


def test_a_camera_info_of_another_image_is_refused():
    assembler = FrameAssembler()
    assembler.add_camera_info(info(640, 480))
    assembler.add_image(image(START), 0)
    (frame,) = frames(assembler, 0)
    assert frame.camera is None
    assert "640x480" in assembler.details["unusable camera_info"]


def test_an_image_is_held_until_its_pose_arrives():
    poses = Poses(START)
    assembler = FrameAssembler("map", poses)
    assembler.add_camera_info(info())
    assembler.add_image(image(START + 50 * MS), 0)
    assembler.add_image(image(START + 90 * MS), 10 * MS)
    assert frames(assembler, 20 * MS) == []
    assert assembler.waiting == 2
    poses.until = START + 60 * MS
    assert [f.stamp_ns for f in frames(assembler, 60 * MS)] == [START + 50 * MS]
    poses.until = START + S
    assert [f.stamp_ns for f in frames(assembler, 70 * MS)] == [START + 90 * MS]


def test_without_transforms_frames_have_no_pose_and_wait_only_in_the_beginning():
    assembler = FrameAssembler("map", Poses(None), wait_ns=300 * MS)
    assembler.add_camera_info(info())
    assembler.add_image(image(START), 0)
    assert frames(assembler, 100 * MS) == []
    (frame,) = frames(assembler, 300 * MS)
    assert frame.pose is None
    assert frame.fixed_frame == ""
    later = POSE_LOST_NS + S
    assembler.add_image(image(START + later), later)
    assert len(frames(assembler, later)) == 1


def test_poses_that_fail_for_a_moment_cost_frames_not_clips():
    poses = Poses(START)
    assembler = FrameAssembler("map", poses, wait_ns=300 * MS)
    assembler.add_camera_info(info())
    assembler.add_image(image(START), 0)
    assert frames(assembler, 0)[0].pose is not None
    assembler.add_image(image(START + S), S)
    assert frames(assembler, 2 * S) == []
    assert assembler.drops["no transform"] == 1
    # Poses that stay away: better in the camera's frame than not at all.
    now = POSE_LOST_NS + 2 * S
    assembler.add_image(image(START + now), now)
    (frame,) = frames(assembler, now + S)
    assert frame.pose is None
    # And they are taken up again as soon as they come back, a little after their images.
    assembler.add_image(image(START + now + 2 * S), now + 2 * S)
    assert frames(assembler, now + 2 * S) == []
    poses.until = START + now + 3 * S
    assert frames(assembler, now + 2 * S + 50 * MS)[0].pose is not None


def test_images_that_nobody_wants_are_not_decoded():
    assembler = FrameAssembler()
    assembler.add_camera_info(info())
    assembler.add_image(image(START, "no such encoding"), 0)
    assert frames(assembler, 0, wanted=lambda stamp: stamp > START) == []
    assert assembler.waiting == 0
    assert not assembler.drops


@pytest.mark.parametrize(
    ("msg", "reason"),
    [
        (image(START, frame_id=""), "no frame_id"),
        (image(0), "no stamp"),
        (image(START, "no such encoding"), "unreadable image"),
    ],
)
def test_unusable_images_are_dropped_with_the_reason(msg, reason):
    assembler = FrameAssembler()
    assembler.add_camera_info(info())
    assembler.add_image(msg, 0)
    assert frames(assembler, S) == []
    assert assembler.drops == {reason: 1}
    assert assembler.details[reason]


def test_what_was_wrong_is_not_told_any_more_once_it_is_right():
    assembler = FrameAssembler()
    assembler.add_camera_info(info(640, 480))
    assembler.add_depth(depth(START, frame_id="ir"), 0)
    assembler.add_image(image(START), 0)
    assembler.add_image(image(START + MS, "no such encoding"), 0)
    frames(assembler, S)
    assert set(assembler.details) == {
        "unusable camera_info",
        "unregistered depth",
        "unreadable image",
    }
    assembler.add_camera_info(info())
    assembler.add_depth(depth(START + S), 0)
    assembler.add_image(image(START + S), 0)
    assert len(frames(assembler, S)) == 1
    assert assembler.details == {}
    assert assembler.drops == {"unreadable image": 1}


def test_time_that_is_set_back():
    assembler = FrameAssembler()
    assembler.add_camera_info(info())
    assembler.add_image(image(START), 0)
    for late_ms in (100, 0):  # out of order only, or given twice
        assert not assembler.jumps_back(image(START - late_ms * MS))
        assembler.add_image(image(START - late_ms * MS), 0)
    assert assembler.drops == {"late": 2}
    assert assembler.jumps_back(image(START - S))
    assembler.clear()
    assert not assembler.jumps_back(image(START - S))
    assembler.add_image(image(START - S), 0)
    assert [f.stamp_ns for f in frames(assembler, 0)] == [START - S]


def test_depth_of_before_time_was_set_back_is_not_paired_with_what_comes():
    assembler = FrameAssembler()
    assembler.add_camera_info(info())
    assembler.add_depth(depth(START), 0)
    assembler.clear()
    assembler.add_image(image(START), 0)
    assert frames(assembler, 0) == []  # it waits for its own
    (frame,) = frames(assembler, S)
    assert frame.depth_m is None


def test_the_waiting_room_is_bounded_and_drops_the_oldest():
    assembler = FrameAssembler("map", Poses(START), wait_ns=10 * S)
    assembler.add_camera_info(info())
    for index in range(MAX_WAITING + 3):
        assembler.add_image(image(START + (index + 1) * MS), 0)
    assert assembler.waiting == MAX_WAITING
    assert assembler.drops == {"queue full": 3}


def test_frames_with_the_leading_slash_of_ros_1_are_those_without():
    known = {}

    def lookup(target, source, stamp):
        known[target, source] = stamp
        return SE3.identity()

    assembler = FrameAssembler("/map", lookup)
    assembler.add_camera_info(info())
    assembler.add_depth(depth(START), 0)
    assembler.add_image(image(START, frame_id="/camera"), 0)
    (frame,) = frames(assembler, 0)
    assert (frame.frame_id, frame.fixed_frame) == ("camera", "map")
    assert frame.depth_m is not None
    assert set(known) == {("map", "camera")}
