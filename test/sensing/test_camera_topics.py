"""Which topics are taken for a camera: the situations of public bug reports."""

from __future__ import annotations

import numpy as np
import pytest
from support.drive_bags import START_NS
from support.topic_bags import Topic, calibration, compressed, picture, transform, write_topics

from vega3d_ros.sensing.bags.reader import BagError, open_bag, read_frames
from vega3d_ros.sensing.topic_names import depth_by_name, is_debug

H264 = b"\0\0\0\1\x67\x42\0\x1f" + bytes(range(200))
RAMP = np.linspace(0.0, 1.0, 48 * 64, dtype=np.float32).reshape(48, 64)


def choose(folder, topics, **asked):
    with open_bag(write_topics(folder / "bag", topics)) as bag:
        return bag.find_topics(**asked)


def test_confidence_map_beside_depth_of_the_same_frame(tmp_path):
    """zed-ros2-wrapper#230."""
    confidence = picture(encoding="32FC1", values=1 + 99 * RAMP, number=9)
    topics = choose(
        tmp_path,
        {
            "/zed/rgb/image_rect_color": picture(),
            "/zed/rgb/camera_info": calibration(),
            "/zed/confidence/confidence_map": confidence,
            "/zed/depth/depth_registered": picture(encoding="32FC1"),
        },
    )
    assert topics.depth == "/zed/depth/depth_registered"
    note = topics.notes[0]
    assert "not /zed/confidence/confidence_map" in note


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("/cam/disparity", 5 + 20 * RAMP),
        ("/cam/depth/confidence", 2 * RAMP + 1),
        ("/cam/depth_quality", RAMP),
        ("/cam/map", np.round(100 * RAMP)),
        ("/cam/map", 34 + RAMP),
        ("/cam/map", RAMP),
        ("/cam/map", 4 * RAMP - 1),
    ],
)
def test_map_that_is_no_depth_is_taken_for_none_even_alone(tmp_path, name, values):
    image, info = picture(), calibration()
    wrong = picture(encoding="32FC1", values=values.astype(np.float32))
    topics = choose(tmp_path, {"/cam/image_raw": image, "/cam/camera_info": info, name: wrong})
    assert topics.depth == ""
    assert f"depth: took none, not {name}" in topics.notes[0]


@pytest.mark.parametrize("name", ["/cam/depth", "/cam/depth/image", "/ir/depth", "/cam/points_z"])
def test_depth_in_metres_is_taken_under_any_name_that_does_not_deny_it(tmp_path, name):
    depth = picture(encoding="32FC1")
    every = {"/cam/image_raw": picture(), "/cam/camera_info": calibration(), name: depth}
    assert choose(tmp_path, every).depth == name


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("/camera/depth/image_rect_raw", True),
        ("/camera/aligned_depth_to_color/image_raw", True),
        ("/camera/aligned_depth_to_infra1/image_raw", True),
        ("/camera/infra1/image_rect_raw", False),
        ("/depth/confidence", False),
        ("/zed/depth/confidence_map", False),
        ("/ir/depth", True),
        ("/camera/image_raw", None),
    ],
)
def test_names_say_depth_by_their_last_part_that_says_anything(name, says):
    assert depth_by_name(name) is says


@pytest.mark.parametrize("name", ["/yolo/dbg_image", "/detections/image", "/cam/image_annotated"])
def test_names_of_pictures_that_programs_drew_into(name):
    assert is_debug(name)
    assert not is_debug("/camera/color/image_raw")


@pytest.mark.parametrize("form", ["h264", "h265", "hevc", "rgb8; ffmpeg compressed", "jpeg", ""])
def test_video_in_compressed_images_beside_jpeg(tmp_path, form):
    """foxglove's h264 extension#6, ffmpeg_image_transport#22. The last two tell nothing true."""
    topics = choose(
        tmp_path,
        {
            "/a/h264": compressed(form=form, data=H264, number=9),
            "/cam/image/compressed": compressed(),
            "/cam/camera_info": calibration(),
        },
    )
    assert topics.image == "/cam/image/compressed"
    (note,) = topics.notes[:1]
    assert "not /a/h264 (" in note
    assert "is video; record JPEG" in note


def test_video_alone_is_refused_with_its_name(tmp_path):
    only = {"/cam/h264": compressed(form="h264", data=H264), "/cam/camera_info": calibration()}
    with pytest.raises(BagError, match=r"/cam/h264: h264 is video; record JPEG"):
        choose(tmp_path, only)


def test_video_that_is_asked_for_gives_no_frame_and_says_why(tmp_path):
    path = write_topics(tmp_path / "bag", {"/cam/h264": compressed(form="h264", data=H264)})
    with open_bag(path) as bag:
        assert list(read_frames(bag, bag.find_topics(image="/cam/h264"))) == []


