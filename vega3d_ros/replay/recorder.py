"""Records topics to an mcap bag, as ``ros2 bag record`` does, where ros2 bag is not installed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from rclpy.qos import ReliabilityPolicy
from rosbags.typesys import Stores, get_typestore

from vega3d_ros.replay.node_process import share_folder
from vega3d_ros.replay.player import message_class
from vega3d_ros.ros.qos import qos
from vega3d_ros.sensing.bags.writer import BagWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from rclpy.node import Node
    from rclpy.qos import QoSProfile

_DEPTH = 50


class Recorder:
    """Writes every message of some topics, undecoded, with its time of arrival.

    Make it when the publishers are there: it requests of each topic what its publishers offer.

    Args:
        node: Owns the subscriptions.
        path: Folder to make.
        topics: Types of the topics to record, by name.
        now_ns: The time to stamp messages with: the recording's own where one is played, so that
            inputs and outputs have the same time.
    """

    def __init__(
        self,
        node: Node,
        path: Path,
        topics: Mapping[str, str],
        now_ns: Callable[[], int],
    ) -> None:
        self._writer = BagWriter(path, message_definitions(topics.values()))
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._open = True
        self.counts = dict.fromkeys(topics, 0)
        for topic, type_name in topics.items():
            latched = topic == "/tf_static"
            self._writer.add_topic(topic, type_name, latched=latched)
            requested = _requested(node, topic, latched=latched)
            node.create_subscription(
                message_class(type_name), topic, self._callback(topic), requested, raw=True
            )

    def _callback(self, topic: str) -> Callable[[Any], None]:
        def write(data: bytes) -> None:
            with self._lock:
                if self._open:
                    self._writer.write(topic, self._now_ns(), data)
                    self.counts[topic] += 1

        return write

    def close(self) -> None:
        """Finish the file; messages that come later are ignored."""
        with self._lock:
            if self._open:
                self._open = False
                self._writer.close()


def message_definitions(types: Iterable[str]) -> dict[str, str]:
    """The ``.msg`` texts behind those types that ROS itself does not bring, by type name.

    All messages of a type's package are given, since one may hold another.

    Raises:
        RunError: If a package is not installed.
    """
    known = get_typestore(Stores.ROS2_JAZZY).types
    packages = {name.split("/")[0] for name in types if name not in known}
    return {
        f"{package}/msg/{file.stem}": file.read_text(encoding="utf-8")
        for package in sorted(packages)
        for file in sorted((share_folder(package) / "msg").glob("*.msg"))
    }


def _requested(node: Node, topic: str, *, latched: bool) -> QoSProfile:
    offered = {info.qos_profile.reliability for info in node.get_publishers_info_by_topic(topic)}
    reliable = ReliabilityPolicy.BEST_EFFORT not in offered
    return qos(_DEPTH, latched=latched, reliable=reliable)
