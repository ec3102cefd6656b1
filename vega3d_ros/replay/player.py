"""Plays a recording on its topics at the pace at which it was recorded."""

from __future__ import annotations

import importlib
import math
import threading
import time
from typing import TYPE_CHECKING, Any

from builtin_interfaces.msg import Time
from rosgraph_msgs.msg import Clock

from vega3d_ros.core.stamps import time_fields
from vega3d_ros.replay.playing import Playing
from vega3d_ros.ros.qos import qos
from vega3d_ros.sensing.tf_topics import MOVING, is_static

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.qos import QoSProfile

    from vega3d_ros.sensing.bags.reader import Bag, CameraTopics, RawMessage

_CLOCK_PERIOD_S = 0.02


class Player:
    """Publishes the messages of a camera, and the recording's time on /clock.

    Messages are published as the bytes of the bag. Images are sent reliably, which fits readers
    that request best effort too.

    Args:
        node: Owns the publishers.
        bag: The recording; nothing else may read it while it plays.
        topics: What to publish, under its recorded names.
        playing: How to play it.
    """

    def __init__(
        self, node: Node, bag: Bag, topics: CameraTopics, playing: Playing | None = None
    ) -> None:
        self._bag = bag
        self._playing = playing or Playing()
        self._running = threading.Event()
        if not self._playing.paused:
            self._running.set()
        self._clock = node.create_publisher(Clock, "/clock", 1)
        self._publishers = {
            name: node.create_publisher(message_class(bag.topics[name]), name, _qos(name))
            for name in topics.names
        }
        self._image = topics.image
        self._start_s = 0.0
        self._now_ns = bag.start_ns
        self._clock_s = -math.inf
        self.published: dict[str, int] = dict.fromkeys(topics.names, 0)
        self.worst_delay_s = 0.0

    @property
    def now_ns(self) -> int:
        """Time in the recording, nanoseconds."""
        return self._now_ns

    @property
    def elapsed_s(self) -> float:
        """Seconds of the recording played so far."""
        return (self._now_ns - self._bag.start_ns) * 1e-9

    def has_subscriber(self) -> bool:
        """Whether the images have a subscriber."""
        return bool(self._publishers[self._image].get_subscription_count())

    @property
    def paused(self) -> bool:
        return not self._running.is_set()

    def pause(self) -> None:
        """Pause; /clock repeats the same time."""
        self._running.clear()

    def resume(self) -> None:
        self._running.set()

    def play(self, stop: threading.Event) -> None:
        """Publish until the end, or until ``stop`` is set.

        Raises:
            BagError: Where the file turns out to be damaged.
        """
        for _ in range(self._playing.loops):
            self._play_once(stop)

    def _play_once(self, stop: threading.Event) -> None:
        playing = self._playing
        end_s = None if playing.seconds is None else playing.start_s + playing.seconds
        self._start_s = time.monotonic() - playing.start_s / playing.rate
        self._clock_s = -math.inf  # time that goes back is published at once
        for message in self._bag.raw_messages(self._publishers):
            due_s = (message.stamp_ns - self._bag.start_ns) * 1e-9
            if due_s < playing.start_s:
                # Static transforms are valid after a late start too.
                if is_static(message.topic):
                    self._send(message)
                continue
            if (end_s is not None and due_s > end_s) or not self._wait_until(due_s, stop):
                break
            self._send(message)
            delay_s = time.monotonic() - self._start_s - due_s / playing.rate
            self.worst_delay_s = max(self.worst_delay_s, delay_s)

    def _send(self, message: RawMessage) -> None:
        self._publishers[message.topic].publish(message.data)
        self.published[message.topic] += 1

    def _wait_until(self, due_s: float, stop: threading.Event) -> bool:
        """Publish /clock until it is time; False where ``stop`` is set."""
        rate = self._playing.rate
        while not stop.is_set():
            played_s = (time.monotonic() - self._start_s) * rate
            if self.paused:
                before_s = time.monotonic()
                self._publish_clock()
                self._running.wait(_CLOCK_PERIOD_S)
                self._start_s += time.monotonic() - before_s
                continue
            self._now_ns = self._bag.start_ns + round(min(played_s, due_s) * 1e9)
            self._publish_clock()
            left_s = (due_s - played_s) / rate
            if left_s <= 0:
                return True
            stop.wait(min(left_s, _CLOCK_PERIOD_S))
        return False

    def _publish_clock(self) -> None:
        """Publish the time at most once a period: every subscriber wakes up for it."""
        now_s = time.monotonic()
        if now_s - self._clock_s < _CLOCK_PERIOD_S:
            return
        self._clock_s = now_s
        self._clock.publish(Clock(clock=Time(**time_fields(self._now_ns))))


def message_class(type_name: str) -> type[Any]:
    """The rclpy class of a message type such as ``sensor_msgs/msg/Image``.

    Raises:
        ModuleNotFoundError: If its package is not installed.
    """
    package, kind, name = type_name.split("/")
    found: type[Any] = getattr(importlib.import_module(f"{package}.{kind}"), name)
    return found


def _qos(topic: str) -> QoSProfile:
    tf = topic.endswith(f"/{MOVING}") or is_static(topic)
    return qos(100 if tf else 10, latched=is_static(topic))