def test_colour_beside_infrared_with_depth_aligned_to_colour(tmp_path):
    """realsense-ros#1140."""
    infra1 = picture("camera_infra1_optical_frame", "mono8", number=9)
    infra2 = picture("camera_infra2_optical_frame", "mono8", number=9)
    topics = choose(
        tmp_path,
        {
            "/camera/infra1/image_rect_raw": infra1,
            "/camera/infra1/camera_info": calibration("camera_infra1_optical_frame"),
            "/camera/infra2/image_rect_raw": infra2,
            "/camera/infra2/camera_info": calibration("camera_infra2_optical_frame"),
            "/camera/color/image_raw": picture("camera_color_optical_frame"),
            "/camera/color/camera_info": calibration("camera_color_optical_frame"),
            "/camera/aligned_depth_to_color/image_raw": picture(
                "camera_color_optical_frame", "16UC1"
            ),
        },
    )
    assert topics.image == "/camera/color/image_raw"
    assert topics.camera_info == "/camera/color/camera_info"
    assert topics.depth == "/camera/aligned_depth_to_color/image_raw"
    assert "/camera/infra2/image_rect_raw (no depth belongs to it)" in topics.notes[0]


def test_first_pictures_that_cannot_be_read_cost_themselves(tmp_path):
    good, bad = compressed(), compressed(data=b"no jpeg", number=9)
    made = []

    def make(stamp_ns):
        made.append(stamp_ns)
        return (bad if len(made) <= 2 else good).make(stamp_ns)

    mixed = {"/a/compressed": Topic(good.type, make, 7), "/b/compressed": bad}
    with open_bag(write_topics(tmp_path / "bag", mixed)) as bag:
        topics = bag.find_topics()
        frames = list(read_frames(bag, topics))
    assert topics.image == "/a/compressed"
    assert "/b/compressed (cannot decode the jpeg image" in topics.notes[0]
    assert len(frames) == 5


@pytest.mark.parametrize("one_frame", [True, False])
def test_left_and_right_with_depth_of_the_left(tmp_path, one_frame):
    """Stereo cameras of ZED; some drivers give both pictures one frame."""
    right = "left_optical" if one_frame else "right_optical"
    topics = choose(
        tmp_path,
        {
            "/zed/left/image_rect_color": picture("left_optical"),
            "/zed/left/camera_info": calibration("left_optical"),
            "/zed/right/image_rect_color": picture(right, number=9),
            "/zed/right/camera_info": calibration(right),
            "/zed/depth/depth_registered": picture("left_optical", "32FC1"),
        },
    )
    assert topics.image == "/zed/left/image_rect_color"
    assert topics.camera_info == "/zed/left/camera_info"
    assert topics.depth == "/zed/depth/depth_registered"


def test_camera_beside_the_picture_of_a_detector(tmp_path):
    """yolo_ros#82: the annotated picture has the camera's header."""
    topics = choose(
        tmp_path,
        {
            "/yolo/dbg_image": picture(number=9),
            "/camera/image_raw": picture(),
            "/camera/camera_info": calibration(),
            "/camera/depth": picture(encoding="16UC1"),
        },
    )
    assert (topics.image, topics.depth) == ("/camera/image_raw", "/camera/depth")
    assert "/yolo/dbg_image (by its name a program drew into it)" in topics.notes[0]


def test_camera_with_depth_comes_before_one_without(tmp_path):
    topics = choose(
        tmp_path,
        {
            "/back/image_rect": picture("back_optical", number=9),
            "/back/camera_info": calibration("back_optical"),
            "/front/image_raw": picture("front_optical"),
            "/front/camera_info": calibration("front_optical"),
            "/front/depth": picture("front_optical", "16UC1"),
        },
    )
    assert (topics.image, topics.depth) == ("/front/image_raw", "/front/depth")


def test_rectified_pictures_come_before_raw_ones_and_raw_before_compressed(tmp_path):
    topics = choose(
        tmp_path,
        {
            "/cam/image_raw": picture(number=9),
            "/cam/image_raw/compressed": compressed(number=12),
            "/cam/image_rect_color": picture(),
            "/cam/camera_info": calibration(),
        },
    )
    assert topics.image == "/cam/image_rect_color"
    assert "/cam/image_raw (it is not rectified)" in topics.notes[0]


