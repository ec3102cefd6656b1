"""Starts the node: ``ros2 launch vega3d_ros perception.launch.py image:=/cam/image``."""

import difflib
import sys
from collections.abc import Collection
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.events import Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import ExecutableInPackage

# Typed, because "1" as a model or "true" as a frame would be read as YAML.
PARAMETERS = {
    "model": str,
    "device": str,
    "threads": int,
    "fixed_frame": str,
    "autostart": bool,
    "use_sim_time": bool,
}
TOPICS = ("image", "camera_info", "depth", "depth_camera_info")
CHOICES = {
    "autostart": ("true", "false"),
    "use_sim_time": ("true", "false"),
    "respawn": ("true", "false"),
    "rviz": ("true", "false"),
    "log_level": ("debug", "info", "warn", "error", "fatal"),
}
SHARE = Path(__file__).parents[1]
RESPAWN_DELAY_S = 2.0
REFUSED = 1  # exit code of a node that refuses what it was given
# What is left empty stays as the parameter files and the node have it.
ARGUMENTS = {
    "namespace": ("", "namespace of the node and its topics; one per camera"),
    "image": ("", "topic of the rectified colour image (Image or CompressedImage)"),
    "camera_info": ("", "topic of its CameraInfo"),
    "depth": ("", "topic of the depth image; need not exist"),
    "depth_camera_info": (
        "",
        "topic of the depth image's own CameraInfo; left out: beside the depth image",
    ),
    "tf": (
        "",
        "topic of the transforms, and with _static; /robot1/tf for one of several robots",
    ),
    "params_file": ("", "parameters of yours; a preset wins over it, other arguments over both"),
    "models": ("", "preset of config/models for a machine: cpu, gpu_8gb, gpu_24gb"),
    "model": ("", "auto, shipped model, model folder or downloaded model"),
    "queries": ("", "what is looked for, separated by commas: chair,red box"),
    "device": ("", "auto (CUDA where present), cpu, cuda, cuda:1"),
    "threads": ("", "threads of the processor for the model, 0: measured"),
    "fixed_frame": ("", "frame of the results, z up; none: the camera's optical frame"),
    "autostart": ("", "configure and activate the node (true); false under a lifecycle manager"),
    "use_sim_time": ("", "run on /clock (simulation, ros2 bag play --clock)"),
    "log_level": ("", "debug, info, warn, error or fatal"),
    "respawn": ("false", "start the node again where its process has died"),
    "rviz": ("false", "open RViz with the results, where rviz2 is installed"),
}


