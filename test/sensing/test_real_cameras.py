"""What real cameras publish wrongly or unusually: the thing that they see stays where it is."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from support.planted_camera import (
    BENT,
    HEIGHT,
    LOOKS_ALONG_X,
    OPTICAL,
    WIDTH,
    S,
    image,
    info,
    places,
    rolled,
    seen,
)

from vega3d_ros.core.geometry import SE3
from vega3d_ros.sensing.camera_settings import CameraSettings
from vega3d_ros.sensing.clip_builder import ClipBuilder, ClipSettings
from vega3d_ros.sensing.frame_assembly import FrameAssembler
from vega3d_ros.sensing.transform_buffer import TransformBuffer

AT_THE_EDGE = (3.3, 1.6, 1.9)  # of a level camera's picture, 3 m ahead
AHEAD = (3.3, 0.7, 1.6)  # above the middle, to the left


class Rig:
    """An assembler with transforms, and what it noted."""

    def __init__(self, pose=None, topic="/camera/image_raw", frame_id=OPTICAL, **settings):
        self.transforms, self.notes, self.stamp = TransformBuffer(), [], S
        self.assembler = FrameAssembler(
            "map",
            self.transforms.lookup,
            settings=CameraSettings(**settings),
            below=self.transforms.below,
            on_note=lambda subject, text: self.notes.append((subject, text)),
        )
        self.assembler.calibration.topic = topic
        self.assembler.expect_depth("/camera/depth/image")
        self.frame_id = frame_id
        self.move(pose or rolled(0))

    def move(self, pose):
        self.pose = pose
        self.transforms.insert("map", self.frame_id, 0, pose, static=True)

    def frame(self, pixels, depth, of=None, encoding="32FC1", depth_frame=None):
        """What becomes of a picture and its depth."""
        self.stamp += S
        if of is not None:
            self.assembler.add_camera_info(of)
        depth_frame = depth_frame or self.frame_id
        self.assembler.add_depth(image(self.stamp, depth, encoding, depth_frame), self.stamp)
        self.assembler.add_image(image(self.stamp, pixels, "rgb8", self.frame_id), self.stamp)
        (item,) = self.assembler.poll(self.stamp + 10 * S)
        self.quarters = item.quarters
        return item.frame


def close(frame, thing, atol=0.025):
    np.testing.assert_allclose(places(frame), [thing, thing], atol=atol)


# Calibration.


def test_a_thing_at_the_edge_of_a_raw_picture_is_placed_within_centimetres():
    rig, of = Rig(), info(d=BENT)
    close(rig.frame(*seen(AT_THE_EDGE, rig.pose, of), of), AT_THE_EDGE)
    assert rig.notes == [("calibration", "images are undistorted (plumb_bob)")]
    rig.frame(*seen(AT_THE_EDGE, rig.pose, of), of)
    assert len(rig.notes) == 1


def test_a_rectified_picture_is_used_as_it_is_with_p():
    rig = Rig(topic="/camera/image_rect_color")
    of = info(d=BENT, k=np.array([150.0, 0, 150, 0, 150, 110, 0, 0, 1]))
    pixels, depth = seen(AT_THE_EDGE, rig.pose, info())
    frame = rig.frame(pixels, depth, of)
    close(frame, AT_THE_EDGE)
    assert (frame.image == pixels).all()


@pytest.mark.parametrize("says", ["raw", "rectified"])
def test_the_user_may_say_whether_pictures_are_rectified(says):
    rig = Rig(topic="/camera/image_rect" if says == "raw" else "/camera/image_raw",
              rectification=says)  # fmt: skip
    of = info(d=BENT)
    drawn_by = of if says == "raw" else info()
    close(rig.frame(*seen(AT_THE_EDGE, rig.pose, drawn_by), of), AT_THE_EDGE)


def test_distortion_that_is_not_known_means_no_3d_and_is_told():
    rig, of = Rig(), info(d=BENT, distortion_model="mei")
    frame = rig.frame(*seen(AT_THE_EDGE, rig.pose, of), of)
    assert frame.camera is None
    assert "'mei'" in rig.assembler.details["unusable camera_info"]
    assert "image_proc" in rig.assembler.details["unusable camera_info"]


@pytest.mark.parametrize("depth_topic", ["/camera/depth", "/camera/aligned/image_raw"])
def test_depth_with_the_raw_cameras_own_calibration_is_undistorted_as_the_image(depth_topic):
    rig, of = Rig(), info(d=BENT)
    rig.assembler.expect_depth(depth_topic)
    rig.assembler.registration.add_camera_info(info(d=BENT))
    close(rig.frame(*seen(AT_THE_EDGE, rig.pose, of), of), AT_THE_EDGE)


@pytest.mark.parametrize("own", [True, False])
def test_rectified_depth_beside_a_raw_image_is_brought_to_it(own):
    rig, of = Rig(), info(d=BENT)
    rig.assembler.expect_depth("/camera/depth_registered/image_rect")
    if own:
        rig.assembler.registration.add_camera_info(info(d=BENT))
    pixels, _ = seen(AT_THE_EDGE, rig.pose, of)
    _, depth = seen(AT_THE_EDGE, rig.pose, info())
    close(rig.frame(pixels, depth, of), AT_THE_EDGE)


def test_raw_depth_of_another_lens_is_undistorted_by_its_own_calibration():
    rig, of = Rig(), info(d=BENT)
    own = info(d=-BENT / 2, frame_id="ir")
    own.k = own.k * 0.9
    rig.transforms.insert(OPTICAL, "ir", 0, SE3(np.eye(3), [0.05, 0, 0]), static=True)
    ir_pose = rig.pose @ SE3(np.eye(3), [0.05, 0, 0])
    rig.assembler.registration.add_camera_info(own)
    pixels, _ = seen(AHEAD, rig.pose, of)
    _, depth = seen(AHEAD, ir_pose, own)
    close(rig.frame(pixels, depth, of, depth_frame="ir"), AHEAD)


def test_intrinsics_that_change_in_the_drive_count_from_their_stamp_on():
    rig, of = Rig(), info()
    zoomed = info(stamp=3 * S, k=of.k * [1.5, 1, 1, 1, 1.5, 1, 1, 1, 1])
    assert rig.frame(*seen(AHEAD, rig.pose, of), of).camera.fx == of.k[0]
    rig.assembler.add_camera_info(zoomed)  # before the image that it is for
    rig.assembler.add_camera_info(info(stamp=4 * S, k=np.zeros(9), p=np.zeros(12)))
    rig.stamp = int(1.5 * S)
    close(rig.frame(*seen(AHEAD, rig.pose, of)), AHEAD)  # stamped 2.5 s
    close(rig.frame(*seen(AHEAD, rig.pose, zoomed)), AHEAD)


def test_a_calibration_of_zeros_is_replaced_by_the_first_good_one():
    rig, of = Rig(), info(stamp=9 * S)
    zeros = info(k=np.zeros(9), p=np.zeros(12))
    assert rig.frame(*seen(AHEAD, rig.pose, of), zeros).camera is None
    close(rig.frame(*seen(AHEAD, rig.pose, of), of), AHEAD)


# Units of depth.


@pytest.mark.parametrize(
    ("unit", "kind", "scale"),
    [
        (0.001, np.float32, 0.001),
        (0.00025, np.uint16, 0.00025),
        (0.0002, np.uint16, 0.0002),
        (0.001, np.uint16, 0.0),
        (1.0, np.float32, 0.0),
        (0.01, np.uint16, 0.01),
    ],
)
def test_depth_in_another_unit_is_right_by_its_scale(unit, kind, scale):
    rig, of = Rig(depth_scale=scale), info()
    encoding = "16UC1" if kind is np.uint16 else "32FC1"
    pixels, depth = seen(AHEAD, rig.pose, of, unit, kind)
    depth[0, :20] = 65535 if kind is np.uint16 else np.inf
    frame = rig.frame(pixels, depth, of, encoding)
    close(frame, AHEAD)
    assert np.isnan(frame.depth_m[0, :20]).all()


@pytest.mark.parametrize(
    ("unit", "kind"), [(0.001, np.float32), (1.0, np.uint16), (0.0002, np.float32)]
)
def test_depth_that_no_camera_measures_is_refused_and_told_once(unit, kind):
    rig, of = Rig(), info()
    encoding = "16UC1" if kind is np.uint16 else "32FC1"
    for metres in (1.0, 1.1):  # in words with other numbers
        pixels, depth = seen(AHEAD, rig.pose, of, unit, kind)
        assert rig.frame(pixels, (depth * metres).astype(kind), of, encoding).depth_m is None
    assert rig.assembler.lacks["implausible depth"] == 2
    assert "depth_scale" in rig.assembler.details["implausible depth"]
    assert "/camera/depth/image" in rig.assembler.details["implausible depth"]
    assert [subject for subject, _ in rig.notes] == ["implausible depth"]
    rig.frame(*seen(AHEAD, rig.pose, of), of)
    assert "implausible depth" not in rig.assembler.details


# Which way up.


@pytest.mark.parametrize("bent", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270, 12, 168, -80])
def test_pictures_of_a_turned_camera_are_upright_and_things_stay_where_they_are(degrees, bent):
    rig = Rig(rolled(degrees))
    of = info(d=BENT if bent else np.zeros(5))
    frame = rig.frame(*seen(AHEAD, rig.pose, of), of)
    close(frame, AHEAD)
    rows, columns = np.nonzero(frame.image[..., 0] > 127)
    assert rows.mean() < frame.camera.cy
    assert columns.mean() < frame.camera.cx
    portrait = round(degrees / 90) % 2
    assert frame.image.shape[:2] == ((WIDTH, HEIGHT) if portrait else (HEIGHT, WIDTH))
    assert rig.quarters == round(degrees / 90) % 4
    assert frame.frame_id == OPTICAL


def test_a_camera_that_sways_about_a_diagonal_keeps_its_side_up():
    rig, of = Rig(), info()
    turns = []
    for degrees in (0, 40, 50, 40, 50, 60, 50, 40, 36, 30, 50):
        rig.move(rolled(degrees))
        close(rig.frame(*seen((3.3, 0.1, 1.3), rig.pose, of), of), (3.3, 0.1, 1.3))
        turns.append(rig.quarters)
    assert turns == [0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0]


def test_a_camera_that_looks_down_is_not_turned():
    down = SE3(np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]]), np.array([0.0, 0, 5]))
    rig, of = Rig(down), info()
    close(rig.frame(*seen((0.5, 0.5, 2.0), down, of), of), (0.5, 0.5, 2.0))
    assert rig.quarters == 0


def test_a_clip_has_pictures_of_one_side_up():
    transforms, said = TransformBuffer(), []
    settings = ClipSettings(
        length=8, capacity=8, policy=SimpleNamespace(wants=lambda *_: True, min_interval_s=0.0),
        fixed_frame="map", pair_tolerance_ns=0, wait_ns=0,
    )  # fmt: skip
    clips = ClipBuilder(settings, transforms.lookup, said.append, said.append)
    clips.assembler.add_camera_info(info())
    sizes = []
    for second, degrees in enumerate((0, 0, 180, 180, 90), 1):
        transforms.insert("map", OPTICAL, 0, rolled(degrees), static=True)
        pixels, _ = seen((3.3, 0.1, 1.3), rolled(degrees), info())
        clips.add_image(image(second * S, pixels, "rgb8"), second * S)
        sizes += [len(clip.clip) for clip in clips.advance(second * S)]
    assert sizes == [1, 2, 1, 2, 1]
    assert "turned by 180 degrees" in said[0]
    assert "240x320" in said[1]


# Frames of images.


BODY = SE3(np.eye(3), np.array([0.3, -0.2, 1.2]))  # x forward
CHILD = SE3(LOOKS_ALONG_X, np.zeros(3))


@pytest.mark.parametrize("child", ["camera_optical_frame", "camera_color_optical_frame"])
def test_images_in_the_frame_of_the_cameras_body_are_told_with_the_optical_frame(child):
    rig, of = Rig(BODY, frame_id="camera_link"), info()
    if "color" in child:
        rig.transforms.insert("camera_link", "color", 0, SE3.identity(), static=True)
    rig.transforms.insert(
        "color" if "color" in child else "camera_link", child, 0, CHILD, static=True
    )
    for _ in range(3):
        rig.frame(*seen(AHEAD, rolled(0), of), of)
    assert rig.assembler.lacks["doubtful frame_id"] == 3
    assert child in rig.assembler.details["doubtful frame_id"]
    assert [subject for subject, _ in rig.notes] == ["doubtful frame_id"]


def test_the_optical_frame_that_the_user_names_is_that_of_image_depth_and_calibrations():
    rig, of = Rig(BODY, frame_id="camera_link", camera_frame=OPTICAL), info(frame_id="camera_link")
    rig.transforms.insert("camera_link", OPTICAL, 0, CHILD, static=True)
    rig.assembler.registration.add_camera_info(info(frame_id="camera_link"))
    frame = rig.frame(*seen(AHEAD, rolled(0), of), of)
    close(frame, AHEAD)
    assert frame.frame_id == OPTICAL
    assert not rig.notes
    assert not rig.assembler.lacks


def test_a_camera_that_looks_straight_up_all_the_time_is_told():
    rig, of = Rig(BODY, frame_id="camera"), info()
    for _ in range(12):
        rig.frame(*seen(AHEAD, rolled(0), of), of)
    assert rig.assembler.lacks["doubtful frame_id"] == 3  # from the tenth on
    assert "straight up" in rig.notes[0][1]
    assert "camera_frame" in rig.notes[0][1]


@pytest.mark.parametrize(
    ("frame_id", "child", "turn"),
    [
        ("rgb_camera_link", "imu_optical_frame", np.eye(3)),  # as the Azure Kinect names its own
        (OPTICAL, "other_optical_frame", LOOKS_ALONG_X),
        ("camera", "marker", LOOKS_ALONG_X),
    ],
)
def test_an_optical_frame_by_another_name_is_not_doubted(frame_id, child, turn):
    rig, of = Rig(frame_id=frame_id), info()
    rig.transforms.insert(frame_id, child, 0, SE3(turn, np.zeros(3)), static=True)
    for _ in range(12):
        close(rig.frame(*seen(AHEAD, rig.pose, of), of), AHEAD)
    assert not rig.assembler.lacks


def test_a_camera_that_looks_up_for_a_while_is_not_doubted():
    rig, of = Rig(), info()
    rig.frame(*seen(AHEAD, rig.pose, of), of)
    rig.move(BODY)
    for _ in range(12):
        rig.frame(*seen(AHEAD, rolled(0), of), of)
    assert not rig.assembler.lacks


def test_a_fixed_frame_whose_origin_is_the_earths_is_told():
    far = SE3(rolled(0).rotation, np.array([4.0e6, 0.6e6, 4.9e6]))
    rig, of = Rig(far), info()
    rig.frame(*seen(far.translation + np.array([3.0, 0.5, 0.2]), far, of), of)
    assert rig.assembler.lacks == {"doubtful fixed_frame": 1}
    assert "fixed_frame" in rig.notes[0][1]
