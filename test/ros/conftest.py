from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
# Before the first participant of this process.
for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
    os.environ[name] = str(HERE.parents[1] / "config" / "fastdds_large_images.xml")
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"
# A domain is free as far as this machine knows; another on the network may use it too.
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ros")
    os.environ["ROS_LOG_DIR"] = str(folder)
    return folder


@pytest.fixture(scope="module")
def domain(logs):
    """A ROS domain that no other test uses at the same time."""
    from domain_coordinator import domain_id

    with domain_id() as number:
        yield int(number)


@pytest.fixture(scope="module")
def robot(domain):
    from robot_harness import Robot

    robot = Robot(domain)
    yield robot
    robot.close()


@pytest.fixture(scope="module")
def node(domain, logs):
    """A configured node with the stand-in model, in which every image is a keyframe."""
    from robot_harness import NodeProcess

    node = NodeProcess(
        logs,
        domain,
        model="dummy",
        autostart=True,
        keyframe_max_interval_s=0.1,
        max_waiting_queries=4,
    )
    yield node
    code = node.interrupt()
    assert code == 0, node.output


@pytest.fixture
def camera(node, robot):
    """A camera before a node that was activated anew."""
    from robot_harness import Camera

    if robot.state() == "active":
        assert robot.change_state("deactivate")
    assert robot.change_state("activate"), node.output
    robot.forget()
    return Camera(robot)
