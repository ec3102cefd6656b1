"""Recordings, written without ROS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from vega3d_ros.sensing.bags.reader import BagError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Self

    from rosbags.interfaces import Connection

_UNSPECIFIED = QosTime(0, 0)
_LATCHED = Qos(
    QosHistory.KEEP_LAST,
    1,
    QosReliability.RELIABLE,
    QosDurability.TRANSIENT_LOCAL,
    _UNSPECIFIED,
    _UNSPECIFIED,
    QosLiveliness.AUTOMATIC,
    _UNSPECIFIED,
    avoid_ros_namespace_conventions=False,
)


class BagWriter:
    """Writes an mcap recording of CDR messages, with the definitions of their types.

    Args:
        path: Folder to make; it must not exist yet.
        definitions: ``.msg`` texts of types that are not part of ROS, by type name. The types of
            their fields must be among them or part of ROS.
    """

    def __init__(self, path: Path, definitions: Mapping[str, str] | None = None) -> None:
        if path.exists():
            msg = f"{path} exists already; remove it or give another folder"
            raise BagError(msg)
        self._store = get_typestore(Stores.ROS2_JAZZY)
        types: dict[str, Any] = {}
        for name, text in (definitions or {}).items():
            types |= get_types_from_msg(text, name)
        self._store.register(types)
        self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        self._connections: dict[str, Connection] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_topic(self, topic: str, type_name: str, *, latched: bool = False) -> None:
        """Add a topic; players send the last message of one that is latched to late listeners."""
        self._connections[topic] = self._writer.add_connection(
            topic, type_name, typestore=self._store, offered_qos_profiles=[_LATCHED] * latched
        )

    def write(self, topic: str, stamp_ns: int, data: bytes | memoryview) -> None:
        """Add a message in CDR; ``stamp_ns`` is the time of recording."""
        self._writer.write(self._connections[topic], stamp_ns, data)

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()