def test_infrared_of_16_bits_beside_depth(tmp_path):
    """vision_opencv#255, Azure Kinect: mono16 is grey, never depth."""
    infrared = picture("depth_camera", "mono16", number=9)
    topics = choose(
        tmp_path,
        {
            "/rgb/image_raw": picture("rgb_camera"),
            "/rgb/camera_info": calibration("rgb_camera"),
            "/ir/image_raw": infrared,
            "/ir/camera_info": calibration("depth_camera"),
            "/depth/image_raw": picture("depth_camera", "16UC1"),
            "/depth/camera_info": calibration("depth_camera"),
            "/depth_to_rgb/image_raw": picture("rgb_camera", "16UC1"),
        },
    )
    assert (topics.image, topics.depth) == ("/rgb/image_raw", "/depth_to_rgb/image_raw")


def test_colour_with_depth_of_another_lens_comes_before_infrared_with_its_own(tmp_path):
    topics = choose(
        tmp_path,
        {
            "/rgb/image_raw": picture("rgb_camera"),
            "/rgb/camera_info": calibration("rgb_camera"),
            "/ir/image_raw": picture("depth_camera", "mono16"),
            "/ir/camera_info": calibration("depth_camera"),
            "/depth/image_raw": picture("depth_camera", "16UC1"),
            "/depth/camera_info": calibration("depth_camera"),
            "/tf_static": transform("rgb_camera", "depth_camera", (0.03, 0.0, 0.0)),
        },
    )
    assert (topics.image, topics.depth) == ("/rgb/image_raw", "/depth/image_raw")


def robots(*, own_tf=True, root_tf=False):
    """Two robots whose frames have the same names, 5 m apart."""
    every = {}
    for name, y in (("/robot1", 0.0), ("/robot2", 5.0)):
        every |= {
            f"{name}/cam/image_raw": picture(),
            f"{name}/cam/camera_info": calibration(),
        }
        if own_tf:
            every |= {
                f"{name}/tf": transform("odom", "base", (0.0, y, 0.0), (0.1, 0.0, 0.0)),
                f"{name}/tf_static": transform("base", "camera_optical"),
            }
    every["/robot2/cam/depth"] = picture(encoding="16UC1")
    if root_tf:
        every |= {
            "/tf": transform("odom", "base", (0.0, 9.0, 0.0)),
            "/tf_static": transform("base", "camera_optical"),
        }
    return every


@pytest.mark.parametrize(("robot", "y"), [("/robot1", 0.0), ("/robot2", 5.0)])
@pytest.mark.parametrize("root_tf", [False, True])
def test_transforms_of_several_robots(tmp_path, robot, y, root_tf):
    """create3_sim#211, turtlebot4#131, rosbot_xl_ros#71."""
    path = write_topics(tmp_path / "bag", robots(root_tf=root_tf))
    with open_bag(path) as bag:
        topics = bag.find_topics(image=f"{robot}/cam/image_raw")
        frames = list(read_frames(bag, topics))
    assert topics.tf == (f"{robot}/tf", f"{robot}/tf_static")
    assert topics.camera_info == f"{robot}/cam/camera_info"
    other = {"/robot1": "/robot2", "/robot2": "/robot1"}[robot]
    assert any(f"{other}/tf (" in note and "--tf" in note for note in topics.notes)
    for frame in frames:
        x = (frame.stamp_ns - START_NS) / 1e9
        assert frame.pose.translation == pytest.approx([x, y, 0.0])
        # The other robot's depth has the same frame, but is not of this camera.
        assert (frame.depth_m is not None) == (robot == "/robot2")


def test_root_transforms_serve_a_camera_without_a_robot_of_its_own(tmp_path):
    every = robots(root_tf=True)
    every |= {"/cam/image_raw": picture(), "/cam/camera_info": calibration()}
    topics = choose(tmp_path, every, image="/cam/image_raw")
    assert topics.tf == ("/tf", "/tf_static")
    assert (topics.camera_info, topics.depth) == ("/cam/camera_info", "")


@pytest.mark.parametrize("named", ["/robot2/tf", "/robot2"])
def test_transforms_can_be_named(tmp_path, named):
    topics = choose(tmp_path, robots(), image="/robot1/cam/image_raw", tf=named)
    assert topics.tf == ("/robot2/tf", "/robot2/tf_static")
    with pytest.raises(BagError, match="no transforms on /robot3"):
        choose(tmp_path / "again", robots(), tf="/robot3")


def test_only_transforms_that_there_are_serve_whatever_their_names(tmp_path):
    every = {
        "/cam/image_raw": picture(),
        "/robot/tf": transform("odom", "base"),
        "/robot/tf_static": transform("base", "camera_optical"),
    }
    topics = choose(tmp_path, every)
    assert topics.tf == ("/robot/tf", "/robot/tf_static")
    assert topics.fixed_frame == "odom"
