"""Plays a recording to a node, asks questions meanwhile, and records the node's output."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger

from vega3d_ros.core.stamps import nanoseconds
from vega3d_ros.evaluation.schema import Prediction, Question, RunError
from vega3d_ros.evaluation.sources.live import DIAGNOSTICS, NODE, RunResult, scene_objects
from vega3d_ros.replay.client import NOT_FOUND, ClientError, PerceptionClient
from vega3d_ros.replay.player import Player
from vega3d_ros.replay.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from rclpy.node import Node

    from vega3d_ros.replay.display import Display
    from vega3d_ros.replay.playing import Playing
    from vega3d_ros.sensing.bags.reader import Bag, CameraTopics

_STARTING_S = 180.0
_HINT_S = 3.0
_HINT = (
    "there is no node {name} yet: start one in another terminal, as with `ros2 launch vega3d_ros "
    "perception.launch.py`, or let --model M start it; still waiting"
)
_MATCHING_S = 15.0
_UNCHANGED_S = 1.0
_RESULTS_S = 5.0
_QUIET_S = 1.0
_POLL_S = 0.02


class LiveRun:
    """Talks to a perception node that is starting or running.

    Args:
        node: For publishers, subscriptions and clients; another thread spins it.
        display: Shows progress and replies.
        check: Called while waiting; raises at an interrupt, or where the node has ended.
        name: Name of the perception node, with its namespace.
    """

    def __init__(
        self,
        node: Node,
        display: Display,
        check: Callable[[], None],
        name: str = NODE,
    ) -> None:
        self._node, self._name = node, name
        self._objects = f"{name}/objects"
        self._client = PerceptionClient(node, name, check)
        self._display, self._check = display, check

    def wait_until_active(self) -> float:
        """Wait for the node and its model; returns the seconds it took.

        Raises:
            RunError: If it does not become active, cannot load its model, or ends.
        """
        begin_s = time.monotonic()
        told = False
        while (state := self._not_ready()) != "":
            self._check()
            waited_s = time.monotonic() - begin_s
            if state == NOT_FOUND and waited_s > _HINT_S and not told:
                told = True
                self._display.say(_HINT.format(name=self._name))
            if waited_s > _STARTING_S:
                msg = f"the node is still {state!r} after {_STARTING_S:.0f} s; see its log"
                raise RunError(msg)
            self._display.waiting(state)
            time.sleep(0.1)
        return time.monotonic() - begin_s

    def _not_ready(self) -> str:
        """Why the node is not ready; empty where it is."""
        state = self._client.state()
        if state != "active":
            return state
        ready, reason = self._client.model_state()
        if not ready and "could not be loaded" in reason:
            raise RunError(reason)
        return "" if ready else reason

    def run(
        self,
        bag: Bag,
        topics: CameraTopics,
        plan: Sequence[Question],
        output: Path,
        playing: Playing,
    ) -> RunResult:
        """Play, ask, record.

        Args:
            bag: Recording to play.
            topics: What to play of it.
            plan: What to ask, the first time that the recording plays.
            output: Folder for the recording of the node's output; must not exist.
            playing: How to play. The services ``~/pause`` and ``~/resume`` work meanwhile.

        Raises:
            RunError: If the images have no subscriber, or the node ends.
        """
        player = Player(self._node, bag, topics, playing)
        _offer_pause(self._node, player)
        self._wait_for_subscriber(player, topics)
        recorder = Recorder(
            self._node, output, self._record_topics(bag, topics), lambda: player.now_ns
        )
        result = RunResult()
        stop = threading.Event()
        failures: list[Exception] = []
        thread = threading.Thread(
            target=_play, args=(player, stop, failures), name="player", daemon=True
        )
        try:
            thread.start()
            self._ask_all(player, thread, plan, result)
            thread.join()
            if failures:
                raise failures[0]
            self._wait_for_results(recorder)
            self._read_object_map(result)
        finally:
            stop.set()
            thread.join()
            recorder.close()
        result.played_s, result.worst_delay_s = player.elapsed_s, player.worst_delay_s
        result.published, result.recorded = player.published, recorder.counts
        return result

    def _wait_for_subscriber(self, player: Player, topics: CameraTopics) -> None:
        """Until the images have a subscriber, and no subscription changes any more.

        A node that sees what is offered may subscribe again with another quality of service, and
        loses what was sent in between.
        """
        now_s = since_s = time.monotonic()
        end_s, before = now_s + _MATCHING_S, self._subscriptions(topics)
        while not player.has_subscriber() or now_s - since_s < _UNCHANGED_S:
            self._check()
            if now_s > end_s and not player.has_subscriber():
                msg = f"the node is active, but does not subscribe to {topics.image}; see its log"
                raise RunError(msg)
            if now_s > end_s:
                return
            time.sleep(_POLL_S)
            now_s, found = time.monotonic(), self._subscriptions(topics)
            if found != before:
                before, since_s = found, now_s

    def _subscriptions(self, topics: CameraTopics) -> frozenset[tuple[int, ...]]:
        """Ids of all subscriptions to what is played; a new one has a new id."""
        return frozenset(
            tuple(info.endpoint_gid)
            for name in topics.names
            for info in self._node.get_subscriptions_info_by_topic(name)
        )

    def _record_topics(self, bag: Bag, topics: CameraTopics) -> dict[str, str]:
        """Types of the recorded topics: the node's output, and its inputs except images."""
        end_s = time.monotonic() + _MATCHING_S
        while self._objects not in (published := self._published()):
            self._check()
            if time.monotonic() > end_s:
                msg = f"the node is active, but does not publish {self._objects}; see its log"
                raise RunError(msg)
            time.sleep(_POLL_S)
        small = (topics.camera_info, *topics.tf)
        return published | {name: bag.topics[name] for name in small if name}

    def _published(self) -> dict[str, str]:
        # By topic, not by node: discovery finds topics before their nodes, and keeps them longer.
        return {
            name: types[0]
            for name, types in self._node.get_topic_names_and_types()
            if name.startswith((f"{self._name}/", DIAGNOSTICS))
            and "/msg/" in types[0]
            and self._node.count_publishers(name)
        }

    def _ask_all(
        self, player: Player, thread: threading.Thread, plan: Sequence[Question], result: RunResult
    ) -> None:
        pending = list(enumerate(plan))
        while thread.is_alive() or pending:
            self._check()
            self._display.played(player.elapsed_s)
            over = not thread.is_alive()
            if pending and (over or pending[0][1].ask_at_s <= player.elapsed_s):
                self._reply(*pending.pop(0), player.elapsed_s, result)
            else:
                time.sleep(_POLL_S)
        self._display.played(player.elapsed_s)

    def _reply(self, index: int, item: Question, now_s: float, result: RunResult) -> None:
        begin_s = time.monotonic()
        said: dict[str, Any] = {}
        stamp = 0
        try:
            if item.is_relation:
                response = self._client.relation(item.subject, item.object)
            else:
                response = self._client.ask(item.text)
            stamp = nanoseconds(response.header.stamp)
            if response.success:
                said = _said(response, item)
            else:
                said["error"] = f"{response.message} (error {response.error_code})"
        except ClientError as failure:
            said["error"] = str(failure)
        reply = Prediction(
            question=item,
            index=index,
            asked_at_s=now_s,
            latency_ms=(time.monotonic() - begin_s) * 1e3,
            stamp_ns=stamp,
            **said,
        )
        result.replies.append(reply)
        self._display.replied(reply)

    def _wait_for_results(self, recorder: Recorder) -> None:
        """Wait until the node publishes no more scenes."""
        end_s = time.monotonic() + _RESULTS_S
        count, quiet_since_s = -1, time.monotonic()
        while time.monotonic() < end_s and time.monotonic() - quiet_since_s < _QUIET_S:
            self._check()
            if recorder.counts.get(self._objects, 0) != count:
                count, quiet_since_s = recorder.counts.get(self._objects, 0), time.monotonic()
            time.sleep(_POLL_S)

    def _read_object_map(self, result: RunResult) -> None:
        try:
            response = self._client.list_objects()
        except ClientError as error:
            raise RunError(str(error)) from error
        result.fixed_frame = response.header.frame_id
        result.mapped_objects = scene_objects(response.objects, response.header.frame_id)


