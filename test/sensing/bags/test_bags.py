"""Recordings: topics found, frames paired, damage told apart from anything else."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys

import numpy as np
import pytest
from rosbags.convert.converter import convert
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from support.drive_bags import write_drive

from vega3d_ros.sensing.bags.reader import (
    CAMERA_INFO,
    IMAGE,
    TF_MESSAGE,
    BagError,
    open_bag,
    read_frames,
)
from vega3d_ros.sensing.bags.writer import BagWriter

STORE = get_typestore(Stores.ROS2_JAZZY)


def copy_bag(
    source, target, plugin=StoragePlugin.MCAP, mode=CompressionMode.NONE, rename=None, keep=None
):
    """The same messages, stored in another way, under other names, or only some topics."""
    writer = Writer(target, version=9, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with Reader(source) as reader, writer:
        connections = {
            c.id: writer.add_connection(
                (rename or {}).get(c.topic, c.topic), c.msgtype, typestore=STORE
            )
            for c in reader.connections
            if keep is None or c.topic in keep
        }
        for connection, stamp, data in reader.messages():
            if connection.id in connections:
                writer.write(connections[connection.id], stamp, data)
    return target


def writable(source, target):
    shutil.copytree(source, target)
    return next(target.glob("*.mcap"))


@pytest.mark.parametrize(
    ("plugin", "mode"),
    [
        (StoragePlugin.MCAP, CompressionMode.NONE),
        (StoragePlugin.MCAP, CompressionMode.STORAGE),
        (StoragePlugin.SQLITE3, CompressionMode.NONE),
        (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
        (StoragePlugin.SQLITE3, CompressionMode.FILE),
    ],
)
def test_every_storage_gives_the_same_frames(drive_bag, tmp_path, plugin, mode):
    path = copy_bag(drive_bag.path, tmp_path / "bag", plugin, mode)
    with open_bag(path) as bag:
        frames = list(read_frames(bag, bag.find_topics()))
    assert len(frames) == drive_bag.frames
    assert [frame.image[0, 0, 0] for frame in frames] == list(range(drive_bag.frames))


def test_frames_carry_calibration_depth_and_pose_of_their_own_stamp(drive_bag):
    with open_bag(drive_bag.path) as bag:
        frames = list(read_frames(bag, bag.find_topics()))
    for i, frame in enumerate(frames):
        assert frame.stamp_ns == drive_bag.start_ns + round(i / 15.0 * 1e9)
        assert frame.fixed_frame == "map"
        assert frame.pose.translation == pytest.approx([0.02 * i, 0.0, 1.0])
        assert frame.pose.rotation[:, 2] == pytest.approx([1.0, 0.0, 0.0], abs=1e-9)
        assert frame.camera.fx == pytest.approx(64 / 1.2)
        assert frame.depth_m[5, 5] == pytest.approx(2.0 + 0.001 * i)
        assert np.isnan(frame.depth_m[0, 0])


def test_topics_are_found_by_type_and_frame(drive_bag):
    with open_bag(drive_bag.path) as bag:
        topics = bag.find_topics()
        assert bag.duration_s == pytest.approx(29 / 15)
    assert topics.image == "/cam/image_raw"
    assert topics.camera_info == "/cam/camera_info"
    assert topics.depth == "/cam/depth"
    assert topics.tf == ("/tf", "/tf_static")
    assert (topics.frame_id, topics.fixed_frame) == ("camera_optical", "map")
    assert topics.notes == ()


def test_bag_of_images_alone_says_what_it_lacks(drive_bag, tmp_path):
    path = copy_bag(drive_bag.path, tmp_path / "bag", keep={"/cam/image_raw"})
    with open_bag(path) as bag:
        topics = bag.find_topics()
        frames = list(read_frames(bag, topics))
    assert topics.names == ("/cam/image_raw",)
    assert any("camera_info" in note for note in topics.notes)
    assert any("no transform" in note for note in topics.notes)
    assert len(frames) == drive_bag.frames
    assert frames[0].camera is frames[0].pose is frames[0].depth_m is None


def test_named_topic_is_taken_or_refused(drive_bag):
    with open_bag(drive_bag.path) as bag:
        assert bag.find_topics(image="/cam/image_raw").image == "/cam/image_raw"
        with pytest.raises(BagError, match=r"no topic /nope; it has: .*/cam/image_raw"):
            bag.find_topics(image="/nope")


def test_depth_alone_is_no_image(drive_bag, tmp_path):
    path = copy_bag(drive_bag.path, tmp_path / "bag", keep={"/cam/depth", "/cam/camera_info"})
    with (
        open_bag(path) as bag,
        pytest.raises(BagError, match="no topic with colour or grey images"),
    ):
        bag.find_topics()


def write_other_lens(drive, folder, *, calibrated=True, connected=True, info="/ir/camera_info"):
    """The drive with depth from half the size, 2 cm to the right of the colour camera."""
    with open_bag(drive.path) as source, BagWriter(folder) as writer:
        for topic, kind in source.topics.items():
            if topic != "/cam/depth":
                writer.add_topic(topic, kind)
        writer.add_topic("/ir/depth", IMAGE)
        if calibrated:
            writer.add_topic(info, CAMERA_INFO)
        for raw in source.raw_messages(source.topics):
            message = source.decode(raw)
            if raw.topic == "/cam/depth":
                message.header.frame_id = "ir_optical"
                message.height, message.width, message.step = 24, 32, 64
                message.data = np.full(24 * 32, 2000, np.uint16).view(np.uint8)
                writer.write("/ir/depth", raw.stamp_ns, STORE.serialize_cdr(message, IMAGE))
                continue
            if raw.topic == "/tf_static" and connected:
                mount = message.transforms[0]
                right = copy.deepcopy(mount)
                right.header.frame_id, right.child_frame_id = mount.child_frame_id, "ir_optical"
                right.transform.translation.x = 0.02
                right.transform.translation.y = right.transform.translation.z = 0.0
                q = right.transform.rotation
                q.x, q.y, q.z, q.w = 0.0, 0.0, 0.0, 1.0
                message.transforms.append(right)
            kind = source.topics[raw.topic]
            writer.write(raw.topic, raw.stamp_ns, STORE.serialize_cdr(message, kind))
            if raw.topic == "/cam/camera_info" and calibrated:
                message.header.frame_id = "ir_optical"
                message.height, message.width = 24, 32
                focal = 32 / 1.2
                message.k = np.array([focal, 0, 15.5, 0, focal, 11.5, 0, 0, 1])
                message.p = np.insert(message.k, [3, 6, 9], 0.0)
                writer.write(info, raw.stamp_ns, STORE.serialize_cdr(message, CAMERA_INFO))
    return folder


@pytest.mark.parametrize("info", ["/ir/camera_info", "/somewhere/else"])
def test_depth_of_another_lens_is_reprojected_into_the_image(drive_bag, tmp_path, info):
    with open_bag(write_other_lens(drive_bag, tmp_path / "bag", info=info)) as bag:
        topics = bag.find_topics()
        frames = list(read_frames(bag, topics))
    assert (topics.depth, topics.depth_camera_info) == ("/ir/depth", info)
    assert info in topics.names
    assert any("reprojected from 'ir_optical'" in note for note in topics.notes)
    assert frames[0].depth_m is not None  # the first too, whatever came first
    for frame in frames:
        depth = frame.depth_m
        np.testing.assert_allclose(depth[:, 1:], 2.0, rtol=1e-6)
        assert np.isnan(depth[:, 0]).all()  # the shift is 0.53 px: out of the depth camera's view


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"calibrated": False}, "no calibration of it on /ir/camera_info"),
        ({"connected": False}, "no transform leads from 'ir_optical'"),
    ],
)
def test_depth_of_another_lens_that_cannot_be_placed_is_left_out(drive_bag, tmp_path, how, said):
    with open_bag(write_other_lens(drive_bag, tmp_path / "bag", **how)) as bag:
        topics = bag.find_topics()
        named = bag.find_topics(depth="/ir/depth")
        frames = list(read_frames(bag, named))
    assert topics.depth == topics.depth_camera_info == ""
    assert any("/ir/depth" in note and said in note for note in topics.notes)
    assert named.depth == "/ir/depth"
    assert all(frame.depth_m is None for frame in frames)  # not even where the user names it


def test_calibration_of_the_images_frame_wins_over_a_similar_name(drive_bag, tmp_path):
    with open_bag(drive_bag.path) as source, BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/cam/image_raw", IMAGE)
        writer.add_topic("/other", CAMERA_INFO)
        writer.add_topic("/cam/image_raw_info", CAMERA_INFO)
        for raw in source.raw_messages(["/cam/image_raw", "/cam/camera_info"]):
            if raw.topic == "/cam/image_raw":
                writer.write(raw.topic, raw.stamp_ns, raw.data)
                continue
            writer.write("/other", raw.stamp_ns, raw.data)
            message = source.decode(raw)
            message.header.frame_id = "elsewhere"
            writer.write(
                "/cam/image_raw_info", raw.stamp_ns, STORE.serialize_cdr(message, CAMERA_INFO)
            )
    with open_bag(tmp_path / "bag") as bag:
        assert bag.find_topics().camera_info == "/other"


def test_raw_messages_come_in_order_and_as_recorded(drive_bag):
    with open_bag(drive_bag.path) as bag, Reader(drive_bag.path) as reader:
        ours = [(m.topic, m.stamp_ns, m.data) for m in bag.raw_messages(bag.topics)]
        theirs = [(c.topic, stamp, bytes(data)) for c, stamp, data in reader.messages()]
    assert ours == theirs
    assert [stamp for _, stamp, _ in ours] == sorted(stamp for _, stamp, _ in ours)


def test_single_file_opens_without_metadata(drive_bag, tmp_path):
    with open_bag(writable(drive_bag.path, tmp_path / "bag")) as bag:
        assert bag.counts["/cam/image_raw"] == drive_bag.frames


def test_own_types_are_written_with_their_definition_and_read_back(tmp_path):
    definitions = {
        "my_msgs/msg/Inner": "float64[3] place\n",
        "my_msgs/msg/Outer": "std_msgs/Header header\nInner[] items\nstring name\n",
    }
    with BagWriter(tmp_path / "bag", definitions) as writer:
        writer.add_topic("/own", "my_msgs/msg/Outer")
        store = writer._store
        inner = store.types["my_msgs/msg/Inner"](place=np.array([1.0, 2.0, 3.0]))
        time = store.types["builtin_interfaces/msg/Time"](sec=1, nanosec=2)
        header = store.types["std_msgs/msg/Header"](stamp=time, frame_id="map")
        outer = store.types["my_msgs/msg/Outer"](header=header, items=[inner], name="chair")
        writer.write("/own", 5, store.serialize_cdr(outer, "my_msgs/msg/Outer"))
    with open_bag(tmp_path / "bag") as bag:
        message = bag.first("/own")
    assert message.name == "chair"
    assert message.items[0].place.tolist() == [1.0, 2.0, 3.0]


def test_writer_never_overwrites(tmp_path):
    with BagWriter(tmp_path / "bag"):
        pass
    with pytest.raises(BagError, match="exists already"):
        BagWriter(tmp_path / "bag")


def test_missing_folder(tmp_path):
    with pytest.raises(BagError, match="there is no bag at"):
        open_bag(tmp_path / "nowhere")


def test_folder_without_metadata_is_read_by_its_file(drive_bag, tmp_path):
    file = writable(drive_bag.path, tmp_path / "bag")
    (tmp_path / "bag" / "metadata.yaml").unlink()
    with open_bag(tmp_path / "bag") as bag:
        assert bag.counts["/cam/image_raw"] == drive_bag.frames
        assert "no metadata.yaml" in bag.notes[0]
    shutil.copy(file, file.with_name("second.mcap"))  # another recording
    with pytest.raises(BagError, match=f"reindex.*{file.name}"):
        open_bag(tmp_path / "bag")
    for left in (tmp_path / "bag").iterdir():
        left.unlink()
    with pytest.raises(BagError, match="ros2 bag record"):
        open_bag(tmp_path / "bag")


def test_ros1_bag_gives_the_same_frames(drive_bag, tmp_path):
    target = tmp_path / "bag.bag"
    store = get_typestore(Stores.ROS1_NOETIC)
    convert([drive_bag.path], target, "", 0, "lz4", "", None, store, [], [], [], [])
    with open_bag(drive_bag.path) as ours, open_bag(target) as bag:
        assert bag.topics == ours.topics
        topics = bag.find_topics()
        assert topics.names == ours.find_topics().names
        found = list(read_frames(bag, topics))
        for frame, expected in zip(found, read_frames(ours, topics), strict=True):
            assert frame.stamp_ns == expected.stamp_ns
            assert (frame.image == expected.image).all()
            assert np.array_equal(frame.depth_m, expected.depth_m, equal_nan=True)
            assert frame.camera == expected.camera
            assert np.allclose(frame.pose.matrix, expected.pose.matrix)
    assert len(found) == drive_bag.frames


def test_what_is_latched_is_written_for_players(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/tf_static", TF_MESSAGE, latched=True)
        writer.add_topic("/tf", TF_MESSAGE)
    with Reader(tmp_path / "bag") as reader:
        offered = {c.topic: c.ext.offered_qos_profiles for c in reader.connections}
    assert offered["/tf"] == []
    assert [qos.durability.name for qos in offered["/tf_static"]] == ["TRANSIENT_LOCAL"]


def test_empty_bag(tmp_path):
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic("/cam/image_raw", IMAGE)
    with pytest.raises(BagError, match="is empty"):
        open_bag(tmp_path / "bag")


def _half(data):
    return data[: len(data) // 2]


def _no_end(data):
    return data[:-50]


def _nothing(_data):
    return b""


def _noise(data):
    return np.random.default_rng(0).bytes(len(data))


def _zeroed(data):
    middle = len(data) // 4
    return data[:middle] + bytes(len(data) // 4) + data[2 * middle :]


@pytest.mark.parametrize("damage", [_half, _no_end])
def test_cut_off_file_is_read_as_far_as_it_goes(tmp_path, damage):
    write_drive(tmp_path / "bag", frames=30, size=(256, 192))
    file = tmp_path / "bag" / "bag.mcap"
    file.write_bytes(damage(file.read_bytes()))
    with open_bag(tmp_path / "bag") as bag:
        assert "cut off" in bag.notes[0]
        frames = list(read_frames(bag, bag.find_topics()))
    assert (5 < len(frames) < 25) if damage is _half else len(frames) == 30


@pytest.mark.parametrize("damage", [_nothing, _noise, _zeroed])
def test_damaged_file_is_one_clear_error(drive_bag, tmp_path, damage):
    file = writable(drive_bag.path, tmp_path / "bag")
    file.write_bytes(damage(file.read_bytes()))
    # Where the damage shows differs: on opening or while reading.
    with pytest.raises(BagError, match="damaged"), open_bag(tmp_path / "bag") as bag:
        list(read_frames(bag, bag.find_topics()))


def test_damaged_message_is_one_clear_error(drive_bag):
    with open_bag(drive_bag.path) as bag:
        raw = next(bag.raw_messages(["/cam/image_raw"]))
        with pytest.raises(BagError, match="damaged"):
            bag.decode(raw._replace(data=raw.data[:20]))


def test_reading_needs_no_ros():
    code = (
        "import sys, vega3d_ros.sensing.bags.reader;"
        "sys.exit(bool({'rclpy', 'std_msgs'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_recording_that_loops_gives_every_frame_its_own_pose(drive_bag, tmp_path):
    """What is left of the time before a jump is ignored, as in the node."""
    with open_bag(drive_bag.path) as bag, BagWriter(tmp_path / "bag") as writer:
        for topic, kind in bag.topics.items():
            writer.add_topic(topic, kind)
        raws = list(bag.raw_messages(bag.topics))
        tf = [raw for raw in raws if raw.topic == "/tf"]
        for raw in raws:
            writer.write(raw.topic, raw.stamp_ns, raw.data)
        for i, raw in enumerate(raws):
            stamp_ns = raw.stamp_ns + 3 * 10**9
            writer.write(raw.topic, stamp_ns, raw.data)
            if i == 8:  # a transform of the end arrives after the jump
                writer.write("/tf", stamp_ns, tf[-1].data)
    with open_bag(tmp_path / "bag") as bag:
        frames = list(read_frames(bag, bag.find_topics()))
    assert len(frames) == 2 * drive_bag.frames
    for i, frame in enumerate(frames):
        assert frame.pose.translation[0] == pytest.approx(0.02 * (i % drive_bag.frames))
