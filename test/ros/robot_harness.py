"""A perception node in its own process, and a robot that talks to it over real topics."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_srvs.srv import Trigger
from support.patience import patience, wait_until
from vega3d_ros.action import AskScene
from vega3d_ros.msg import GroundedObjectArray, SpatialAnswer
from vega3d_ros.srv import AskSpatial, GroundObject, ListObjects, QueryRelation, SetQueries
from visualization_msgs.msg import MarkerArray

from vega3d_ros.core.geometry import SE3
from vega3d_ros.sensing.image_decoding import fill_image

HERE = Path(__file__).parent
PROFILE = HERE.parents[1] / "config" / "fastdds_large_images.xml"
NODE = "/cam/perception"
# Of a machine that does nothing else; `patience` stretches them.
DEADLINE_S = 20.0
START_S = 60.0
OPTICAL = "camera_optical_frame"
# As on a robot: the camera looks along the base's x axis.
BASE_FROM_OPTICAL = SE3([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], [0.1, 0.0, 0.5])

SERVICES = {
    "ask": AskSpatial,
    "ground": GroundObject,
    "query_relation": QueryRelation,
    "list_objects": ListObjects,
    "set_queries": SetQueries,
    "reset": Trigger,
    "change_state": ChangeState,
    "get_state": GetState,
}
OUTPUTS = {
    "objects": GroundedObjectArray,
    "answers": SpatialAnswer,
    "markers": MarkerArray,
    "debug_image": Image,
    "gate_image": Image,
}


def environment(folder, domain):
    """Environment of a ROS process of the tests."""
    env = {"OMP_NUM_THREADS": "1", **os.environ}
    env.update(
        ROS_DOMAIN_ID=str(domain),
        ROS_LOG_DIR=str(folder),
        FASTRTPS_DEFAULT_PROFILES_FILE=str(PROFILE),
        FASTDDS_DEFAULT_PROFILES_FILE=str(PROFILE),
        ROS_PYTHON_CHECK_FIELDS="1",
        PYTHONPATH=os.pathsep.join([str(HERE.parents[1]), env.get("PYTHONPATH", "")]),
    )
    return env


class NodeProcess:
    """The node, by default that of ``dummy_node.py``; ``parameters`` go onto its command line."""

    def __init__(
        self, folder, domain, arguments=(), script=(HERE / "dummy_node.py",), **parameters
    ):
        self.log = Path(folder) / f"node_{time.monotonic_ns()}.log"
        command = [sys.executable, *map(str, script), "--ros-args", *arguments, "-r", "__ns:=/cam"]
        for name, value in parameters.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            command += ["-p", f"{name}:={text}"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=environment(folder, domain)
            )

    @property
    def output(self):
        return self.log.read_text()

    def interrupt(self, number=signal.SIGINT):
        """Send a signal and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(patience(START_S))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the node did not end:\n{self.output}") from None


class Robot:
    """Publishes what a camera on a robot would, and keeps what the node publishes."""

    def __init__(self, domain, listen=tuple(OUTPUTS)):
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("robot", context=self.context, namespace="/cam")
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        reliable = QoSProfile(depth=10)
        create = self.node.create_publisher
        self.image = create(Image, "image", qos_profile_sensor_data)
        self.info = create(CameraInfo, "camera_info", reliable)
        self.depth = create(Image, "depth", qos_profile_sensor_data)
        self.tf = None
        self.received = {name: [] for name in OUTPUTS}
        self.diagnostics = {}
        for name in listen:
            self.node.create_subscription(
                OUTPUTS[name], f"perception/{name}", self.received[name].append, 50
            )
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.clients = {
            name: self.node.create_client(kind, f"perception/{name}")
            for name, kind in SERVICES.items()
        }
        self.ask_scene = ActionClient(self.node, AskScene, "perception/ask_scene")

    def close(self):
        self.ask_scene.destroy()
        self.node.destroy_node()
        self.executor.shutdown()
        rclpy.shutdown(context=self.context)

    def _on_diagnostics(self, message):
        for status in message.status:
            self.diagnostics[status.name.split(": ")[1]] = status

    def until(self, condition, what, deadline_s=DEADLINE_S, step=lambda: None, period_s=0.05):
        """Spin until a condition holds, taking a step now and then; returns what it gave."""
        due = 0.0

        def spin(timeout_s):
            nonlocal due
            if time.monotonic() >= due:
                step()
                due = time.monotonic() + period_s
            self.executor.spin_once(timeout_sec=timeout_s)

        return wait_until(condition, what, deadline_s, spin)

    def call(self, name, request=None, deadline_s=DEADLINE_S):
        """Call a service of the node."""
        client = self.clients[name]
        self.until(client.service_is_ready, f"service {name}", START_S)
        future = client.call_async(request or SERVICES[name].Request())
        self.until(future.done, f"reply of {name}", deadline_s)
        return future.result()

    def change_state(self, transition):
        """Ask for a lifecycle transition; returns whether it went well."""
        number = getattr(Transition, f"TRANSITION_{transition.upper()}")
        return self.call(
            "change_state", ChangeState.Request(transition=Transition(id=number))
        ).success

    def state(self):
        return self.call("get_state").current_state.label

    def forget(self):
        for messages in self.received.values():
            messages.clear()
        self.diagnostics.clear()

    def wait_for(self, name, condition=lambda message: True, **how):
        """The first message of an output that satisfies a condition."""
        return self.until(
            lambda: next((m for m in self.received[name] if condition(m)), None),
            f"message on {name}",
            **how,
        )


