"""One drive: plays a recording to the node, asks while it drives, records what the node says."""

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
from vega3d_ros.evaluation.question_file import Plan, Question, RunError
from vega3d_ros.evaluation.recorded_outputs import DIAGNOSTICS, NODE
from vega3d_ros.evaluation.replies import (
    RelationReply,
    Reply,
    RunResult,
    scene_objects,
)
from vega3d_ros.replay.client import ClientError, PerceptionClient
from vega3d_ros.replay.player import Player, Playing
from vega3d_ros.replay.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rclpy.node import Node

    from vega3d_ros.evaluation.question_file import RelationQuestion
    from vega3d_ros.sensing.bags.reader import Bag, CameraTopics

_STARTING_S = 180.0
_MATCHING_S = 15.0
_SETTLING_S = 5.0
_QUIET_S = 1.0
_POLL_S = 0.02


class LiveRun:
    """Talks to a perception node that is starting or running.

    Args:
        node: For publishers, subscriptions and clients; spun elsewhere.
        check: Raises once it is pointless to go on (the node has died).
        on_state: Told what is being waited for.
        on_reply: Told every reply.
        on_progress: Told how many seconds of the recording were played.
        name: Of the perception node, with its namespace.
    """

    def __init__(
        self,
        node: Node,
        check: Callable[[], None],
        on_state: Callable[[str], None],
        on_reply: Callable[[Reply | RelationReply], None],
        on_progress: Callable[[float], None],
        name: str = NODE,
    ) -> None:
        self._node, self._name = node, name
        self._objects = f"{name}/objects"
        self._client = PerceptionClient(node, name)
        self._check, self._on_state = check, on_state
        self._on_reply, self._on_progress = on_reply, on_progress

    def wait_until_active(self) -> float:
        """Wait for the node and its model; returns the seconds it took.

        Raises:
            DriveError: If it does not become active, cannot load its model, or dies.
        """
        begin_s = time.monotonic()
        while (state := self._missing()) != "":
            self._check()
            waited_s = time.monotonic() - begin_s
            if waited_s > _STARTING_S:
                msg = f"the node is still {state!r} after {_STARTING_S:.0f} s; see its log"
                raise RunError(msg)
            self._on_state(state)
            time.sleep(0.1)
        return time.monotonic() - begin_s

    def _missing(self) -> str:
        """What the node still lacks; empty where nothing does."""
        state = self._client.state()
        if state != "active":
            return state
        ready, words = self._client.model_state()
        if not ready and "could not be loaded" in words:
            raise RunError(words)
        return "" if ready else words

    def run(
        self,
        bag: Bag,
        topics: CameraTopics,
        plan: Plan,
        output: Path,
        playing: Playing,
        on_player: Callable[[Player], None] = lambda _: None,
    ) -> RunResult:
        """Play, ask, record.

        Args:
            bag: Recording to play.
            topics: What to play of it.
            plan: What to ask, the first time that the recording plays.
            output: Folder for the recording of the node's output; must not exist.
            playing: How to play.
            on_player: Given the player before it begins, to pause and resume it.

        Raises:
            DriveError: If nobody listens to the images, or the node dies.
        """
        player = Player(self._node, bag, topics, playing)
        on_player(player)
        self._wait_for_listener(player, topics)
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
            self._ask_questions(player, thread, plan, result)
            thread.join()
            if failures:
                raise failures[0]
            self._settle(recorder)
            self._remember(result)
        finally:
            stop.set()
            thread.join()
            recorder.close()
        result.played_s, result.worst_delay_s = player.elapsed_s, player.worst_delay_s
        result.published, result.recorded = player.published, recorder.counts
        return result

    def _wait_for_listener(self, player: Player, topics: CameraTopics) -> None:
        end_s = time.monotonic() + _MATCHING_S
        while not player.has_listener():
            self._check()
            if time.monotonic() > end_s:
                msg = f"the node is active, but does not listen to {topics.image}; see its log"
                raise RunError(msg)
            time.sleep(_POLL_S)

    def _record_topics(self, bag: Bag, topics: CameraTopics) -> dict[str, str]:
        """All that the node publishes, and of the inputs what is small."""
        end_s = time.monotonic() + _MATCHING_S
        while self._objects not in (published := self._published()):
            self._check()
            if time.monotonic() > end_s:
                msg = f"the node is active, but does not publish {self._objects}; see its log"
                raise RunError(msg)
            time.sleep(_POLL_S)
        light = (topics.camera_info, *topics.tf)
        return published | {name: bag.topics[name] for name in light if name}

    def _published(self) -> dict[str, str]:
        # By topic, not by node: nodes are told of later than their topics, and forgotten earlier.
        return {
            name: types[0]
            for name, types in self._node.get_topic_names_and_types()
            if name.startswith((f"{self._name}/", DIAGNOSTICS))
            and "/msg/" in types[0]
            and self._node.count_publishers(name)
        }

    def _ask_questions(
        self, player: Player, thread: threading.Thread, plan: Plan, result: RunResult
    ) -> None:
        pending = plan.by_time
        while thread.is_alive() or pending:
            self._check()
            self._on_progress(player.elapsed_s)
            over = not thread.is_alive()
            if pending and (over or pending[0].ask_at_s <= player.elapsed_s):
                self._ask(pending.pop(0), player.elapsed_s, result)
            else:
                time.sleep(_POLL_S)
        self._on_progress(player.elapsed_s)

    def _ask(self, item: Question | RelationQuestion, now_s: float, result: RunResult) -> None:
        if isinstance(item, Question):
            reply = self._ask_question(item, now_s)
            result.replies.append(reply)
            self._on_reply(reply)
        else:
            relation = self._ask_relation(item, now_s)
            result.relations.append(relation)
            self._on_reply(relation)

    def _ask_question(self, question: Question, now_s: float) -> Reply:
        begin_s = time.monotonic()
        try:
            response = self._client.ask(question.text)
        except ClientError as error:
            return Reply(
                question=question,
                asked_at_s=now_s,
                text="",
                confidence=float("nan"),
                latency_ms=_ms_since(begin_s),
                error=str(error),
            )
        return Reply(
            question=question,
            asked_at_s=now_s,
            text=response.answer.answer if response.success else "",
            confidence=float(response.answer.confidence),
            latency_ms=_ms_since(begin_s),
            error="" if response.success else f"{response.message} (error {response.error_code})",
            stamp_ns=nanoseconds(response.header.stamp),
        )

    def _ask_relation(self, question: RelationQuestion, now_s: float) -> RelationReply:
        begin_s = time.monotonic()
        try:
            response = self._client.relation(question.subject, question.object)
        except ClientError as error:
            nan = float("nan")
            return RelationReply(
                question=question,
                asked_at_s=now_s,
                predicates=(),
                distance_m=nan,
                latency_ms=_ms_since(begin_s),
                stamp_ns=0,
                error=str(error),
            )
        return RelationReply(
            question=question,
            asked_at_s=now_s,
            predicates=tuple(response.relation.predicates),
            distance_m=float(response.relation.distance_m),
            latency_ms=_ms_since(begin_s),
            stamp_ns=nanoseconds(response.header.stamp),
            error="" if response.success else f"{response.message} (error {response.error_code})",
        )

    def _settle(self, recorder: Recorder) -> None:
        """Wait until the node has worked off what it still has."""
        end_s = time.monotonic() + _SETTLING_S
        count, quiet_since_s = -1, time.monotonic()
        while time.monotonic() < end_s and time.monotonic() - quiet_since_s < _QUIET_S:
            self._check()
            if recorder.counts.get(self._objects, 0) != count:
                count, quiet_since_s = recorder.counts.get(self._objects, 0), time.monotonic()
            time.sleep(_POLL_S)

    def _remember(self, result: RunResult) -> None:
        try:
            response = self._client.remembered()
        except ClientError as error:
            raise RunError(str(error)) from error
        result.fixed_frame = response.header.frame_id
        result.mapped_objects = scene_objects(response.objects, response.header.frame_id)


def pause_services(node: Node, player: Player) -> None:
    """Offer ``~/pause`` and ``~/resume`` for a player."""

    def serve(name: str, act: Callable[[], None]) -> None:
        def handle(_: Any, reply: Any) -> Any:
            act()
            reply.success, reply.message = True, "paused" if player.paused else "playing"
            return reply

        node.create_service(Trigger, f"~/{name}", handle)

    serve("pause", player.pause)
    serve("resume", player.resume)


@contextmanager
def ros_node(name: str) -> Iterator[Node]:
    """A node spun by a thread of its own, and ROS shut down in order afterwards.

    Signals stay Python's: an interrupt must reach the caller, who has more to clean up.
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


def _ms_since(begin_s: float) -> float:
    return (time.monotonic() - begin_s) * 1e3
