"""An mcap file without a usable index, read record by record.

As a recorder leaves it that was killed, as a damaged disk does, or without chunks as rosbag2's
preset ``fastwrite`` writes it.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from mcap.data_stream import ReadDataStream
from mcap.records import Channel as ChannelRecord
from mcap.records import Chunk, DataEnd, Footer, Message, Schema
from mcap.stream_reader import MAGIC_SIZE, StreamReader, breakup_chunk, read_magic

from vega3d_ros.sensing.bags.channels import NO_DEFINITION, Channel, definition, in_order, plain

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from mcap.records import McapRecord

    from vega3d_ros.sensing.bags.channels import Stored
    from vega3d_ros.sensing.bags.damage import Damage


_RUN_BYTES = 1 << 22  # of records outside chunks that are read as one


class _Part(NamedTuple):
    """A chunk, or a run of records outside chunks.

    Attributes:
        begin: Where it begins in the file.
        records: How many it has there; a chunk is one.
        first_ns: Its first stamp.
        channels: Those of its messages.
    """

    begin: int
    records: int
    first_ns: int
    channels: frozenset[int]


class UnindexedMcap:
    """An mcap file that is read once from begin to end to know what it holds.

    Attributes:
        channels: All that hold CDR messages.
        start_ns: Time of the first message.
        end_ns: Time of the last message.
        cut_bytes: How many bytes at the end are no whole records.
    """

    def __init__(self, path: Path, name: str, damage: Damage) -> None:
        """Raises ``mcap.exceptions.McapError`` for a file that does not begin as an mcap file."""
        self._file = path.open("rb")
        self._size = path.stat().st_size
        self._parts: list[_Part] = []
        self._schemas: dict[int, Schema] = {}
        self._records: dict[int, ChannelRecord] = {}
        self._stamps: list[int] = []
        self._counts: Counter[int] = Counter()
        self.cut_bytes = 0
        try:
            self._scan(name, damage)
        except BaseException:
            self.close()
            raise
        self.channels = [
            self._channel(number, record)
            for number, record in sorted(self._records.items())
            if record.message_encoding == "cdr"
        ]
        self._by_id = {channel.id: channel for channel in self.channels}
        self.start_ns, self.end_ns = min(self._stamps, default=0), max(self._stamps, default=0)

    def messages(self, wanted: Collection[str]) -> Iterator[tuple[Channel, int, bytes]]:
        """See ``StorageFile``."""
        ids = {channel.id for channel in self.channels if channel.topic in wanted}
        parts = (
            (part.first_ns, partial(self._read, part, ids))
            for part in self._parts
            if ids & part.channels
        )
        for stamp_ns, channel, data in in_order(parts):
            yield channel, stamp_ns, plain(data)

    def close(self) -> None:
        self._file.close()

    def _scan(self, name: str, damage: Damage) -> None:
        read_magic(ReadDataStream(self._file))
        run: list[McapRecord] = []
        begin = end = MAGIC_SIZE  # of the run
        for place, record in _records(self._file, self._size, MAGIC_SIZE):
            end = self._file.tell()
            if isinstance(record, (DataEnd, Footer)):
                break
            if isinstance(record, Chunk):
                self._take_in(begin, len(run), run)
                run, begin = [], end
                try:
                    self._take_in(place, 1, breakup_chunk(record))
                except Exception:  # noqa: BLE001 - decompressors raise what they like
                    what = "a chunk of it cannot be decompressed"
                    damage.add((name, place), name, what, {})
                continue
            run.append(record)
            if end - begin > _RUN_BYTES:
                self._take_in(begin, len(run), run)
                run, begin = [], end
        else:
            self.cut_bytes = self._size - end
        self._take_in(begin, len(run), run)

    def _take_in(self, begin: int, count: int, records: list[McapRecord]) -> None:
        """Take in a part of the file that has ``count`` records there, and ``records`` inside."""
        messages: list[Message] = []
        for record in records:
            if isinstance(record, Schema):
                self._schemas.setdefault(record.id, record)
            elif isinstance(record, ChannelRecord):
                self._records.setdefault(record.id, record)
            elif isinstance(record, Message):
                messages.append(record)
        if messages:
            stamps = [message.log_time for message in messages]
            numbers = [message.channel_id for message in messages]
            self._counts.update(numbers)
            self._stamps += [min(stamps), max(stamps)]
            self._parts.append(_Part(begin, count, min(stamps), frozenset(numbers)))

    def _channel(self, number: int, record: ChannelRecord) -> Channel:
        schema = self._schemas.get(record.schema_id)
        if schema is None:
            return Channel(number, record.topic, "", NO_DEFINITION, self._counts[number])
        text = definition(schema.encoding, schema.data.decode(errors="replace"))
        return Channel(number, record.topic, schema.name, text, self._counts[number])

    def _read(self, part: _Part, wanted: Collection[int]) -> list[Stored]:
        records = islice(_records(self._file, self._size, part.begin), part.records)
        found = [
            (message.log_time, self._by_id[message.channel_id], message.data)
            for _, record in records
            for message in (breakup_chunk(record) if isinstance(record, Chunk) else [record])
            if isinstance(message, Message) and message.channel_id in wanted
        ]
        return sorted(found, key=itemgetter(0))


def _records(file: BinaryIO, size: int, begin: int) -> Iterator[tuple[int, McapRecord]]:
    """Where each record begins, and the record, from a place on up to the first that is not whole.

    Args:
        file: The file.
        size: Of the file; no record is longer.
        begin: Where a record begins.
    """
    file.seek(begin)
    reader = StreamReader(file, skip_magic=True, emit_chunks=True, record_size_limit=size)
    try:
        for record in reader.records:
            yield begin, record
            begin = file.tell()
    except OSError:
        raise
    except Exception:  # noqa: BLE001 - what is cut off or overwritten parses as anything
        return
