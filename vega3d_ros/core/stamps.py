"""Times of ROS messages as whole nanoseconds, and back."""

from __future__ import annotations

from typing import Any

SECOND_NS = 1_000_000_000


def nanoseconds(time: Any) -> int:
    """A Time or Duration message in nanoseconds."""
    return int(time.sec) * SECOND_NS + int(time.nanosec)


def stamp_ns(message: Any) -> int:
    """Acquisition stamp of a message with a header, nanoseconds."""
    return nanoseconds(message.header.stamp)


def time_fields(time_ns: int) -> dict[str, int]:
    """The fields of a Time or Duration message."""
    return {"sec": time_ns // SECOND_NS, "nanosec": time_ns % SECOND_NS}
