"""Starts the launch file with launch_pytest and waits for the active node."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

launch_pytest = pytest.importorskip(
    "launch_pytest", reason="the ROS package `launch_pytest` is not installed"
)

import launch  # noqa: E402
import rclpy  # noqa: E402
from launch.actions import IncludeLaunchDescription  # noqa: E402
from launch.launch_description_sources import PythonLaunchDescriptionSource  # noqa: E402
from lifecycle_msgs.srv import GetState  # noqa: E402

pytestmark = pytest.mark.ros
FILE = Path(__file__).parents[2] / "launch" / "perception.launch.py"


@launch_pytest.fixture
def description():
    included = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(FILE)),
        launch_arguments={"namespace": "launched"}.items(),
    )
    return launch.LaunchDescription([included, launch_pytest.actions.ReadyToTest()])


@pytest.mark.launch(fixture=description)
def test_the_launch_file_brings_up_an_active_node():
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=int(os.environ.get("ROS_DOMAIN_ID", "0")))
    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    node = rclpy.create_node("launch_probe", context=context)
    executor.add_node(node)
    client = node.create_client(GetState, "/launched/perception/get_state")
    label, end = "", time.monotonic() + 60
    try:
        while label != "active" and time.monotonic() < end:
            if client.wait_for_service(0.5):
                future = client.call_async(GetState.Request())
                executor.spin_until_future_complete(future, 2.0)
                if future.done():
                    label = future.result().current_state.label
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
    assert label == "active"
