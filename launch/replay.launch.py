"""Plays a recording to a node and scores it: ``ros2 launch vega3d_ros replay.launch.py bag:=B``.

Image, camera_info, depth and fixed frame are found in the recording, and the node listens to them.
"""

import runpy
import subprocess
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.substitutions import ExecutableInPackage

PERCEPTION = str(Path(__file__).with_name("perception.launch.py"))
PASSED_ON = ("models", "model", "device", "threads", "params_file")
PASSED_ON += ("queries", "log_level", "rviz")
OPTIONS = ("out", "rate", "start", "loop", "questions")
_OF_NODE = runpy.run_path(PERCEPTION)
ARGUMENTS = {name: _OF_NODE["ARGUMENTS"][name] for name in PASSED_ON} | {
    "out": ("", "folder for the node's output as mcap, and the report; empty: by node and day"),
    "rate": ("1.0", "speed of playing"),
    "start": ("0.0", "seconds of the recording to leave out at its beginning"),
    "loop": ("1", "how often to play it"),
    "pause": ("false", "true: begin paused; /vega3d_replay/resume goes on"),
    "questions": ("", "JSON with questions of your own"),
}


def generate_launch_description() -> LaunchDescription:
    """The node, and the recording played to it; all ends when it has been played."""
    declared = [DeclareLaunchArgument("bag", description="recording to play")]
    declared += [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    checked = [OpaqueFunction(function=_check), OpaqueFunction(function=_actions)]
    return LaunchDescription([*declared, *checked])


def _check(context: LaunchContext) -> list:
    """Refuse misspelt arguments, as the launch file of the node does."""
    return _OF_NODE["check"](context, ("bag", *ARGUMENTS), __file__)


def _topics(vega3d: str, bag: str) -> list[tuple[str, str]]:
    """Launch arguments by the topics of a recording, read by the node's own interpreter.

    Raises:
        RuntimeError: If it cannot be read.
    """
    done = subprocess.run(
        [vega3d, "replay", bag, "--topics"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip() or f"{bag} cannot be read")
    return [tuple(line.split(":=", 1)) for line in done.stdout.splitlines() if ":=" in line]


def _actions(context: LaunchContext) -> list:
    values = {name: LaunchConfiguration(name).perform(context) for name in ("bag", *ARGUMENTS)}
    vega3d = ExecutableInPackage("vega3d", "vega3d_ros").perform(context)
    perception = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PERCEPTION),
        launch_arguments=[
            *_topics(vega3d, values["bag"]),
            *((name, values[name]) for name in PASSED_ON),
            ("use_sim_time", "true"),
        ],
    )
    options = [f"--{name}={values[name]}" for name in OPTIONS if values[name]]
    options += ["--pause"] if values["pause"].lower() == "true" else []
    replay = ExecuteProcess(
        cmd=[vega3d, "replay", values["bag"], *options], output="screen", emulate_tty=True
    )
    done = OnProcessExit(target_action=replay, on_exit=[EmitEvent(event=Shutdown())])
    return [perception, replay, RegisterEventHandler(done)]
