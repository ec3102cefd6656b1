"""A recording played to a node, questions asked on the way, and what came back.

The demo and ``vega3d replay`` are made of this. The node runs already, or is started for it.
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
    from vega3d_ros.sensing.bags.reader import Bag, CameraTopics


def run_live(
    bag: Bag,
    topics: CameraTopics,
    plan: Plan,
    out: Path,
    console: Console,
    *,
    rate: float = 1.0,
    start_s: float = 0.0,
    seconds: float | None = None,
    loops: int = 1,
    paused: bool = False,
    command: Sequence[str] | None = None,
    node: str = NODE,
) -> RunResult:
    """Play a recording to a node, ask, and record what it publishes as ``output_bag``.

    Args:
        bag: The recording.
        topics: What to play of it.
        plan: What to ask.
        out: Folder for ``output_bag``, and ``node.log`` of a node that is started.
        console: Shows how far it is, and every reply.
        rate: As in ``Playing``, also the next four.
        start_s: See there.
        seconds: See there.
        loops: See there.
        paused: See there. ``/vega3d_replay/resume`` goes on, ``/vega3d_replay/pause`` pauses.
        command: Starts a node of its own, in a ROS domain of its own; None: one is running.
        node: Name of the node, with its namespace.

    Raises:
        DriveError: If ROS or the node is not there, or the node dies.
    """
    try:
        # rclpy only here: everything above and below works where ROS is missing.
        from vega3d_ros.replay.live_run import LiveRun, pause_services, ros_node  # noqa: PLC0415
        from vega3d_ros.replay.player import Playing  # noqa: PLC0415
    except ImportError as error:
        msg = f"ROS is not there ({error}); run `make demo`, or source your ROS and this package"
        raise RunError(msg) from error
    environment = large_image_environment(share_folder("vega3d_ros"))
    if command is not None:
        environment = private_environment(environment)
        domain = environment["ROS_DOMAIN_ID"]
        console.print(f"  ROS domain  {domain}, on this machine only", highlight=False)
    # Read by the middleware of this process when the first node is made.
    os.environ.update(environment)
    length_s = min(bag.duration_s - start_s, seconds or bag.duration_s)
    with ExitStack() as stack:
        process = None
        if command is not None:
            process = stack.enter_context(NodeProcess(command, out / "node.log", environment))
        progress = stack.enter_context(
            Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[seconds]}"),
                console=console,
                transient=True,
            )
        )
        verb = "starting" if command is not None else f"waiting for {node}"
        task = progress.add_task(verb, total=None, seconds="")

        def on_state(state: str) -> None:
            progress.update(task, description=f"{verb}: {state}")

        def on_progress(played_s: float) -> None:
            shown = f"{played_s:.1f} of {start_s + length_s:.1f} s"
            progress.update(task, completed=played_s - start_s, seconds=shown)

        def on_reply(reply: Reply | RelationReply) -> None:
            progress.console.print(_line(reply), highlight=False, markup=False, soft_wrap=True)

        check = _nothing if process is None else process.check
        with ros_node("vega3d_replay") as own:
            live_run = LiveRun(own, check, on_state, on_reply, on_progress, node)
            ready_s = live_run.wait_until_active()
            progress.update(task, description="playing", total=length_s)
            playing = Playing(rate, start_s, seconds, loops, paused)
            result = live_run.run(
                bag, topics, plan, out / "output_bag", playing,
                lambda player: pause_services(own, player),
            )  # fmt: skip
        result.ready_s = ready_s
        if process is not None:
            _end(process)
    return result


def _end(process: NodeProcess) -> None:
    process.check()
    status = process.stop()
    if status != 0:
        words = f"its last words:\n{process.log_tail()}"
        msg = f"the node did not stop in order (status {status}); {words}"
        raise RunError(msg)


def _nothing() -> None:
    """A node that somebody else started is not watched."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Let a termination request clean up as an interrupt does."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _line(reply: Reply | RelationReply) -> str:
    if isinstance(reply, Reply):
        asked, answer = reply.question.text, reply.text
        truth = "" if reply.question.answer is None else f" (truth: {reply.question.answer})"
    else:
        asked = f"{reply.question.subject} / {reply.question.object}:"
        answer, truth = f"{', '.join(reply.predicates)}, {reply.distance_m:.2f} m", ""
    told = f"{reply.error or answer}{truth}"
    return f"{reply.asked_at_s:6.1f} s  {asked}  {told}  {reply.latency_ms:.0f} ms"
