"""Plays a recording to a node and scores it: ``ros2 launch vega3d_ros replay.launch.py bag:=B``.

Image, camera_info, depth and fixed frame are found in the recording, and the node listens to them.
"""

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
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackagePrefix, FindPackageShare

from vega3d_ros.sensing.bags.reader import open_bag

ARGUMENTS = {
    "model": ("auto", "name of a shipped model, or a model folder; auto: as the node chooses"),
    "device": ("auto", "auto (CUDA where present), cpu, cuda, cuda:1, ..."),
    "threads": ("", "threads of the processor for the model, 0 and empty: measured"),
    "log_level": ("", "debug, info, warn, error or fatal; empty: that of ROS"),
    "out": ("runs/replay", "folder for the node's output as mcap, and the report"),
    "rate": ("1.0", "speed of playing"),
    "start": ("0.0", "seconds of the recording to leave out at its beginning"),
    "loop": ("1", "how often to play it"),
    "pause": ("false", "true: begin paused; /vega3d_replay/resume goes on"),
    "questions": ("", "JSON with questions of your own"),
    "rviz": ("false", "open RViz with the results"),
}


def generate_launch_description() -> LaunchDescription:
    """The node, and the recording played to it; all ends when it has been played."""
    declared = [DeclareLaunchArgument("bag", description="recording to play")]
    declared += [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=_actions)])


def _actions(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    values = {name: LaunchConfiguration(name).perform(context) for name in ("bag", *ARGUMENTS)}
    with open_bag(values["bag"]) as bag:
        topics = bag.find_topics()
    listened = {
        "image": topics.image,
        "camera_info": topics.camera_info,
        "depth": topics.depth,
        "fixed_frame": topics.fixed_frame,
    }
    perception = IncludeLaunchDescription(
        PathJoinSubstitution([FindPackageShare("vega3d_ros"), "launch", "perception.launch.py"]),
        launch_arguments=[
            *((name, topic) for name, topic in listened.items() if topic),
            *(
                (name, values[name])
                for name in ("model", "device", "threads", "log_level", "rviz")
            ),
            ("use_sim_time", "true"),
        ],
    )
    program = PathJoinSubstitution(
        [FindPackagePrefix("vega3d_ros"), "lib", "vega3d_ros", "vega3d"]
    )
    options = [f"--{name}={values[name]}" for name in ("out", "rate", "start", "loop")]
    options += [f"--questions={values['questions']}"] if values["questions"] else []
    options += ["--pause"] if values["pause"] == "true" else []
    replay = ExecuteProcess(
        cmd=[program, "replay", values["bag"], *options], output="screen", emulate_tty=True
    )
    done = OnProcessExit(target_action=replay, on_exit=[EmitEvent(event=Shutdown())])
    return [perception, replay, RegisterEventHandler(done)]
