"""Subscriptions with the message type, reliability and durability of their publishers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_policy_name_from_kind

from vega3d_ros.ros.diagnostics import InputFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rclpy.node import Node

DEPTH = 5
_RELIABILITY = {
    "reliable": ReliabilityPolicy.RELIABLE,
    "best_effort": ReliabilityPolicy.BEST_EFFORT,
}


class AdaptiveSubscription:
    """A subscription that adapts to its publishers.

    Starts as best effort and volatile, which fits every publisher, and requests more once all
    publishers offer it. Call ``follow`` regularly: publishers come and go.

    Args:
        node: Owns the subscription.
        name: Topic, relative; remapping and namespace apply.
        types: Message classes by full type name; the first is assumed until a publisher is seen.
        callback: Gets the messages.
        reliability: ``auto``, ``reliable`` or ``best_effort``.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        types: Mapping[str, type],
        callback: Callable[[Any], None],
        reliability: str = "auto",
    ) -> None:
        self.topic = str(node.resolve_topic_name(name))
        self._node = node
        self._name = name
        self._types = dict(types)
        self._callback = callback
        self._requested = _RELIABILITY.get(reliability)
        self._type = next(iter(self._types))
        self._reliability = self._requested or ReliabilityPolicy.BEST_EFFORT
        self._durability = DurabilityPolicy.VOLATILE
        self._subscription: Any = None
        self._publishers = 0
        self._type_mismatch = ""
        self._qos_mismatch = ""
        self._lost = 0
        self._last_ns: int | None = None
        self._subscribe()
        self.follow()

    def follow(self) -> None:
        """Look at the publishers; subscribe again where type or quality of service changes."""
        found = self._node.get_publishers_info_by_topic(self.topic)
        self._publishers = len(found)
        if not found:
            return
        usable = [info for info in found if info.topic_type in self._types]
        if not usable:
            names = " or ".join(self._types)
            self._type_mismatch = f"it is {found[0].topic_type}, not {names}; remap `{self._name}`"
            return
        self._type_mismatch = ""
        kind = usable[0].topic_type
        same = [info.qos_profile for info in usable if info.topic_type == kind]
        reliable = all(qos.reliability == ReliabilityPolicy.RELIABLE for qos in same)
        latched = all(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for qos in same)
        reliability = self._requested or (
            ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        )
        # A latched publisher sends its last message only to reliable subscriptions.
        durability = DurabilityPolicy.VOLATILE
        if latched and reliability == ReliabilityPolicy.RELIABLE:
            durability = DurabilityPolicy.TRANSIENT_LOCAL
        if (kind, reliability, durability) != (self._type, self._reliability, self._durability):
            self._type, self._reliability, self._durability = kind, reliability, durability
            self._subscribe()

    @property
    def is_published(self) -> bool:
        """Whether the topic had a publisher at the last ``follow``."""
        return self._publishers > 0

    def facts(self) -> InputFacts:
        """The topic's state."""
        age_s = None if self._last_ns is None else (time.monotonic_ns() - self._last_ns) * 1e-9
        return InputFacts(
            topic=self.topic,
            publishers=self._publishers,
            type=self._type,
            reliability=self._reliability.name.lower(),
            mismatch=self._type_mismatch or self._qos_mismatch,
            lost=self._lost,
            age_s=age_s,
        )

    def close(self) -> None:
        """End the subscription."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _subscribe(self) -> None:
        self.close()
        self._qos_mismatch = ""
        qos = QoSProfile(depth=DEPTH, reliability=self._reliability, durability=self._durability)
        events = SubscriptionEventCallbacks(
            incompatible_qos=self._on_incompatible, message_lost=self._on_lost
        )
        self._subscription = self._node.create_subscription(
            self._types[self._type], self._name, self._on_message, qos, event_callbacks=events
        )
        self._node.get_logger().info(
            f"{self._name}: listening to {self.topic} ({self._type}, "
            f"{self._reliability.name.lower()})"
        )

    def _on_message(self, msg: Any) -> None:
        self._last_ns = time.monotonic_ns()
        self._callback(msg)

    def _on_incompatible(self, event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        asked = self._reliability.name.lower()
        self._qos_mismatch = (
            f"the publisher's {policy} does not fit the {asked} subscription; set the "
            f"parameter image_qos to auto"
        )
        self._node.get_logger().warning(f"{self.topic}: {self._qos_mismatch}")

    def _on_lost(self, event: Any) -> None:
        self._lost += event.total_count_change