class Camera:
    """A simulated camera of 64 x 48 pixels that moves along x."""

    def __init__(self, robot, start_ns=1_000_000_000_000, period_ns=100_000_000):
        self.robot = robot
        self.start_ns = self.stamp_ns = start_ns
        self.period_ns = period_ns
        self.encoding = "rgb8"
        self.with_info = self.with_depth = True
        self.with_tf = False
        self.x_m = 0.0
        self.sent = []

    def publish(self):
        """One image with what belongs to it."""
        self.stamp_ns += self.period_ns
        self.x_m += 0.05
        if self.with_tf:
            send_tf(
                self.robot, "map", "base_link", self.stamp_ns, SE3(np.eye(3), [self.x_m, 0.0, 0.0])
            )
        if self.with_info:
            self.robot.info.publish(camera_info(self.stamp_ns))
        if self.with_depth:
            depth = np.full((48, 64), 2.0, np.float32)
            depth[:12] = np.nan
            depth[12:24] = 0.0
            self.robot.depth.publish(stamped(depth, "32FC1", self.stamp_ns))
        pixels = np.zeros((48, 64, 3), np.uint8)
        pixels[..., 0] = 200
        self.robot.image.publish(stamped(pixels, self.encoding, self.stamp_ns))
        self.sent.append(self.stamp_ns)


def set_stamp(message, stamp_ns, frame_id=OPTICAL):
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    message.header.frame_id = frame_id
    return message


def stamped(pixels, encoding, stamp_ns, frame_id=OPTICAL):
    message = set_stamp(Image(), stamp_ns, frame_id)
    fill_image(message, pixels, encoding)
    return message


def compressed(data, text, stamp_ns):
    message = set_stamp(CompressedImage(), stamp_ns)
    message.format = text
    message.data.frombytes(bytes(data))
    return message


def camera_info(stamp_ns, width=64, height=48):
    message = set_stamp(CameraInfo(), stamp_ns)
    message.width, message.height = width, height
    message.k = [50.0, 0.0, width / 2, 0.0, 50.0, height / 2, 0.0, 0.0, 1.0]
    message.p = [50.0, 0.0, width / 2, 0.0, 0.0, 50.0, height / 2, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


def send_tf(robot, parent, child, stamp_ns, pose, static=False):
    from tf2_msgs.msg import TFMessage

    if robot.tf is None:
        latched = QoSProfile(depth=10)
        latched.durability = rclpy.qos.DurabilityPolicy.TRANSIENT_LOCAL
        robot.tf = {
            False: robot.node.create_publisher(TFMessage, "/tf", QoSProfile(depth=100)),
            True: robot.node.create_publisher(TFMessage, "/tf_static", latched),
        }
    item = set_stamp(TransformStamped(), stamp_ns, parent)
    item.child_frame_id = child
    x, y, z = pose.translation
    item.transform.translation.x, item.transform.translation.y, item.transform.translation.z = (
        x,
        y,
        z,
    )
    q = item.transform.rotation
    q.x, q.y, q.z, q.w = pose.quaternion
    robot.tf[static].publish(TFMessage(transforms=[item]))


def stamp_of(header):
    return header.stamp.sec * 1_000_000_000 + header.stamp.nanosec


RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
