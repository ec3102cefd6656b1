"""Plays a recording to a node, asks questions, and records what the node publishes.

The demo and ``vega3d replay`` use it. The node is running already, or is started here.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from vega3d_ros.evaluation.schema import RunError
from vega3d_ros.evaluation.sources.live import NODE
from vega3d_ros.replay.display import Display
from vega3d_ros.replay.interrupts import HeldInterrupts
from vega3d_ros.replay.node_process import (
    NodeProcess,
    large_image_environment,
    private_environment,
    share_folder,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from vega3d_ros.evaluation.schema import Question
    from vega3d_ros.evaluation.sources.live import RunResult
    from vega3d_ros.replay.playing import Playing
    from vega3d_ros.sensing.bags.reader import Bag, CameraTopics


def run_live(
    bag: Bag,
    topics: CameraTopics,
    plan: Sequence[Question],
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
    with ExitStack() as stack:
        interrupts = stack.enter_context(HeldInterrupts())
        process = None
        if command is not None:
            process = stack.enter_context(NodeProcess(command, out / "node.log", environment))
        display = stack.enter_context(Display(console, verb, playing.start_s, end_s))

        def check() -> None:
            interrupts.check()
            if process is not None:
                process.check()

        with ros_node("vega3d_replay") as own:
            live = LiveRun(own, display, check, node)
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