def _offer_pause(node: Node, player: Player) -> None:
    """Offer ``~/pause`` and ``~/resume`` for a player."""

    def serve(name: str, action: Callable[[], None]) -> None:
        def handle(_: Any, reply: Any) -> Any:
            action()
            reply.success, reply.message = True, "paused" if player.paused else "playing"
            return reply

        node.create_service(Trigger, f"~/{name}", handle)

    serve("pause", player.pause)
    serve("resume", player.resume)


@contextmanager
def ros_node(name: str) -> Iterator[Node]:
    """A node spun by a thread of its own, and ROS shut down in order afterwards.

    Hold interrupts meanwhile (``HeldInterrupts``): rclpy closes nothing that is half made.
    """
    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node(name, context=context, enable_rosout=False)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def spin() -> None:
        with suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, name="executor", daemon=True)
    thread.start()
    try:
        yield node
    finally:
        executor.shutdown()
        thread.join()
        node.destroy_node()
        rclpy.shutdown(context=context)


def _play(player: Player, stop: threading.Event, failures: list[Exception]) -> None:
    try:
        player.play(stop)
    except Exception as error:  # noqa: BLE001 (raised again by the thread that waits for this one)
        failures.append(error)


def _said(response: Any, item: Question) -> dict[str, Any]:
    """A node's answer or relation, as the fields of a prediction."""
    if item.is_relation:
        relation = response.relation
        return {
            "predicates": tuple(relation.predicates),
            "distance_m": float(relation.distance_m),
        }
    answer = response.answer
    return {"text": answer.answer, "confidence": float(answer.confidence)}
