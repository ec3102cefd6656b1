"""Files of recordings, opened by ``rosbags``: of ROS 2, of ROS 1, and those that are cut off.

All messages are given as CDR of ROS 2 types.
"""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rosbags import rosbag1, rosbag2
from rosbags.convert.converter import STATIC_MSGTYPE_RENAMES, is_same_wireformat, migrate_bytes
from rosbags.interfaces import MessageDefinitionFormat
from rosbags.rosbag2.errors import ReaderError
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from rosbags.interfaces import Connection
    from rosbags.typesys.store import Typestore

_MAGIC = b"\x89MCAP0\r\n"
_DATA_END, _FOOTER = 0x0F, 0x02
_COPY_BYTES = 1 << 22


class Source:
    """A rosbag2 recording.

    Attributes:
        connections: Its topics, with the ROS 2 type of each.
        notes: What was special in opening it.
    """

    def __init__(self, path: Path, notes: Sequence[str] = ()) -> None:
        self.notes = list(notes)
        self._reader: Any = rosbag2.Reader(path)
        self._reader.open()
        self.connections: list[Connection] = list(self._reader.connections)

    @property
    def start_ns(self) -> int:
        """Recording time of the first message."""
        return int(self._reader.start_time)

    @property
    def duration_ns(self) -> int:
        """From the first to the last message."""
        return int(self._reader.duration)

    @property
    def count(self) -> int:
        return int(self._reader.message_count)

    def register_types(self, store: Typestore) -> None:
        """Register the types of the file that are not part of ROS."""
        for connection in self.connections:
            kind, text = connection.msgdef
            if connection.msgtype in store.types or kind != MessageDefinitionFormat.MSG:
                continue
            found = get_types_from_msg(text, connection.msgtype)
            store.register({n: t for n, t in found.items() if n not in store.types})

    def messages(self, wanted: Sequence[Connection]) -> Iterator[tuple[Connection, int, bytes]]:
        """Messages of some connections in the order of recording: connection, stamp, CDR."""
        for connection, stamp_ns, data in self._reader.messages(wanted):
            yield connection, stamp_ns, bytes(data)

    def close(self) -> None:
        self._reader.close()


class Ros1Source(Source):
    """A recording of ROS 1, whose messages are converted to ROS 2."""

    def __init__(self, path: Path) -> None:
        self.notes = ["a ROS 1 recording: its messages are converted while it is read"]
        self._reader = rosbag1.Reader(path)
        self._reader.open()
        self._ros1_connections = list(self._reader.connections)
        self.connections = [
            c._replace(msgtype=STATIC_MSGTYPE_RENAMES.get(c.msgtype, c.msgtype))
            for c in self._ros1_connections
        ]
        self._converters: dict[str, Callable[[bytes], memoryview]] = {}

    def register_types(self, store: Typestore) -> None:
        """As ``Source.register_types``; types that ROS 2 has under the same name are its own."""
        old = get_typestore(Stores.EMPTY)
        types: dict[str, Any] = {}
        for connection in self._ros1_connections:
            types |= get_types_from_msg(connection.msgdef.data, connection.msgtype)
        old.register(types)
        cache: dict[str, object] = {}
        for connection in self._ros1_connections:
            name = connection.msgtype
            new = STATIC_MSGTYPE_RENAMES.get(name, name)
            if new not in store.types:
                text, _ = old.generate_msgdef(name, ros_version=2)
                found = get_types_from_msg(text, new)
                store.register({n: t for n, t in found.items() if n not in store.types})
            self._converters[name] = _converter(old, store, name, new, cache)

    def messages(self, wanted: Sequence[Connection]) -> Iterator[tuple[Connection, int, bytes]]:
        by_id = {connection.id: connection for connection in wanted}
        chosen = [one for one in self._ros1_connections if one.id in by_id]
        for connection, stamp_ns, data in self._reader.messages(chosen):
            converted = self._converters[connection.msgtype](data)
            yield by_id[connection.id], stamp_ns, bytes(converted)


def _converter(
    old: Typestore, new: Typestore, old_name: str, new_name: str, cache: dict[str, object]
) -> Callable[[bytes], memoryview]:
    if is_same_wireformat(old, new, old_name, new_name):
        return lambda data: new.ros1_to_cdr(data, new_name)
    return lambda data: migrate_bytes(
        old, new, old_name, new_name, cache, data, src_is2=False, dst_is2=True
    )


class SalvagedSource(Source):
    """The readable part of an mcap file that is cut off; reads a copy with a proper end."""

    def __init__(self, path: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="vega3d-salvage-")
        try:
            copy = Path(self._folder.name) / path.name
            lost = _copy_whole_records(path, copy)
            note = f"{path.name} is cut off; {lost} bytes at its end are lost, the rest is used"
            super().__init__(copy, [note])
        except BaseException:
            self._folder.cleanup()
            raise

    def close(self) -> None:
        """Close and remove the copy."""
        super().close()
        self._folder.cleanup()


def open_source(path: Path) -> Source:
    """Open a rosbag2 folder or file, or a ROS 1 ``.bag``.

    A folder without ``metadata.yaml`` is read by its one file, and a cut-off mcap file as far as
    it goes.
    """
    if path.suffix == ".bag":
        return Ros1Source(path)
    files = sorted(f for f in path.iterdir() if f.suffix in _SUFFIXES) if path.is_dir() else [path]
    notes = []
    if path.is_dir() and not (path / "metadata.yaml").is_file() and len(files) == 1:
        notes = [f"no metadata.yaml (the recorder was killed?): read from {files[0].name} alone"]
        path = files[0]
    try:
        return Source(path, notes)
    except ReaderError:
        if len(files) != 1 or files[0].suffix != ".mcap" or not _is_cut_off(files[0]):
            raise
    return SalvagedSource(files[0])


_SUFFIXES = frozenset({".mcap", ".db3"})


def _is_cut_off(path: Path) -> bool:
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            return False
        file.seek(-len(_MAGIC), 2)
        return file.read() != _MAGIC


def _copy_whole_records(path: Path, target: Path) -> int:
    """Copy an mcap file up to its last whole record of data and end it; returns bytes left out."""
    size = path.stat().st_size
    with path.open("rb") as file, target.open("wb") as out:
        end = _end_of_data(file, size)
        file.seek(0)
        left = end
        while left:
            block = file.read(min(left, _COPY_BYTES))
            out.write(block)
            left -= len(block)
        # Without a summary (zeros in the footer), readers scan the records themselves.
        out.write(struct.pack("<BQI", _DATA_END, 4, 0))
        out.write(struct.pack("<BQQQI", _FOOTER, 20, 0, 0, 0) + _MAGIC)
    return size - end


def _end_of_data(file: BinaryIO, size: int) -> int:
    end = len(_MAGIC)
    while True:
        file.seek(end)
        head = file.read(9)
        if len(head) < 9 or head[0] in (_DATA_END, _FOOTER):
            return end
        after = end + 9 + int.from_bytes(head[1:], "little")
        if after > size:
            return end
        end = after


def listing(topics: Mapping[str, str], counts: Mapping[str, int]) -> str:
    """Topics and types as a sentence for error messages; empty topics are marked."""
    listed = ", ".join(
        f"{name} ({kind}{'' if counts[name] else ', without a message'})"
        for name, kind in sorted(topics.items())
    )
    return f"it has: {listed or 'no topics'}"
