"""The example that sends a robot to an object, against a running node."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
from geometry_msgs.msg import PoseStamped
from robot_harness import BASE_FROM_OPTICAL, NODE, OPTICAL, environment, send_tf

PROGRAM = Path(__file__).parents[2] / "examples" / "follow_object.py"

pytestmark = pytest.mark.ros


def test_a_goal_stands_before_the_object_and_faces_it(robot, camera, domain, logs):
    goals = []
    robot.node.create_subscription(PoseStamped, "/goal_pose", goals.append, 1)
    camera.with_tf = True
    send_tf(robot, "base_link", OPTICAL, camera.start_ns, BASE_FROM_OPTICAL, static=True)
    follower = subprocess.Popen(
        [sys.executable, str(PROGRAM), "chair", "--distance", "0.5", "--node", NODE],
        env=environment(logs, domain),
    )
    try:
        robot.until(lambda: goals, "a goal", step=camera.publish, period_s=0.2)
    finally:
        follower.terminate()
        follower.wait()
    goal = goals[-1]
    pose, heading = goal.pose, 2 * math.atan2(goal.pose.orientation.z, goal.pose.orientation.w)
    away_m = math.hypot(pose.position.x, pose.position.y)
    assert goal.header.frame_id == "base_link"
    # The chair stands 3 m ahead of the map's origin and 0.4 m to the left; the camera drives on.
    assert pose.position.y == pytest.approx(0.4 * away_m / (away_m + 0.5), abs=1e-6)
    assert heading == pytest.approx(math.atan2(pose.position.y, pose.position.x), abs=1e-6)
