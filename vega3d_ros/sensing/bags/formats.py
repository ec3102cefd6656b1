"""Recordings as folders and files: of ROS 2, of ROS 1, and those that are damaged.

All messages are given as CDR of ROS 2 types.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

import yaml
from rosbags import rosbag1
from rosbags.convert.converter import STATIC_MSGTYPE_RENAMES, is_same_wireformat, migrate_bytes
from rosbags.interfaces import MessageDefinitionFormat
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from vega3d_ros.sensing.bags.storage_files import COMPRESSED, decompress_file, open_file

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from rosbags.typesys.store import Typestore

    from vega3d_ros.sensing.bags.damage import Damage
    from vega3d_ros.sensing.bags.storage_files import StorageFile

METADATA = "metadata.yaml"
_STORAGE = re.compile(r"\.(mcap|db3)(\.zstd)?$")
_SPLIT = re.compile(r"_\d+\.(mcap|db3)(\.zstd)?$")


class RawMessage(NamedTuple):
    """One message of a bag, not decoded.

    Attributes:
        topic: Its topic.
        type: For example ``sensor_msgs/msg/Image``.
        stamp_ns: When it was recorded, nanoseconds.
        data: CDR with its header of 4 bytes, as raw publishers take it.
    """

    topic: str
    type: str
    stamp_ns: int
    data: bytes


class Source:
    """A rosbag2 recording of one or several files.

    Attributes:
        topics: Type of every topic.
        counts: Messages of every topic.
        start_ns: Recording time of the first message.
        end_ns: Recording time of the last message.
        notes: What was special in opening it.
        damage: What cannot be read.
    """

    def __init__(self, path: Path, damage: Damage) -> None:
        self.damage = damage
        self.notes: list[str] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files: list[StorageFile] = []
        errors: list[Exception] = []
        try:
            for file in self._storage_files(path):
                opened = self._open(file, errors)
                self._files += [opened] if opened is not None else []
        except BaseException:
            self.close()
            raise
        if errors and not self._files:
            raise errors[0]
        full = sorted((f for f in self._files if f.channels), key=lambda f: f.start_ns)
        channels = [channel for file in full for channel in file.channels]
        self.topics: dict[str, str] = {c.topic: c.type for c in channels}
        self.counts: Counter[str] = Counter()
        for channel in channels:  # a topic has one for each of its publishers
            self.counts[channel.topic] += channel.count
        self._definitions = {c.type: c.definition for c in channels}
        used = [f for f in full if any(c.count for c in f.channels)]
        self._files = [*used, *(f for f in self._files if f not in used)]
        self.start_ns = min((f.start_ns for f in used), default=0)
        self.end_ns = max((f.end_ns for f in used), default=0)

    def register_types(self, store: Typestore) -> dict[str, str]:
        """Register the types of the file that are not part of ROS.

        Returns:
            Why types could not be registered, by type.
        """
        failed: dict[str, str] = {}
        for name, (kind, text) in self._definitions.items():
            if name not in store.types and kind == MessageDefinitionFormat.MSG:
                _register(store, name, text, failed)
        return failed

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """Messages of topics in the order of recording."""
        for file in self._files:
            for channel, stamp_ns, data in file.messages(topics):
                yield RawMessage(channel.topic, channel.type, stamp_ns, data)

    def close(self) -> None:
        for file in self._files:
            file.close()
        if self._folder is not None:
            self._folder.cleanup()

    def _storage_files(self, path: Path) -> list[Path]:
        if not path.is_dir():
            return [path]
        present = storage_files(path)
        named = _named_files(path / METADATA)
        if named is None:
            only = present[0].name if len(present) == 1 else f"its {len(present)} files"
            self.notes.append(
                f"no {METADATA} that can be read (the recorder was killed?): read from {only} "
                "alone"
            )
        for name in named or ():
            if not (path / name).exists():
                what = f"it is missing, though {METADATA} names it"
                self.damage.add(name, name, what, {})
        found = [path / name for name in named or () if (path / name).exists()]
        return found or present

    def _open(self, path: Path, errors: list[Exception]) -> StorageFile | None:
        name = path.name
        if path.suffix == COMPRESSED:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="vega3d-bag-")
            target = Path(self._folder.name) / path.stem
            decompress_file(path, target, self.damage)
            path = target
        try:
            return open_file(path, name, self.damage, self.notes)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - readers of damaged files raise what they like
            what = f"nothing of it can be read ({type(error).__name__}: {error})"
            self.damage.add(name, name, what, {})
            errors.append(error)
        return None


class Ros1Source(Source):
    """A recording of ROS 1, whose messages are converted to ROS 2."""

    def __init__(self, path: Path, damage: Damage) -> None:
        self.damage, self._path = damage, path
        self.notes = ["a ROS 1 recording: its messages are converted while it is read"]
        self._reader = rosbag1.Reader(path)
        self._reader.open()
        connections = self._reader.connections
        self._types = {c.id: STATIC_MSGTYPE_RENAMES.get(c.msgtype, c.msgtype) for c in connections}
        self.topics = {c.topic: self._types[c.id] for c in connections}
        self.counts = Counter()
        for connection in connections:
            self.counts[connection.topic] += connection.msgcount
        self.start_ns = int(self._reader.start_time)
        self.end_ns = self.start_ns + int(self._reader.duration)
        self._converters: dict[str, Callable[[bytes], memoryview]] = {}

    def register_types(self, store: Typestore) -> dict[str, str]:
        """As ``Source.register_types``; types that ROS 2 has under the same name are its own."""
        old = get_typestore(Stores.EMPTY)
        failed: dict[str, str] = {}
        cache: dict[str, object] = {}
        for connection in self._reader.connections:
            name, new = connection.msgtype, self._types[connection.id]
            if name in self._converters or not _register(
                old, name, connection.msgdef.data, failed
            ):
                continue
            if new not in store.types:
                text, _ = old.generate_msgdef(name, ros_version=2)
                if not _register(store, new, text, failed):
                    continue
            self._converters[name] = _converter(old, store, name, new, cache)
        return failed

    def messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        wanted = [
            c
            for c in self._reader.connections
            if c.topic in topics and c.msgtype in self._converters
        ]
        if not wanted:
            return  # to the reader, no connections would mean all of them
        try:
            for connection, stamp_ns, data in self._reader.messages(wanted):
                kind = self._types[connection.id]
                try:
                    converted = bytes(self._converters[connection.msgtype](data))
                except Exception:  # noqa: BLE001 - the message is damaged, which its decoding tells
                    converted = b""
                yield RawMessage(connection.topic, kind, stamp_ns, converted)
        except GeneratorExit:
            raise
        except Exception as error:  # noqa: BLE001 - readers of damaged files raise what they like
            what = f"it is damaged, and used up to there ({type(error).__name__}: {error})"
            self.damage.add(self._path, self._path.name, what, {})

    def close(self) -> None:
        self._reader.close()


def _register(store: Typestore, name: str, text: str, failed: dict[str, str]) -> bool:
    try:
        found = get_types_from_msg(text, name)
        store.register({n: t for n, t in found.items() if n not in store.types})
    except Exception as error:  # noqa: BLE001 - parsers raise what they like
        failed[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return False
    return True


def _converter(
    old: Typestore, new: Typestore, old_name: str, new_name: str, cache: dict[str, object]
) -> Callable[[bytes], memoryview]:
    if is_same_wireformat(old, new, old_name, new_name):
        return lambda data: new.ros1_to_cdr(data, new_name)
    return lambda data: migrate_bytes(
        old, new, old_name, new_name, cache, data, src_is2=False, dst_is2=True
    )


def open_source(path: Path, damage: Damage) -> Source:
    """Open a rosbag2 folder or file, or a ROS 1 ``.bag``.

    Raises:
        Exception: Of any kind, if nothing of it can be read.
    """
    return (Ros1Source if path.suffix == ".bag" else Source)(path, damage)


def storage_files(folder: Path) -> list[Path]:
    """The storage files in a folder, in the order of their numbers."""
    files = [file for file in folder.iterdir() if _STORAGE.search(file.name)]
    return sorted(files, key=lambda f: [int(n) if n.isdigit() else n for n in _digits(f.name)])


def is_split(files: Collection[Path]) -> bool:
    """Whether files look like the parts of one recording."""
    return len({_SPLIT.sub("", file.name) for file in files}) == 1


def _digits(name: str) -> list[str]:
    return re.split(r"(\d+)", name)


def _named_files(metadata: Path) -> list[str] | None:
    """Names of the storage files in the metadata of a recording; None where they say nothing.

    All else, as types, counts and quality of service, the files say themselves, and rightly.
    """
    try:
        known = yaml.load(metadata.read_bytes(), yaml.CSafeLoader)
        paths = known["rosbag2_bagfile_information"]["relative_file_paths"]
        return [PurePath(path).name for path in paths]
    except (OSError, yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError):
        return None


def listing(topics: Mapping[str, str], counts: Mapping[str, int]) -> str:
    """Topics and types as a sentence for error messages; empty topics are marked."""
    listed = ", ".join(
        f"{name} ({kind}{'' if counts[name] else ', without a message'})"
        for name, kind in sorted(topics.items())
    )
    return f"it has: {listed or 'no topics'}"
