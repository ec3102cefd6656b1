"""Damage costs what is damaged, is counted and named, and nothing else."""

from __future__ import annotations

import errno
import shutil
import sqlite3
import sys
from contextlib import closing

import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from support.drive_bags import write_drive

from vega3d_ros.sensing.bags import storage_files
from vega3d_ros.sensing.bags.reader import BagError, open_bag, read_frames

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STORE = get_typestore(Stores.ROS2_JAZZY)
KINDS = [StoragePlugin.MCAP, StoragePlugin.SQLITE3]
FRAMES = 30
CHUNK, MESSAGE_INDEX = 6, 7


@pytest.fixture(scope="module")
def long_drive(tmp_path_factory):
    """Copies a drive of eight chunks to a folder: 147 KB of noise and 98 KB of depth a frame."""
    stored = tmp_path_factory.mktemp("long")
    write_drive(stored / "source", frames=FRAMES, size=(256, 192))

    def copy(folder, plugin=StoragePlugin.MCAP, mode=CompressionMode.NONE, *, halves=False):
        kept = stored / f"{plugin.name}_{mode.name}_{halves}" / "bag"
        if not kept.exists():
            kept.parent.mkdir()
            (split if halves else rewrite)(stored / "source", kept, plugin, mode)
        shutil.copytree(kept, folder)
        return storage(folder)

    return copy


def rewrite(source, target, plugin=StoragePlugin.MCAP, mode=CompressionMode.NONE, change=None):
    """The same messages in another storage, each changed by ``change(topic, number, data)``."""
    writer = Writer(target, version=9, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    numbers = {}
    with Reader(source) as reader, writer:
        connections = {
            c.id: writer.add_connection(c.topic, c.msgtype, typestore=STORE)
            for c in reader.connections
        }
        for connection, stamp, data in reader.messages():
            number = numbers[connection.topic] = numbers.get(connection.topic, -1) + 1
            changed = data if change is None else change(connection.topic, number, bytes(data))
            writer.write(connections[connection.id], stamp, changed)
    return target


def storage(folder):
    return min(f for f in folder.iterdir() if f.suffix in {".mcap", ".db3", ".zstd"})


def frames_of(path):
    with open_bag(path) as bag:
        frames = list(read_frames(bag, bag.find_topics()))
        return frames, bag.damage, bag.notes


def records(data, kind):
    """Offset and length of the body of every record of a kind at the top level of an mcap."""
    found, at = [], 8
    while at + 9 <= len(data) - 8:
        length = int.from_bytes(data[at + 1 : at + 9], "little")
        if data[at] == kind:
            found.append((at + 9, length))
        at += 9 + length
    return found


@pytest.mark.parametrize("mode", [CompressionMode.NONE, CompressionMode.STORAGE])
def test_one_bad_chunk_costs_its_own_messages(long_drive, tmp_path, mode):
    file = long_drive(tmp_path / "bag", mode=mode)
    data = bytearray(file.read_bytes())
    chunks = records(data, CHUNK)
    assert len(chunks) >= 7
    at, length = chunks[3]
    data[at + 60 : at + length] = b"\xff" * (length - 60)
    file.write_bytes(data)
    with open_bag(tmp_path / "bag") as bag:
        topics = bag.find_topics()
        frames = list(read_frames(bag, topics))
        again = list(read_frames(bag, topics))
        (loss,) = bag.damage
    lost = FRAMES - len(frames)
    assert 3 <= lost <= 7
    assert loss.startswith("bag.mcap: a chunk of it cannot be read")
    assert f"{lost} of /cam/image_raw" in loss  # though it was read more than once
    assert [f.stamp_ns for f in again] == [f.stamp_ns for f in frames]
    assert all(frame.pose is not None for frame in frames if frame.depth_m is not None)


def test_first_chunk_that_is_bad_costs_no_definition(long_drive, tmp_path):
    file = long_drive(tmp_path / "bag", mode=CompressionMode.STORAGE)
    data = bytearray(file.read_bytes())
    at, length = records(data, CHUNK)[0]
    data[at + 60 : at + length] = b"\xff" * (length - 60)
    file.write_bytes(data)
    frames, damage, _ = frames_of(tmp_path / "bag")
    assert FRAMES - 7 <= len(frames) < FRAMES
    assert len(damage) == 1


@pytest.mark.parametrize("mode", [CompressionMode.NONE, CompressionMode.STORAGE])
def test_cut_file_is_read_where_it_lies(long_drive, tmp_path, monkeypatch, mode):
    """A copy would not fit into the temporary folder."""
    file = long_drive(tmp_path / "bag", mode=mode)
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 6 // 10])

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryDirectory", full)
    monkeypatch.setattr("tempfile.mkdtemp", full)
    frames, _, notes = frames_of(tmp_path / "bag")
    assert FRAMES // 2 <= len(frames) < FRAMES * 7 // 10
    assert notes[0].startswith("bag.mcap is cut off; ")


def test_cut_behind_a_chunk_and_before_its_index(long_drive, tmp_path):
    file = long_drive(tmp_path / "bag", mode=CompressionMode.STORAGE)
    data = file.read_bytes()
    at, length = records(data, CHUNK)[4]
    file.write_bytes(data[: at + length])
    with_index = data[: records(data, MESSAGE_INDEX)[0][0] + 3]
    frames, _, _ = frames_of(tmp_path / "bag")
    assert len(frames) > FRAMES // 2
    file.write_bytes(with_index)  # cut within the index of the first chunk
    frames, _, _ = frames_of(tmp_path / "bag")
    assert 3 <= len(frames) <= 7


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-50],
        lambda data: data[:-8] + bytes(8),
        lambda data: data[:-1500] + np.random.default_rng(0).bytes(1000) + data[-500:],
        lambda data: data[:-37] + data[-37:-28] + bytes(20) + data[-8:],
    ],
    ids=["no footer", "no magic", "broken summary", "without summary"],
)
def test_file_without_a_good_index_loses_nothing(long_drive, tmp_path, damage):
    file = long_drive(tmp_path / "bag")
    file.write_bytes(damage(file.read_bytes()))
    frames, losses, _ = frames_of(tmp_path / "bag")
    assert len(frames) == FRAMES
    assert all(f.depth_m is not None and f.pose is not None for f in frames)
    assert losses == ()


