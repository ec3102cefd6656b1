"""A recording played to a node, with questions on the way, and the node's output.

The demo and ``vega3d replay`` use it. The node is running already, or is started.
"""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn

from vega3d_ros.evaluation.question_file import RunError
from vega3d_ros.evaluation.recorded_outputs import NODE
from vega3d_ros.evaluation.replies import Reply
from vega3d_ros.replay.node_process import (
    NodeProcess,
    large_image_environment,
    private_environment,
    share_folder,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.console import Console

    from vega3d_ros.evaluation.question_file import Plan
    from vega3d_ros.evaluation.replies import RelationReply, RunResult
    from vega3d_ros.replay.playing import Playing
    from vega3d_ros.sensing.bags.reader import Bag, CameraTopics


class Display:
    """Shows on a console how far a live run is, and every reply.

    Args:
        console: Where to.
        waiting_for: What it waits for before it plays, for example ``starting``.
        begin_s: Second of the recording at which playing begins.
        end_s: Second at which it ends.
    """

    def __init__(self, console: Console, waiting_for: str, begin_s: float, end_s: float) -> None:
        self._waiting_for, self._begin_s, self._end_s = waiting_for, begin_s, end_s
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[seconds]}"),
            console=console,
            transient=True,
        )
        self._task = self.bar.add_task(waiting_for, total=None, seconds="")

    def waiting(self, state: str) -> None:
        """Show the node's state while it is not ready."""
        self.bar.update(self._task, description=f"{self._waiting_for}: {state}")

    def played(self, seconds: float) -> None:
        """Show the second of the recording that was played last."""
        self.bar.update(
            self._task,
            description="playing",
            total=self._end_s - self._begin_s,
            completed=seconds - self._begin_s,
            seconds=f"{seconds:.1f} of {self._end_s:.1f} s",
        )

    def replied(self, reply: Reply | RelationReply) -> None:
        """Print a reply."""
        self.bar.console.print(_line(reply), highlight=False, markup=False, soft_wrap=True)


def run_live(
    bag: Bag,
    topics: CameraTopics,
    plan: Plan,
    out: Path,
    console: Console,
    playing: Playing,
    *,
    command: Sequence[str] | None = None,
    node: str = NODE,
) -> RunResult:
    """Play a recording to a node, ask, and record what it publishes as ``output_bag``.

    Args:
        bag: The recording.
        topics: What to play of it.
        plan: What to ask.
        out: Folder for ``output_bag``, and ``node.log`` of a node that is started.
        console: Shows progress and replies.
        playing: How to play.
        command: Starts a node, in a ROS domain of its own; None: one is running.
        node: Name of the node, with its namespace.

    Raises:
        RunError: If ROS or the node is missing, or the node ends early.
    """
    try:
        # Not above: this module and the command line work where ROS is missing.
        from vega3d_ros.replay.live_run import LiveRun, ros_node  # noqa: PLC0415
    except ImportError as error:
        msg = f"ROS is missing ({error}); run `make demo`, or source your ROS and this package"
        raise RunError(msg) from error
    environment = large_image_environment(share_folder("vega3d_ros"))
    if command is not None:
        environment = private_environment(environment)
        domain = environment["ROS_DOMAIN_ID"]
        console.print(f"  ROS domain  {domain}, on this machine only", highlight=False)
    # The middleware of this process reads it when the first node is made.
    os.environ.update(environment)
    end_s = min(bag.duration_s, playing.start_s + (playing.seconds or bag.duration_s))
    verb = "starting" if command is not None else f"waiting for {node}"
    display = Display(console, verb, playing.start_s, end_s)
    with ExitStack() as stack:
        process = None
        if command is not None:
            process = stack.enter_context(NodeProcess(command, out / "node.log", environment))
        stack.enter_context(display.bar)
        with ros_node("vega3d_replay") as own:
            live = LiveRun(own, display, None if process is None else process.check, node)
            ready_s = live.wait_until_active()
            result = live.run(bag, topics, plan, out / "output_bag", playing)
        result.ready_s = ready_s
        if process is not None:
            _stop(process)
    return result


def _stop(process: NodeProcess) -> None:
    process.check()
    status = process.stop()
    if status != 0:
        msg = f"the node stopped with status {status}; its last lines:\n{process.log_tail()}"
        raise RunError(msg)


@contextmanager
def interruptible() -> Iterator[None]:
    """Make SIGTERM raise KeyboardInterrupt, as SIGINT does."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _line(reply: Reply | RelationReply) -> str:
    if isinstance(reply, Reply):
        question, answer = reply.question.text, reply.text
        truth = "" if reply.question.answer is None else f" (truth: {reply.question.answer})"
    else:
        question = f"{reply.question.subject} / {reply.question.object}:"
        answer, truth = f"{', '.join(reply.predicates)}, {reply.distance_m:.2f} m", ""
    text = f"{reply.error or answer}{truth}"
    return f"{reply.asked_at_s:6.1f} s  {question}  {text}  {reply.latency_ms:.0f} ms"
