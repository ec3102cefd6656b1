"""Recordings whose transforms or calibrations come late, or lead up to the earth."""

from __future__ import annotations

import copy
from itertools import pairwise

import numpy as np
import pytest
from support.drive_bags import START_NS, STORE

from vega3d_ros.sensing.bags.clip_source import clip_from_bag
from vega3d_ros.sensing.bags.reader import open_bag, read_frames
from vega3d_ros.sensing.bags.writer import BagWriter
from vega3d_ros.sensing.camera_settings import CameraSettings
from vega3d_ros.sensing.fixed_frame import fixed_frame_above

END_NS = START_NS + 3 * 10**9


def rewritten(source, target, change):
    """The bag with each message as ``change(topic, stamp, decoded)`` gives it, a list of them."""
    with open_bag(source) as bag, BagWriter(target) as writer:
        for topic, kind in bag.topics.items():
            writer.add_topic(topic, kind)
        written = []
        for raw in bag.raw_messages(bag.topics):
            written += change(raw.topic, raw.stamp_ns, bag.decode(raw))
        for topic, stamp, message in sorted(written, key=lambda one: one[1]):
            data = STORE.serialize_cdr(message, message.__msgtype__)
            writer.write(topic, stamp, data)
    return target


def frames_of(path, **settings):
    with open_bag(path) as bag:
        topics = bag.find_topics(settings=CameraSettings(**settings))
        return topics, list(read_frames(bag, topics))


def test_static_transforms_and_a_calibration_at_the_end_hold_from_the_start(drive_bag, tmp_path):
    once = []

    def late(topic, stamp, message):
        if topic == "/tf_static":
            return [(topic, END_NS, message)]
        if topic == "/cam/camera_info":
            once.append(message)
            return [(topic, END_NS, message)] if len(once) == 1 else []
        return [(topic, stamp, message)]

    topics, frames = frames_of(rewritten(drive_bag.path, tmp_path / "bag", late))
    assert topics.fixed_frame == "map"
    assert len(frames) == drive_bag.frames
    assert all(frame.pose is not None and frame.camera is not None for frame in frames)
    assert frames[0].pose.translation == pytest.approx([0, 0, 1])


def test_of_a_static_transform_that_changes_the_first_holds_at_first(drive_bag, tmp_path):
    def changed(topic, stamp, message):
        if topic != "/tf_static":
            return [(topic, stamp, message)]
        later = copy.deepcopy(message)
        later.transforms[0].transform.translation.z = 5.0
        return [(topic, stamp, message), (topic, START_NS + 10**9, later)]

    _, frames = frames_of(rewritten(drive_bag.path, tmp_path / "bag", changed))
    heights = [frame.pose.translation[2] for frame in frames]
    assert heights[:14] == [1.0] * 14
    assert heights[-10:] == [5.0] * 10


def test_calibrations_of_zeros_before_a_good_one_cost_nothing(drive_bag, tmp_path):
    seen = []

    def zeros(topic, stamp, message):
        if topic == "/cam/camera_info":
            seen.append(message)
            if len(seen) % 10 != 5:
                message.k, message.p = np.zeros(9), np.zeros(12)
        return [(topic, stamp, message)]

    _, frames = frames_of(rewritten(drive_bag.path, tmp_path / "bag", zeros))
    assert all(frame.camera is not None for frame in frames)


def under(root, far=(4.0e6, 0.6e6, 4.9e6)):
    """A change that puts a frame above map."""

    def change(topic, stamp, message):
        if topic != "/tf_static":
            return [(topic, stamp, message)]
        above = copy.deepcopy(message.transforms[0])
        above.header.frame_id, above.child_frame_id = root, "map"
        move = above.transform.translation
        move.x, move.y, move.z = far
        message.transforms.append(above)
        return [(topic, stamp, message)]

    return change


def test_the_fixed_frame_is_the_map_not_the_earth_above_it(drive_bag, tmp_path):
    topics, frames = frames_of(rewritten(drive_bag.path, tmp_path / "bag", under("earth")))
    assert topics.fixed_frame == "map"
    assert frames[0].pose.translation == pytest.approx([0, 0, 1])


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        (["camera", "base", "odom", "map", "earth"], "map"),
        (["camera", "base", "odom", "map", "world"], "map"),
        (["camera", "base", "odom", "utm"], "odom"),
        (["camera", "base", "odom", "earth"], "odom"),
        (["camera", "base", "world"], "world"),
        (["camera", "base", "odom"], "odom"),
        (["camera", "base", "robot1/odom", "robot1/map", "earth"], "robot1/map"),
        (["camera", "robot1/base", "robot1/odom", "robot1/map", "map"], "map"),
        (["camera", "earth"], "earth"),
        (["camera"], ""),
    ],
)
def test_the_fixed_frame_of_a_chain_of_frames(chain, expected):
    parents = dict(pairwise(chain))
    assert fixed_frame_above("camera", parents) == expected


def test_frames_in_a_loop_end():
    assert fixed_frame_above("a", {"a": "b", "b": "c", "c": "b"}) == "c"
    assert fixed_frame_above("a", {"a": "b", "b": "a"}) == "b"


def body_frame(topic, stamp, message):
    """Images in the camera's body, whose optical frame is below it."""
    if topic == "/tf_static":
        optical = message.transforms[0]
        body = copy.deepcopy(optical)
        body.child_frame_id = optical.header.frame_id = "camera_link"
        turned, moved = body.transform.rotation, optical.transform.translation
        turned.x, turned.y, turned.z, turned.w = 0.0, 0.0, 0.0, 1.0
        moved.x, moved.y, moved.z = 0.0, 0.0, 0.0
        message.transforms.append(body)
    elif topic.startswith("/cam"):
        message.header.frame_id = "camera_link"
    return [(topic, stamp, message)]


def test_a_clip_of_images_in_the_cameras_body_warns_and_takes_the_users_frame(drive_bag, tmp_path):
    path = rewritten(drive_bag.path, tmp_path / "bag", body_frame)
    with pytest.warns(UserWarning, match="set the parameter camera_frame to camera_optical"):
        clip_from_bag(path)
    clip = clip_from_bag(path, settings=CameraSettings(camera_frame="camera_optical"))
    assert clip.fixed_frame == "map"
    assert clip.frames[0].pose.rotation[:, 2] == pytest.approx([1.0, 0.0, 0.0], abs=1e-9)
    assert clip.frames[0].depth_m is not None
