"""Starts the node: ``ros2 launch vega3d_ros perception.launch.py image:=/cam/image``."""

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

# Typed, because "1" as a model or "true" as a frame would be read as YAML.
PARAMETERS = {
    "model": str,
    "device": str,
    "threads": int,
    "fixed_frame": str,
    "autostart": bool,
    "use_sim_time": bool,
}
RESPAWN_DELAY_S = 2.0
OPTIONAL = ("model", "device", "threads")  # empty: as in the files
ARGUMENTS = {
    "namespace": ("", "namespace of the node and its topics; one per camera"),
    "image": ("image", "topic of the rectified colour image (Image or CompressedImage)"),
    "camera_info": ("camera_info", "topic of its CameraInfo"),
    "depth": ("depth", "topic of the depth image; need not exist"),
    "depth_camera_info": (
        "depth_camera_info",
        "topic of the depth image's own CameraInfo; left out: beside the depth image",
    ),
    "tf": (
        "/tf",
        "topic of the transforms, and with _static; /robot1/tf for one of several robots",
    ),
    "models": ("", "preset of config/models for a machine: cpu, gpu_8gb, gpu_24gb; empty: none"),
    "model": ("", "shipped model, model folder or downloaded model; empty: as in the files"),
    "device": ("", "auto (CUDA where present), cpu, cuda, cuda:1; empty: as in the files"),
    "threads": ("", "threads of the processor for the model, 0: measured; empty: as in the files"),
    "fixed_frame": ("map", "frame of the results, z up; empty: the camera's optical frame"),
    "autostart": ("true", "configure and activate the node; false under a lifecycle manager"),
    "use_sim_time": ("false", "run on /clock (simulation, ros2 bag play --clock)"),
    "log_level": ("", "debug, info, warn, error or fatal; empty: that of ROS"),
    "respawn": ("false", "start the node again where its process has died"),
    "rviz": ("false", "open RViz with the results, where rviz2 is installed"),
}


def _node(context: LaunchContext) -> list[Node]:
    """The node, with the parameters that were given."""
    given = {name: LaunchConfiguration(name).perform(context) for name in (*OPTIONAL, "log_level")}
    files = [LaunchConfiguration("params_file")]
    preset = LaunchConfiguration("models").perform(context)
    if preset:
        share = FindPackageShare("vega3d_ros")
        files.append(PathJoinSubstitution([share, "config", "models", f"{preset}.yaml"]))
    values = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, kind in PARAMETERS.items()
        if given.get(name) != ""
    }
    node = Node(
        package="vega3d_ros",
        executable="perception_node",
        name="perception",
        namespace=LaunchConfiguration("namespace"),
        parameters=[*files, values],
        ros_arguments=["--log-level", given["log_level"]] if given["log_level"] else [],
        remappings=[
            *(
                (name, LaunchConfiguration(name))
                for name in ("image", "camera_info", "depth", "depth_camera_info")
            ),
            ("/tf", LaunchConfiguration("tf")),
            ("/tf_static", [LaunchConfiguration("tf"), "_static"]),
        ],
        respawn=LaunchConfiguration("respawn").perform(context).lower() == "true",
        respawn_delay=RESPAWN_DELAY_S,
        output="screen",
        emulate_tty=True,
    )
    return [node]


def _rviz(context: LaunchContext) -> list[Node | LogInfo]:
    """RViz, or why it does not open: a launch that fails here would leave the node behind."""
    if LaunchConfiguration("rviz").perform(context).lower() != "true":
        return []
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:
        text = "rviz2 is not installed: RViz does not open; install ros-$ROS_DISTRO-rviz2"
        return [LogInfo(msg=text)]
    share = FindPackageShare("vega3d_ros")
    use_sim_time = ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        namespace=LaunchConfiguration("namespace"),
        arguments=["-d", PathJoinSubstitution([share, "rviz", "perception.rviz"])],
        parameters=[{"use_sim_time": use_sim_time}],
    )
    return [rviz]


def generate_launch_description() -> LaunchDescription:
    """The node, and RViz where asked for."""
    share = FindPackageShare("vega3d_ros")
    profile = PathJoinSubstitution([share, "config", "fastdds_large_images.xml"])
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    declared.append(
        DeclareLaunchArgument(
            "params_file",
            default_value=PathJoinSubstitution([share, "config", "perception.yaml"]),
            description="parameters; a preset wins over it, other arguments over both",
        )
    )
    environment = [
        # Images above 512 KB get lost without it. The camera driver needs it too: the publisher
        # decides.
        SetEnvironmentVariable("FASTRTPS_DEFAULT_PROFILES_FILE", profile),
        SetEnvironmentVariable("FASTDDS_DEFAULT_PROFILES_FILE", profile),
        # Keeps glibc from returning and faulting in the memory of every image anew.
        SetEnvironmentVariable("MALLOC_MMAP_THRESHOLD_", "67108864"),
        SetEnvironmentVariable("MALLOC_TRIM_THRESHOLD_", "536870912"),
    ]
    started = [OpaqueFunction(function=_node), OpaqueFunction(function=_rviz)]
    return LaunchDescription([*declared, *environment, *started])
