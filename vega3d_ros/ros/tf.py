"""Transforms from /tf and /tf_static, kept by tf2 where it is installed, else by our own buffer.

Both stand behind ``GatedTransforms``. tf2's listener is not used: at a jump of /clock it clears
its buffer, then takes what is still queued of the time before for the newest.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from geometry_msgs.msg import TransformStamped
from rclpy.time import Time

from vega3d_ros.ros.backlog import backlog
from vega3d_ros.ros.qos import qos
from vega3d_ros.sensing.transform_buffer import TransformBuffer, TransformError, to_se3
from vega3d_ros.sensing.transform_gate import GatedTransforms

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


def subscribe_transforms(node: Node, on_update: Callable[[], None]) -> Transforms | None:
    """Listen to /tf and /tf_static; None where tf2_msgs is not installed.

    Args:
        node: Owns the subscriptions.
        on_update: Called when transforms arrived.
    """
    return None if TFMessage is None else Transforms(node, on_update)


class Transforms:
    """Listens to /tf and /tf_static; used on the executor's thread only."""

    def __init__(self, node: Node, on_update: Callable[[], None]) -> None:
        self._node = node
        self._on_update = on_update
        self._gated = GatedTransforms(TransformBuffer() if tf2_ros is None else Tf2Buffer())
        self._moving = node.create_subscription(TFMessage, "/tf", self._on_moving, qos(_DEPTH))
        self._static = node.create_subscription(
            TFMessage, "/tf_static", self._on_static, qos(_DEPTH, latched=True)
        )

    def lookup(self, target: str, source: str, stamp_ns: int) -> SE3:
        """``target`` from ``source`` at a stamp; raises TransformError where it is not known."""
        return self._gated.lookup(target, source, stamp_ns)

    def below(self, frame: str) -> list[str]:
        """All frames below one."""
        return self._gated.below(frame)

    def rewind(self) -> None:
        """Forget moving transforms of the time before it was set back."""
        self._gated.rewind(time.monotonic_ns())

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
            for refusal in self._gated.insert(msg, time.monotonic_ns(), static=static):
                self._node.get_logger().warning(refusal, throttle_duration_sec=10.0)
        self._on_update()


class Tf2Buffer:
    """The tree of frames as tf2 keeps it, with the methods of ``TransformBuffer``."""

    def __init__(self) -> None:
        self._known_errors: type[Exception] = tf2_ros.TransformException
        self._extrapolation: type[Exception] = tf2_ros.ExtrapolationException
        self._core = tf2_ros.BufferCore()

    def insert(
        self, parent: str, child: str, stamp_ns: int, sample: SE3, *, static: bool = False
    ) -> None:
        """Take in ``parent`` from ``child``."""
        msg = TransformStamped()
        msg.header.frame_id, msg.child_frame_id = parent, child
        msg.header.stamp = Time(nanoseconds=stamp_ns).to_msg()
        moved, turned = msg.transform.translation, msg.transform.rotation
        moved.x, moved.y, moved.z = (float(value) for value in sample.translation)
        turned.x, turned.y, turned.z, turned.w = (float(value) for value in sample.quaternion)
        (self._core.set_transform_static if static else self._core.set_transform)(msg, "vega3d")

    def lookup(self, target: str, source: str, stamp_ns: int) -> SE3:
        """``target`` from ``source`` at a stamp, without waiting."""
        try:
            stamp = Time(nanoseconds=max(0, stamp_ns))  # 0 is the newest for tf2
            found = self._core.lookup_transform_core(target, source, stamp)
        except self._known_errors as error:
            future = isinstance(error, self._extrapolation) and "future" in str(error)
            raise TransformError(str(error), may_come=future) from error
        return to_se3(found.transform)

    def clear(self) -> None:
        """Forget moving transforms; tf2 keeps the static ones."""
        self._core.clear()
