"""An mcap file without a usable index, shown to readers with an index made from its records.

Nothing is copied: readers get the records of the file, and a summary that is made in memory.
Messages outside chunks are shown as chunks, so that readers can order them by time.
"""

from __future__ import annotations

import io
import sys
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from struct import error as struct_error
from struct import pack, unpack_from
from typing import TYPE_CHECKING, BinaryIO

import lz4.frame  # type: ignore[import-untyped]

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAGIC = b"\x89MCAP0\r\n"
_HEADER, _FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _MESSAGE_INDEX = range(1, 8)
_CHUNK_INDEX, _STATISTICS, _DATA_END = 0x08, 0x0B, 0x0F
_ENCODINGS = (b"ros2msg", b"ros2idl", b"")
_RUN_BYTES = 1 << 22  # of messages outside chunks that are shown as one


@dataclass
class _Chunk:
    """A chunk record: its bytes in the file, or for loose messages with a head of its own."""

    begin: int
    end: int
    first_ns: int
    last_ns: int
    compression: bytes
    compressed: int
    uncompressed: int
    head: bytes = b""
    index: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))


class RepairedMcap:
    """The path of an mcap file, as readers open it: with a proper end.

    Attributes:
        cut_bytes: How many bytes at the end are no whole records.
        broken: Offsets of the chunks that cannot be decompressed, of those that had to be.

    Raises:
        ValueError: If it is no mcap file.
    """

    suffix = ".mcap"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._schemas: dict[int, bytes] = {}
        self._channels: dict[int, bytes] = {}
        self._chunks: list[_Chunk] = []
        self.broken: list[int] = []
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                msg = "it does not begin as an mcap file"
                raise ValueError(msg)
            self.cut_bytes = path.stat().st_size - self._scan(file)
        self._parts = self._assemble()

    def __str__(self) -> str:
        return str(self._path)

    def exists(self) -> bool:
        return True

    def is_dir(self) -> bool:
        return False

    def open(self, _mode: str = "rb") -> BinaryIO:
        return io.BufferedReader(_View(self._path, self._parts))

    def _scan(self, file: BinaryIO) -> int:
        """Read the records of the file; returns the end of the last whole one."""
        end = len(_MAGIC)
        run: _Chunk | None = None
        for kind, begin, end in _records(file):
            if kind in (_DATA_END, _FOOTER):
                self._complete(file)
                return file.seek(0, io.SEEK_END)
            if kind == _CHUNK:
                self._add_chunk(file, begin, end)
            elif kind == _MESSAGE_INDEX and self._chunks:
                file.seek(begin + 9)
                _add_index(self._chunks[-1], file.read(end - begin - 9))
            elif kind in (_SCHEMA, _CHANNEL):
                file.seek(begin + 9)
                self._define(kind, file.read(end - begin - 9))
            if kind != _MESSAGE:
                run = None
                continue
            file.seek(begin + 9)
            channel, _, stamp_ns = unpack_from("<HIQ", file.read(14))
            if run is None or run.end != begin or run.end - run.begin > _RUN_BYTES:
                run = _Chunk(begin, begin, stamp_ns, stamp_ns, b"", 0, 0)
                self._chunks.append(run)
            run.index[channel].append((stamp_ns, begin - run.begin))
            run.first_ns, run.last_ns = min(run.first_ns, stamp_ns), max(run.last_ns, stamp_ns)
            run.end = end
            run.compressed = run.uncompressed = size = end - run.begin
            times = pack("<QQQI", run.first_ns, run.last_ns, size, 0)
            run.head = pack("<BQ", _CHUNK, 40 + size) + times + pack("<IQ", 0, size)
        if self._chunks and not self._chunks[-1].head:
            self._chunks[-1].index.clear()  # some of it may be cut off
        self._complete(file)
        return end

    def _add_chunk(self, file: BinaryIO, begin: int, end: int) -> None:
        file.seek(begin + 9)
        head = file.read(40 + 16)
        first, last, size, _, length = unpack_from("<QQQII", head)
        compression = head[32 : 32 + length]
        compressed = end - begin - 9 - 40 - length
        self._chunks.append(_Chunk(begin, end, first, last, compression, compressed, size))

    def _complete(self, file: BinaryIO) -> None:
        """Look into the chunks whose channels or index are not known outside of them."""
        for chunk in list(self._chunks):
            if chunk.index and chunk.index.keys() <= self._channels.keys():
                continue
            file.seek(chunk.end - chunk.compressed)
            try:
                records = _decompressed(file.read(chunk.compressed), chunk.compression)
                self._read_inside(chunk, records)
            except Exception:  # noqa: BLE001 - decompressors raise what they like
                self.broken.append(chunk.begin)
                if not chunk.index:
                    self._chunks.remove(chunk)

    def _read_inside(self, chunk: _Chunk, records: bytes) -> None:
        known = bool(chunk.index)
        for kind, begin, end in _records(io.BytesIO(records), 0):
            if kind in (_SCHEMA, _CHANNEL):
                self._define(kind, records[begin + 9 : end])
            elif kind == _MESSAGE and not known:
                channel, _, stamp_ns = unpack_from("<HIQ", records, begin + 9)
                chunk.index[channel].append((stamp_ns, begin))

    def _define(self, kind: int, record: bytes) -> None:
        (number,) = unpack_from("<H", record)
        if kind == _CHANNEL:
            self._channels.setdefault(number, record)
            return
        name, at = _sized(record, 2)
        encoding, at = _sized(record, at)
        if encoding not in _ENCODINGS:  # protobuf, JSON, ...: readers of ROS know no such
            record = record[:2] + b"".join(pack("<I", len(x)) + x for x in (name, b"", b""))
        self._schemas.setdefault(number, record)

    def _assemble(self) -> list[bytes | tuple[int, int]]:
        """The file as readers see it: bytes, and ranges of the real file."""
        header = _MAGIC + _record(_HEADER, pack("<I", 4) + b"ros2" + pack("<I", 0))
        parts: list[bytes | tuple[int, int]] = [header]
        at, indexes = len(header), b""
        counts: dict[int, int] = defaultdict(int)
        for chunk in self._chunks:
            start, length = at, len(chunk.head) + chunk.end - chunk.begin
            parts += [chunk.head, (chunk.begin, chunk.end)]
            at, offsets, tables = at + length, b"", b""
            for channel, entries in chunk.index.items():
                offsets += pack("<HQ", channel, at + len(tables))
                table = b"".join(pack("<QQ", *entry) for entry in entries)
                tables += _record(_MESSAGE_INDEX, pack("<HI", channel, len(table)) + table)
                counts[channel] += len(entries)
            parts.append(tables)
            at += len(tables)
            times = pack("<QQQQ", chunk.first_ns, chunk.last_ns, start, length)
            indexes += _record(
                _CHUNK_INDEX,
                times + pack("<I", len(offsets)) + offsets
                + pack("<QI", len(tables), len(chunk.compression)) + chunk.compression
                + pack("<QQ", chunk.compressed, chunk.uncompressed),
            )  # fmt: skip
        end = _record(_DATA_END, bytes(4))
        summary = b"".join(_record(_SCHEMA, record) for record in self._schemas.values())
        summary += b"".join(_record(_CHANNEL, record) for record in self._channels.values())
        table = b"".join(pack("<HQ", channel, count) for channel, count in counts.items())
        totals = pack(
            "<QHIIIIQQI",
            sum(counts.values()), len(self._schemas), len(self._channels), 0, 0, len(self._chunks),
            min((chunk.first_ns for chunk in self._chunks), default=0),
            max((chunk.last_ns for chunk in self._chunks), default=0), len(table),
        )  # fmt: skip
        summary += indexes + _record(_STATISTICS, totals + table)
        footer = _record(_FOOTER, pack("<QQI", at + len(end), 0, 0))
        return [*parts, end + summary + footer + _MAGIC]


