"""Sends a robot to an object, and after it when it moves.

Asks the perception node once a second where the object is, as the robot sees it, and publishes a
goal that stands before it and faces it. Nav2 listens to `goal_pose`.

python examples/follow_object.py "the sofa" --distance 0.8
"""

import argparse
import math
from contextlib import suppress

import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from vega3d_ros.srv import GroundObject


class FollowObject(Node):
    """Publishes goals before whatever a description means."""

    def __init__(self, description: str, distance_m: float, base_frame: str, node: str) -> None:
        super().__init__("follow_object")
        self._distance_m = distance_m
        # Poses in the robot's own frame need no transforms here.
        self._request = GroundObject.Request(
            description=description, max_objects=1, frame_id=base_frame
        )
        self._client = self.create_client(GroundObject, f"{node}/ground")
        self._goal = self.create_publisher(PoseStamped, "goal_pose", 1)
        self._waiting = False
        self.create_timer(1.0, self._look)

    def _look(self) -> None:
        if self._waiting:
            return
        if not self._client.service_is_ready():
            self.get_logger().warning(
                f"{self._client.srv_name} is not there; is the perception node active?",
                throttle_duration_sec=10.0,
            )
            return
        self._waiting = True
        self._client.call_async(self._request).add_done_callback(self._on_reply)

    def _on_reply(self, future: "rclpy.Future") -> None:
        self._waiting = False
        reply = future.result()
        if not reply.objects:
            self.get_logger().info(reply.message or "not seen")
            return
        found = reply.objects[0]
        position = found.pose.pose.position
        away_m = math.hypot(position.x, position.y)
        if away_m <= self._distance_m:
            self.get_logger().info(f"{found.label} reached")
            return
        goal = PoseStamped(header=reply.header)
        goal.pose.position.x = position.x * (1 - self._distance_m / away_m)
        goal.pose.position.y = position.y * (1 - self._distance_m / away_m)
        heading = math.atan2(position.y, position.x)
        goal.pose.orientation.z = math.sin(heading / 2)
        goal.pose.orientation.w = math.cos(heading / 2)
        self._goal.publish(goal)
        self.get_logger().info(f"{found.label} is {away_m:.2f} m away")


def main() -> None:
    """Runs until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("description", help='what to go to, for example "the red chair"')
    parser.add_argument("--distance", type=float, default=0.8, help="to stand at, metres")
    parser.add_argument("--base-frame", default="base_link", help="the robot's own frame")
    parser.add_argument("--node", default="/perception", help="the perception node")
    args, ros_arguments = parser.parse_known_args()
    rclpy.init(args=ros_arguments)
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(FollowObject(args.description, args.distance, args.base_frame, args.node))


if __name__ == "__main__":
    main()
