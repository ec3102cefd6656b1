"""Starts the launch file with launch_pytest and waits for the active node."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.patience import wait_until

launch_pytest = pytest.importorskip(
    "launch_pytest", reason="the ROS package `launch_pytest` is not installed"
)

import launch  # noqa: E402
import rclpy  # noqa: E402
from launch.actions import IncludeLaunchDescription  # noqa: E402
from launch.launch_description_sources import PythonLaunchDescriptionSource  # noqa: E402
from lifecycle_msgs.srv import GetState  # noqa: E402

pytestmark = pytest.mark.ros
START_S = 60.0  # of a machine that does nothing else
FILE = Path(__file__).parents[2] / "launch" / "perception.launch.py"


@launch_pytest.fixture
def description(domain, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    included = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(FILE)),
        launch_arguments={"namespace": "launched"}.items(),
    )
    return launch.LaunchDescription([included, launch_pytest.actions.ReadyToTest()])


@pytest.mark.launch(fixture=description)
def test_the_launch_file_brings_up_an_active_node(domain):
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    node = rclpy.create_node("launch_probe", context=context)
    executor.add_node(node)
    client = node.create_client(GetState, "/launched/perception/get_state")

    def is_active():
        if not client.wait_for_service(0.5):
            return False
        future = client.call_async(GetState.Request())
        executor.spin_until_future_complete(future, 2.0)
        return future.done() and future.result().current_state.label == "active"

    try:
        wait_until(is_active, "the active node", START_S)
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