class _View(io.RawIOBase):
    """Reads bytes and ranges of a file, one after the other."""

    def __init__(self, path: Path, parts: list[bytes | tuple[int, int]]) -> None:
        self._file = path.open("rb")
        self._parts = [part for part in parts if part]
        self._starts = [0]
        for part in self._parts:
            size = len(part) if isinstance(part, bytes) else part[1] - part[0]
            self._starts.append(self._starts[-1] + size)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = (0, self._at, self._starts[-1])[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if not 0 <= self._at < self._starts[-1]:
            return 0
        number = bisect_right(self._starts, self._at) - 1
        part, inside = self._parts[number], self._at - self._starts[number]
        count = min(len(buffer), self._starts[number + 1] - self._at)
        if isinstance(part, bytes):
            buffer[:count] = part[inside : inside + count]
        else:
            self._file.seek(part[0] + inside)
            data = self._file.read(count)
            buffer[: len(data)] = data
            count = len(data)
        self._at += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def _records(file: BinaryIO, start: int = len(_MAGIC)) -> Iterator[tuple[int, int, int]]:
    """Kind, begin and end of each whole record, up to the first that is not."""
    size = file.seek(0, io.SEEK_END)
    begin = start
    while True:
        file.seek(begin)
        head = file.read(9)
        if len(head) < 9 or not head[0]:
            return
        end = begin + 9 + int.from_bytes(head[1:], "little")
        least = {_CHUNK: 40, _MESSAGE: 22, _SCHEMA: 14, _CHANNEL: 16}.get(head[0], 0)
        if end > size or end - begin - 9 < least:
            return
        yield head[0], begin, end
        begin = end


def _record(kind: int, data: bytes) -> bytes:
    return pack("<BQ", kind, len(data)) + data


def _sized(record: bytes, at: int) -> tuple[bytes, int]:
    (length,) = unpack_from("<I", record, at)
    return record[at + 4 : at + 4 + length], at + 4 + length


def _add_index(chunk: _Chunk, record: bytes) -> None:
    channel, size = unpack_from("<HI", record)
    try:
        entries = [unpack_from("<QQ", record, 6 + at) for at in range(0, size, 16)]
    except struct_error:
        return
    chunk.index[channel] += [(stamp_ns, offset) for stamp_ns, offset in entries]


def _decompressed(data: bytes, compression: bytes) -> bytes:
    if compression == b"zstd":
        return zstd.decompress(data)
    return bytes(lz4.frame.decompress(data)) if compression == b"lz4" else data
