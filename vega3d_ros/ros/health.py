"""Tells how the node is: all of it on /diagnostics, what matters on the console."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray

from vega3d_ros.perception.worker import Status
from vega3d_ros.ros.diagnostics import OK, diagnose
from vega3d_ros.ros.messages import diagnostics_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rclpy.clock import Clock
    from rclpy.node import Node

    from vega3d_ros.ros.diagnostics import Diagnosis, Facts

PERIOD_S = 1.0
REPEAT_S = 30.0


class Health:
    """Publishes diagnostics every second.

    Args:
        node: Owns publisher and timer.
        facts: What is known of it now.
        steady: Diagnostics go on where simulated time is paused or loops.
    """

    def __init__(self, node: Node, facts: Callable[[], Facts], steady: Clock) -> None:
        self._node, self._facts = node, facts
        self._console = Console()
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        node.create_timer(PERIOD_S, self._publish, clock=steady)

    def _publish(self) -> None:
        facts = self._facts()
        diagnoses = diagnose(facts)
        name, stamp = self._node.get_fully_qualified_name(), self._node.get_clock().now().to_msg()
        self._publisher.publish(diagnostics_message(name, stamp, diagnoses))
        logger: Any = self._node.get_logger()
        for good, line in self._console.lines(facts, diagnoses, time.monotonic()):
            # Two statements: rclpy lets a line of code log at one level only.
            if good:
                logger.info(line)
            else:
                logger.warning(line)


class Console:
    """Chooses what is worth a line: that the node is ready, and why it is silent."""

    def __init__(self) -> None:
        self._told_s: dict[str, float] = {}
        self._ready = False

    def lines(
        self, facts: Facts, diagnoses: Sequence[Diagnosis], now_s: float
    ) -> Iterator[tuple[bool, str]]:
        """Lines to log now, and whether they bring good news; the same one after ``REPEAT_S``."""
        if not facts.active:
            self._ready = False
            self._told_s.clear()
            return
        if facts.status is Status.READY and not self._ready:
            self._ready = True
            yield True, ready_line(facts)
        if facts.active_s < facts.silence_s:
            return  # publishers are still being found
        for item in diagnoses:
            kind = item.name + re.sub(r"\(now: .*|[\d.]+", "", item.message)
            if item.level > OK and now_s - self._told_s.get(kind, -REPEAT_S) >= REPEAT_S:
                self._told_s[kind] = now_s
                yield False, f"{item.name}: {item.message}"


def ready_line(facts: Facts) -> str:
    """The model, where it runs, what finds things, and what is listened to."""
    inputs = (facts.image, facts.camera_info, facts.depth)
    topics = [item.topic for item in inputs if item is not None]
    frame = f"TF to {facts.fixed_frame}" if facts.fixed_frame else "no TF"
    return (
        f"ready: model {facts.model} on {facts.device}, grounder {facts.grounder or 'none'}; "
        f"listens to {', '.join([*topics, frame])}"
    )
