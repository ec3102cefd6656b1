"""Transforms from /tf and /tf_static: by tf2_ros where installed, else by our own buffer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from rclpy.time import Time

from vega3d_ros.ros.backlog import backlog
from vega3d_ros.ros.qos import qos
from vega3d_ros.sensing.transform_buffer import (
    TransformBuffer,
    TransformError,
    insert_transforms,
    to_se3,
)

try:
    import tf2_ros
except ImportError:
    tf2_ros = None
try:
    from tf2_msgs.msg import TFMessage
except ImportError:
    TFMessage = None

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node

    from vega3d_ros.core.geometry import SE3


_DEPTH = 100


class Transforms(Protocol):
    """A transform buffer, used on the executor's thread only."""

    def lookup(self, target: str, source: str, stamp_ns: int) -> SE3:
        """``target`` from ``source`` at a stamp; raises TransformError where it is not known."""

    def clear(self) -> None:
        """Forget moving transforms."""

    def close(self) -> None:
        """End the subscriptions."""


def subscribe_transforms(node: Node, on_update: Callable[[], None]) -> Transforms | None:
    """Listen to /tf and /tf_static; None where neither tf2_ros nor tf2_msgs is installed.

    Args:
        node: Owns the subscriptions.
        on_update: Called when transforms arrived (only without tf2_ros).
    """
    if tf2_ros is not None:
        return Tf2Transforms(node)
    return None if TFMessage is None else TopicTransforms(node, on_update)


class TopicTransforms:
    """Fills a ``TransformBuffer`` from /tf and /tf_static."""

    def __init__(self, node: Node, on_update: Callable[[], None]) -> None:
        self._node = node
        self._on_update = on_update
        self._buffer = TransformBuffer()
        self._moving = node.create_subscription(TFMessage, "/tf", self._on_moving, qos(_DEPTH))
        self._static = node.create_subscription(
            TFMessage, "/tf_static", self._on_static, qos(_DEPTH, latched=True)
        )

    def lookup(self, target: str, source: str, stamp_ns: int) -> SE3:
        """``target`` from ``source`` at a stamp."""
        return self._buffer.lookup(target, source, stamp_ns)

    def clear(self) -> None:
        """Forget moving transforms."""
        self._buffer.clear()

    def close(self) -> None:
        """End the subscriptions."""
        for subscription in (self._moving, self._static):
            self._node.destroy_subscription(subscription)

    def _on_moving(self, msg: Any) -> None:
        self._insert(msg, *backlog(self._moving, _DEPTH), static=False)

    def _on_static(self, msg: Any) -> None:
        self._insert(msg, static=True)

    def _insert(self, *messages: Any, static: bool) -> None:
        for msg in messages:
            for refusal in insert_transforms(self._buffer, msg, static=static):
                self._node.get_logger().warning(refusal, throttle_duration_sec=10.0)
        self._on_update()


class Tf2Transforms:
    """The real tf2 buffer."""

    def __init__(self, node: Node) -> None:
        self._known_errors: type[Exception] = tf2_ros.TransformException
        self._extrapolation: type[Exception] = tf2_ros.ExtrapolationException
        # With the node, the buffer uses the node's clock, and clears itself when that jumps back.
        self._buffer = tf2_ros.Buffer(node=node)
        self._listener = tf2_ros.TransformListener(self._buffer, node, spin_thread=False)

    def lookup(self, target: str, source: str, stamp_ns: int) -> SE3:
        """``target`` from ``source`` at a stamp, without waiting."""
        try:
            # The core's lookup: that of Buffer would sleep in the executor's thread.
            found = self._buffer.lookup_transform_core(target, source, Time(nanoseconds=stamp_ns))
        except self._known_errors as error:
            future = isinstance(error, self._extrapolation) and "future" in str(error)
            raise TransformError(str(error), may_come=future) from error
        return to_se3(found.transform)

    def clear(self) -> None:
        """Forget moving transforms."""
        self._buffer.clear()

    def close(self) -> None:
        """End the subscriptions."""
        self._listener.unregister()