def nearest(name: str, known: list[str]) -> str:
    """What to put behind an unknown name (this file imports nothing of the package)."""
    near = difflib.get_close_matches(name, known, 1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def check(context: LaunchContext, arguments: Collection[str], file: str) -> list:
    """Refuse misspelt arguments and values; raises RuntimeError before anything is started.

    A launch file that includes this one has arguments of its own in the same context: then names
    are only told that look like ours.
    """
    names = [name for name in context.launch_configurations if name not in arguments]
    direct = any(Path(word).name == Path(file).name for word in sys.argv)
    told = []
    for name in names:
        hint = nearest(name, list(arguments))
        text = f"there is no launch argument {name!r}{hint}; --show-args lists them"
        if direct:
            raise RuntimeError(text)
        if hint:
            told.append(LogInfo(msg=f"{Path(file).name}: {text}"))
    for name, known in CHOICES.items():
        value = _given(context, name).lower() if name in arguments else ""
        if value and value not in known:
            hint = nearest(value, list(known))
            msg = f"launch argument {name} is {value!r}{hint}; give {' or '.join(known)}"
            raise RuntimeError(msg)
    if not (threads := _given(context, "threads")).isdigit() and threads:
        msg = f"launch argument threads is {threads!r}; give a number"
        raise RuntimeError(msg)
    return told


def _given(context: LaunchContext, name: str) -> str:
    return LaunchConfiguration(name).perform(context).strip()


def _parameter_files(context: LaunchContext) -> list[str]:
    """The files that are read, later ones over earlier ones."""
    files = [str(SHARE / "config" / "launch.yaml")]
    if mine := _given(context, "params_file"):
        if not Path(mine).is_file():
            msg = f"launch argument params_file is {mine!r}, which is no file"
            raise RuntimeError(msg)
        files.append(mine)
    if preset := _given(context, "models"):
        folder = SHARE / "config" / "models"
        known = sorted(path.stem for path in folder.glob("*.yaml"))
        if preset not in known:
            hint = nearest(preset, known)
            msg = f"launch argument models is {preset!r}{hint}; give one of: {', '.join(known)}"
            raise RuntimeError(msg)
        files.append(str(folder / f"{preset}.yaml"))
    return files


def _values(context: LaunchContext) -> dict:
    """The parameters that were given as arguments."""
    values = {}
    for name, kind in PARAMETERS.items():
        if _given(context, name):
            values[name] = ParameterValue(LaunchConfiguration(name), value_type=kind)
    if _given(context, "fixed_frame") in {"none", "''", '""'}:
        values["fixed_frame"] = ParameterValue("", value_type=str)
    if queries := _given(context, "queries"):
        values["queries"] = [text.strip() for text in queries.strip("[]").split(",")]
    return values


def _node(context: LaunchContext) -> list:
    """The node, with the parameters that were given."""
    ExecutableInPackage("perception_node", "vega3d_ros").perform(context)  # raises if it lacks
    level = _given(context, "log_level").lower()
    remapped = [(name, _given(context, name)) for name in TOPICS]
    if transforms := _given(context, "tf"):
        remapped += [("/tf", transforms), ("/tf_static", f"{transforms}_static")]
    node = LifecycleNode(
        package="vega3d_ros",
        executable="perception_node",
        name="perception",
        namespace=_given(context, "namespace"),
        parameters=[*_parameter_files(context), _values(context)],
        ros_arguments=["--log-level", level] if level else [],
        remappings=[(name, topic) for name, topic in remapped if topic],
        respawn=_given(context, "respawn").lower() == "true",
        respawn_delay=RESPAWN_DELAY_S,
        on_exit=_end_where_refused,
        output="screen",
        emulate_tty=True,
    )
    return [node]


def _end_where_refused(event: ProcessExited, _: LaunchContext) -> list:
    """End the launch where the node refused its parameters: it would do so again."""
    if event.returncode != REFUSED:
        return []
    return [EmitEvent(event=Shutdown(reason="the node refused what it was given"))]


def _rviz(context: LaunchContext) -> list:
    """RViz, or why it does not open: a launch that fails here would leave the node behind."""
    if _given(context, "rviz").lower() != "true":
        return []
    try:
        ExecutableInPackage("rviz2", "rviz2").perform(context)
    except (PackageNotFoundError, RuntimeError) as error:
        text = f"rviz2 is not installed: RViz does not open ({error}); "
        return [LogInfo(msg=f"{text}install ros-$ROS_DISTRO-rviz2")]
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        namespace=_given(context, "namespace"),
        arguments=["-d", str(SHARE / "rviz" / "perception.rviz")],
        parameters=[{"use_sim_time": _given(context, "use_sim_time").lower() == "true"}],
    )
    return [rviz]


def _actions(context: LaunchContext) -> list:
    """Everything, once nothing can fail any more."""
    return [*check(context, ARGUMENTS, __file__), *_rviz(context), *_node(context)]


def generate_launch_description() -> LaunchDescription:
    """The node, and RViz where asked for."""
    profile = str(SHARE / "config" / "fastdds_large_images.xml")
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    environment = [
        # Images above 512 KB get lost without it. The camera driver needs it too: the publisher
        # decides.
        SetEnvironmentVariable("FASTRTPS_DEFAULT_PROFILES_FILE", profile),
        SetEnvironmentVariable("FASTDDS_DEFAULT_PROFILES_FILE", profile),
        # Keeps glibc from returning and faulting in the memory of every image anew.
        SetEnvironmentVariable("MALLOC_MMAP_THRESHOLD_", "67108864"),
        SetEnvironmentVariable("MALLOC_TRIM_THRESHOLD_", "536870912"),
    ]
    return LaunchDescription([*declared, *environment, OpaqueFunction(function=_actions)])