def unchunked(path, *, shuffled):
    """The messages of an mcap file outside chunks, as rosbag2's preset fastwrite stores them."""
    data = path.read_bytes()
    out, loose = [data[: records(data, CHUNK)[0][0] - 9]], []
    for at, length in records(data, CHUNK):
        size = int.from_bytes(data[at + 28 : at + 32], "little")
        inside, place = data[at + 40 + size : at + length], 0
        while place < len(inside):
            end = place + 9 + int.from_bytes(inside[place + 1 : place + 9], "little")
            (loose if inside[place] == 5 else out).append(inside[place:end])
            place = end
    if shuffled:
        loose = [loose[i ^ 1 if (i ^ 1) < len(loose) else i] for i in range(len(loose))]
    footer = b"\x02" + (20).to_bytes(8, "little") + bytes(20)
    return b"".join([*out, *loose, b"\x0f", (4).to_bytes(8, "little"), bytes(4), footer, data[:8]])


@pytest.mark.parametrize("cut", [False, True])
def test_messages_outside_chunks_and_out_of_order(long_drive, tmp_path, cut):
    file = long_drive(tmp_path / "bag")
    data = unchunked(file, shuffled=True)
    file.write_bytes(data[: len(data) // 2] if cut else data)
    with open_bag(tmp_path / "bag") as bag:
        stamps = [m.stamp_ns for m in bag.raw_messages(bag.topics)]
        frames = list(read_frames(bag, bag.find_topics()))
        assert stamps == sorted(stamps)
        assert bool(bag.notes) == cut
    assert len(frames) == pytest.approx(FRAMES / 2, abs=2) if cut else len(frames) == FRAMES


@pytest.mark.parametrize("kind", KINDS)
def test_quality_of_service_in_the_metadata_may_differ(drive_bag, tmp_path, kind):
    rewrite(drive_bag.path, tmp_path / "bag", kind)
    metadata = tmp_path / "bag" / "metadata.yaml"
    text = metadata.read_text()
    qos = (
        "offered_qos_profiles:\n"
        "      - {history: keep_last, depth: 7, reliability: reliable, durability: volatile,"
        " deadline: {sec: 1, nsec: 2}, lifespan: {sec: 1, nsec: 2}, liveliness: automatic,"
        " liveliness_lease_duration: {sec: 1, nsec: 2}, avoid_ros_namespace_conventions: false}"
    )
    changed = text.replace("offered_qos_profiles: []", qos)
    assert changed != text
    metadata.write_text(changed)
    frames, damage, notes = frames_of(tmp_path / "bag")
    assert (len(frames), damage, notes) == (drive_bag.frames, (), ())


@pytest.mark.parametrize("text", ["", "rosbag2_bagfile_information: [", "a: {b: c}", "\x00"])
def test_metadata_that_says_nothing(drive_bag, tmp_path, text):
    rewrite(drive_bag.path, tmp_path / "bag")
    (tmp_path / "bag" / "metadata.yaml").write_text(text)
    frames, _, notes = frames_of(tmp_path / "bag")
    assert len(frames) == drive_bag.frames
    assert "no metadata.yaml that can be read" in notes[0]


def split(source, folder, plugin, _mode):
    """Two files of one recording, as `ros2 bag record --max-bag-size` makes them."""
    folder.mkdir()
    suffix = ".mcap" if plugin is StoragePlugin.MCAP else ".db3"
    half = 10**9
    for number in (0, 1):
        part = folder.parent / f"part_{number}"
        writer = Writer(part, version=9, storage_plugin=plugin)
        with Reader(source) as reader, writer:
            connections = {
                c.id: writer.add_connection(c.topic, c.msgtype, typestore=STORE)
                for c in reader.connections
            }
            for connection, stamp, data in reader.messages():
                if (stamp - reader.start_time > half) == bool(number):
                    writer.write(connections[connection.id], stamp, data)
        shutil.copy(storage(part), folder / f"drive_{number}{suffix}")
    text = (folder.parent / "part_0" / "metadata.yaml").read_text()
    text = text.replace(f"- part_0{suffix}", f"- drive_0{suffix}\n  - drive_1{suffix}")
    assert f"drive_1{suffix}" in text
    (folder / "metadata.yaml").write_text(text)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metadata", [True, False])
def test_split_recording_is_read_whole(long_drive, tmp_path, kind, metadata):
    long_drive(tmp_path / "bag", kind, halves=True)
    if not metadata:
        (tmp_path / "bag" / "metadata.yaml").unlink()
    frames, damage, notes = frames_of(tmp_path / "bag")
    assert (len(frames), damage) == (FRAMES, ())
    assert bool(notes) != metadata


@pytest.mark.parametrize("kind", KINDS)
def test_split_recording_whose_last_file_is_cut(long_drive, tmp_path, kind):
    first = long_drive(tmp_path / "bag", kind, halves=True)
    last = first.with_stem("drive_1")
    alone, _, _ = frames_of(first)
    last.write_bytes(last.read_bytes()[: last.stat().st_size * 7 // 10])
    frames, damage, notes = frames_of(tmp_path / "bag")
    assert len(alone) + 5 <= len(frames) < FRAMES
    assert any(last.name in said and "cut off" in said for said in (*damage, *notes))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["empty", "missing", "noise"])
def test_split_recording_with_a_file_that_holds_nothing(long_drive, tmp_path, kind, how):
    first = long_drive(tmp_path / "bag", kind, halves=True)
    last = first.with_stem("drive_1")
    alone, _, _ = frames_of(first)
    if how == "missing":
        last.unlink()
    else:
        last.write_bytes(b"" if how == "empty" else np.random.default_rng(0).bytes(9000))
    frames, damage, _ = frames_of(tmp_path / "bag")
    assert len(frames) == len(alone)
    assert len(damage) == 1
    assert damage[0].startswith(last.name)


def test_recording_whose_file_has_another_name_than_its_metadata_says(drive_bag, tmp_path):
    file = storage(rewrite(drive_bag.path, tmp_path / "bag"))
    file.rename(file.with_name("renamed.mcap"))
    frames, damage, _ = frames_of(tmp_path / "bag")
    assert len(frames) == drive_bag.frames
    assert "bag.mcap: it is missing, though metadata.yaml names it" in damage


def test_cut_database_gives_the_rows_that_are_left(long_drive, tmp_path):
    file = long_drive(tmp_path / "bag", StoragePlugin.SQLITE3)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    frames, damage, _ = frames_of(tmp_path / "bag")
    assert len(frames) == pytest.approx(FRAMES / 2, abs=2)
    assert damage[0].startswith("bag.db3: it is cut off or damaged: rows at its end")


def test_bad_pages_of_a_database_cost_their_rows(long_drive, tmp_path):
    file = long_drive(tmp_path / "bag", StoragePlugin.SQLITE3)
    data = bytearray(file.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 60 * 4096] = bytes(60 * 4096)
    file.write_bytes(data)
    frames, damage, _ = frames_of(tmp_path / "bag")
    assert FRAMES - 5 <= len(frames) <= FRAMES
    assert any(one.startswith("bag.db3") for one in damage)


def test_row_of_a_topic_that_is_not_there_is_no_damage(drive_bag, tmp_path):
    file = storage(rewrite(drive_bag.path, tmp_path / "bag", StoragePlugin.SQLITE3))
    with closing(sqlite3.connect(file)) as database:
        database.execute("INSERT INTO messages (topic_id, timestamp, data) VALUES (99, 1, x'00')")
        database.commit()
    frames, damage, _ = frames_of(tmp_path / "bag")
    assert (len(frames), damage) == (drive_bag.frames, ())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("topic", "number"), [("/cam/image_raw", 0), ("/cam/image_raw", 9), ("/tf", 3), ("/tf", 0)]
)
def test_one_malformed_message_costs_itself(drive_bag, tmp_path, kind, topic, number):
    def cut(name, i, data):
        return data[:10] if (name, i) == (topic, number) else data

    rewrite(drive_bag.path, tmp_path / "bag", kind, change=cut)
    frames, damage, _ = frames_of(tmp_path / "bag")
    assert len(frames) == drive_bag.frames - (topic == "/cam/image_raw")
    # An image whose transform is lost is placed between its neighbours, but for the first.
    assert [f.pose is None for f in frames].count(True) == ((topic, number) == ("/tf", 0))
    assert damage == (
        f"{topic}: its bytes do not fit its definition; messages lost: 1 of {topic}",
    )


def test_bad_message_of_message_compression_costs_itself(drive_bag, tmp_path):
    rewrite(drive_bag.path, tmp_path / "bag", StoragePlugin.SQLITE3, CompressionMode.MESSAGE)
    with closing(sqlite3.connect(storage(tmp_path / "bag"))) as database:
        query = (
            "SELECT messages.id, data FROM messages JOIN topics ON topics.id = topic_id WHERE "
            "name = '/cam/image_raw' ORDER BY timestamp LIMIT 1"
        )
        row, data = database.execute(query).fetchone()
        changed = (data[: len(data) // 2], row)
        database.execute("UPDATE messages SET data = ? WHERE id = ?", changed)
        database.commit()
    frames, damage, _ = frames_of(tmp_path / "bag")
    assert len(frames) == drive_bag.frames - 1
    assert len(damage) == 1


def test_compressed_file_that_is_cut_is_read_up_to_there(long_drive, tmp_path):
    file = long_drive(tmp_path / "bag")
    packed = zstd.compress(file.read_bytes())
    file.unlink()
    packed_file = file.with_name(file.name + ".zstd")
    packed_file.write_bytes(packed[: len(packed) // 2])
    (tmp_path / "bag" / "metadata.yaml").unlink()
    frames, damage, notes = frames_of(tmp_path / "bag")
    assert len(frames) == pytest.approx(FRAMES / 2, abs=4)
    assert any("bag.mcap.zstd" in one for one in (*damage, *notes))


def test_full_disk_is_not_blamed_on_the_recording(drive_bag, tmp_path, monkeypatch):
    mode = CompressionMode.FILE
    rewrite(drive_bag.path, tmp_path / "bag", StoragePlugin.SQLITE3, mode)

    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage_files.shutil, "copyfileobj", full)
    with pytest.raises(BagError, match=r"No space left.*set TMPDIR") as caught:
        open_bag(tmp_path / "bag")
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "definition",
    ["wstring<=5 name\n", "int32 x = \n", "not a definition at all {{{", "Gone[] x\n"],
)
def test_definition_of_a_topic_that_nobody_needs(drive_bag, tmp_path, kind, definition):
    good = "string<=5 name\n"
    rewrite(drive_bag.path, tmp_path / "source", kind)
    writer = Writer(tmp_path / "bag", version=9, storage_plugin=kind)
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg(good, "my_msgs/msg/Odd"))
    with Reader(tmp_path / "source") as reader, writer:
        connections = {
            c.id: writer.add_connection(c.topic, c.msgtype, typestore=STORE)
            for c in reader.connections
        }
        odd = writer.add_connection(
            "/odd", "my_msgs/msg/Odd", msgdef=definition, rihs01="RIHS01_0", typestore=None
        )
        for i, (connection, stamp, data) in enumerate(reader.messages()):
            writer.write(connections[connection.id], stamp, data)
            if not i:
                writer.write(odd, stamp, bytes(12))
    with open_bag(tmp_path / "bag") as bag:
        frames = list(read_frames(bag, bag.find_topics()))
        assert bag.damage == ()
        assert bag.first("/odd") is None  # nor does it end whoever looks at all topics
        assert bag.damage[0].startswith("/odd: ")
    assert len(frames) == drive_bag.frames


def test_channel_that_is_not_of_ros_is_left_out(drive_bag, tmp_path):
    """Foxglove's tools put protobuf and JSON beside CDR into one mcap file."""
    file = storage(rewrite(drive_bag.path, tmp_path / "bag"))
    data = file.read_bytes()
    changed = data.replace(b"\x07\0\0\0ros2msg", b"\x07\0\0\0protobf", 2)
    file.write_bytes(changed)
    frames, _, _ = frames_of(tmp_path / "bag")
    assert len(frames) == drive_bag.frames


def test_recording_of_which_nothing_is_left_names_the_damage(drive_bag, tmp_path):
    file = storage(rewrite(drive_bag.path, tmp_path / "bag"))
    data = bytearray(file.read_bytes())
    for at, length in records(data, CHUNK):
        data[at + 60 : at + length] = b"\xff" * (length - 60)
    file.write_bytes(data)
    with open_bag(tmp_path / "bag") as bag, pytest.raises(BagError, match="a chunk of it cannot"):
        bag.find_topics()
