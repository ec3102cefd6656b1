"""One storage file of a recording, read around what is damaged in it."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from rosbags import rosbag2

from vega3d_ros.sensing.bags.channels import NO_DEFINITION, Channel, definition, in_order, plain
from vega3d_ros.sensing.bags.unindexed_mcap import UnindexedMcap

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from vega3d_ros.sensing.bags.channels import Stored
    from vega3d_ros.sensing.bags.damage import Damage

COMPRESSED = ".zstd"
_MOST_FAILURES = 1000  # rows in a row that cannot be read: the rest of the table is gone


class StorageFile(Protocol):
    """What the kinds of files have in common.

    Attributes:
        channels: All that hold CDR messages.
        start_ns: Time of the first message.
        end_ns: Time of the last message.
    """

    channels: list[Channel]
    start_ns: int
    end_ns: int

    def messages(self, wanted: Collection[str]) -> Iterator[tuple[Channel, int, bytes]]:
        """Messages of topics by time: channel, stamp, CDR. What is lost is counted as damage."""

    def close(self) -> None: ...


def open_file(path: Path, name: str, damage: Damage, notes: list[str]) -> StorageFile:
    """Open an mcap or sqlite3 file.

    Args:
        path: The file.
        name: How to call it.
        damage: Counts what cannot be read.
        notes: Gets what is special.

    Raises:
        Exception: Of any kind, if nothing of it can be read.
    """
    if path.suffix != ".mcap":
        return SqliteFile(path, name, damage)
    damaged = False
    try:
        indexed = McapFile(path, name, damage)
    except OSError:
        raise
    except Exception:  # noqa: BLE001 - readers of damaged files raise what they like
        damaged = True
    else:
        if indexed.is_whole:
            return indexed
        indexed.close()
    unindexed = UnindexedMcap(path, name, damage)
    if unindexed.cut_bytes:
        lost = f"{unindexed.cut_bytes} bytes at its end are lost, the rest is used"
        notes.append(f"{name} is cut off; {lost}")
    elif damaged:
        notes.append(f"{name} is cut off, or its index is damaged; no message is lost")
    return unindexed


def decompress_file(path: Path, target: Path, damage: Damage) -> None:
    """Decompress a file as far as it goes.

    Raises:
        OSError: If there is no space for it.
    """
    with path.open("rb") as compressed, target.open("wb") as out:
        try:
            with zstd.open(compressed, "rb") as file:
                shutil.copyfileobj(file, out)
        except (zstd.ZstdError, EOFError) as error:
            what = f"it is cut off or damaged, and used up to there ({error})"
            damage.add(path, path.name, what, {})


class _RosbagsFile:
    """A file that rosbags opens."""

    def __init__(self, path: Path, name: str, damage: Damage) -> None:
        self._name, self._damage = name, damage
        reader: Any = rosbag2.Reader(path)
        reader.open()
        self._storage = reader.storage
        self._connections = {
            c.id: c for c in reader.connections if c.ext.serialization_format == "cdr"
        }
        self.channels = [
            Channel(c.id, c.topic, c.msgtype, c.msgdef, c.msgcount)
            for c in self._connections.values()
        ]
        self._by_id = {channel.id: channel for channel in self.channels}
        self.start_ns, self.end_ns = int(reader.start_time), int(reader.end_time) - 1

    def close(self) -> None:
        self._storage.close()


class McapFile(_RosbagsFile):
    """An mcap file with an index. A chunk that is damaged is left out.

    Attributes:
        is_whole: Whether its index holds all messages: not those outside chunks, nor of chunks
            that have none.
    """

    def __init__(self, path: Path, name: str, damage: Damage) -> None:
        super().__init__(path, name, damage)
        self._chunks = list(self._storage.chunks)
        self.is_whole = not self.channels or bool(
            self._chunks and all(chunk.channel_count for chunk in self._chunks)
        )

    def messages(self, wanted: Collection[str]) -> Iterator[tuple[Channel, int, bytes]]:
        """See ``StorageFile``."""
        connections = [c for c in self._connections.values() if c.topic in wanted]
        parts = (
            (chunk.message_start_time, partial(self._read, chunk, connections))
            for chunk in self._chunks
            if any(chunk.channel_count.get(c.id) for c in connections)
        )
        for stamp_ns, channel, data in in_order(parts):
            yield channel, stamp_ns, plain(data)

    def _read(self, chunk: Any, connections: list[Any]) -> list[Stored]:
        self._storage.chunks = [chunk]
        try:
            read = list(self._storage.messages(connections))
        except Exception as error:  # noqa: BLE001 - readers of damaged files raise what they like
            lost = {self._by_id[i].topic: n for i, n in chunk.channel_count.items() if n}
            key = self._name, chunk.chunk_start_offset
            what = f"a chunk of it cannot be read ({type(error).__name__}: {error})"
            self._damage.add(key, self._name, what, lost)
            return []
        return [(stamp_ns, self._by_id[c.id], data) for c, stamp_ns, data in read]


class SqliteFile(_RosbagsFile):
    """An sqlite3 file. Rows on pages that are damaged are left out."""

    def __init__(self, path: Path, name: str, damage: Damage) -> None:
        self._path = path
        self._rows: list[tuple[int, int, int]] | None = None  # stamp, row, channel
        try:
            super().__init__(path, name, damage)
        except OSError:
            raise
        except Exception:  # noqa: BLE001 - readers of damaged files raise what they like
            self._name, self._damage, self._storage = name, damage, None
            self._salvage()

    def messages(self, wanted: Collection[str]) -> Iterator[tuple[Channel, int, bytes]]:
        """See ``StorageFile``."""
        done = 0
        if self._rows is None:
            connections = [c for c in self._connections.values() if c.topic in wanted]
            try:
                for connection, stamp_ns, data in self._storage.messages(connections):
                    yield self._by_id[connection.id], stamp_ns, plain(bytes(data))
                    done += 1
            except GeneratorExit:
                raise
            except Exception:  # noqa: BLE001 - see above
                self._salvage()
            else:
                return
        ids = {channel.id for channel in self.channels if channel.topic in wanted}
        rows = (row for row in self._rows or () if row[2] in ids)
        with closing(_connect(self._path)) as database:
            for stamp_ns, row, channel in islice(rows, done, None):
                topic = self._by_id[channel].topic
                try:
                    query = "SELECT data FROM messages WHERE id = ?"
                    (data,) = database.execute(query, (row,)).fetchone()
                except (sqlite3.Error, TypeError) as error:
                    what = f"rows of it cannot be read ({error})"
                    self._damage.add((self._name, row), self._name, what, {topic: 1})
                    continue
                yield self._by_id[channel], stamp_ns, plain(data)

    def close(self) -> None:
        if self._storage is not None:
            super().close()

    def _salvage(self) -> None:
        """Find the rows that can be read, one by one."""
        with closing(_connect(self._path)) as database:
            topics = database.execute("SELECT id, name, type FROM topics").fetchall()
            try:
                query = "SELECT topic_type, encoding, encoded_message_definition FROM {}"
                found = database.execute(query.format("message_definitions")).fetchall()
            except sqlite3.Error:
                found = []
            self._rows = sorted(self._readable_rows(database))
        texts = {name: definition(kind, text) for name, kind, text in found}
        counts = Counter(row[2] for row in self._rows)
        self.channels = [
            Channel(number, topic, kind, texts.get(kind, NO_DEFINITION), counts[number])
            for number, topic, kind in topics
        ]
        self._by_id = {channel.id: channel for channel in self.channels}
        self.start_ns = self._rows[0][0] if self._rows else 0
        self.end_ns = self._rows[-1][0] if self._rows else 0

    def _readable_rows(self, database: sqlite3.Connection) -> Iterator[tuple[int, int, int]]:
        last, lost, failures, row = _newest_row(database), 0, 0, 0
        query = "SELECT timestamp, id, topic_id FROM messages WHERE id = ?"
        while failures < _MOST_FAILURES if last is None else row < last:
            row += 1
            try:
                found = database.execute(query, (row,)).fetchone()
            except sqlite3.Error:
                failures += 1
                continue
            if found is not None:
                lost, failures = lost + failures, 0
                yield found
            elif last is None:
                failures += 1
        if last is None or lost + failures:
            known = "rows at its end" if last is None else f"{lost + failures} rows"
            what = f"it is cut off or damaged: {known} cannot be read, the rest is used"
            self._damage.add((self._name, ""), self._name, what, {})


def _newest_row(database: sqlite3.Connection) -> int | None:
    try:
        (last,) = database.execute("SELECT max(id) FROM messages").fetchone()
    except sqlite3.Error:
        return None
    return int(last) if last is not None else 0


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(f"file:{quote(str(path))}?immutable=1", uri=True)
    database.execute("PRAGMA writable_schema = ON")  # else SQLite opens no file that is cut off
    return database
