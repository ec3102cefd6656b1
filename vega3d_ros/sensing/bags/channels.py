"""What all kinds of storage files say of their messages."""

from __future__ import annotations

import heapq
import sys
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, TypeAlias

from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Stored: TypeAlias = "tuple[int, Channel, bytes]"

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # no CDR message begins so
_FORMATS = {"ros2msg": MessageDefinitionFormat.MSG, "ros2idl": MessageDefinitionFormat.IDL}
NO_DEFINITION = MessageDefinition(MessageDefinitionFormat.NONE, "")


@dataclass(frozen=True)
class Channel:
    """One publisher of a topic.

    Attributes:
        id: Its number in the file.
        topic: Its topic.
        type: For example ``sensor_msgs/msg/Image``.
        definition: Of the type.
        count: Messages.
    """

    id: int
    topic: str
    type: str
    definition: MessageDefinition
    count: int


def definition(encoding: str, text: str) -> MessageDefinition:
    """The definition of a type; none in an encoding that is not of ROS."""
    known = _FORMATS.get(encoding)
    return NO_DEFINITION if known is None else MessageDefinition(known, text)


def plain(data: bytes) -> bytes:
    """A message that may be compressed; one that is damaged stays as it is, and is no CDR."""
    if not data.startswith(_ZSTD_MAGIC):
        return data
    try:
        return zstd.decompress(data)
    except zstd.ZstdError:
        return data


def in_order(parts: Iterable[tuple[int, Callable[[], list[Stored]]]]) -> Iterator[Stored]:
    """The messages of parts of a file by time: stamp, channel, bytes.

    Args:
        parts: Stamp of the first message of each, and what reads it, its messages in order. It is
            read when that message is due, since all parts do not fit into memory.
    """

    def begun(
        first_ns: int, read: Callable[[], list[Stored]]
    ) -> Iterator[tuple[int, Stored | None]]:
        yield first_ns, None
        for stored in read():
            yield stored[0], stored

    for _, stored in heapq.merge(*(begun(*part) for part in parts), key=itemgetter(0)):
        if stored is not None:
            yield stored
