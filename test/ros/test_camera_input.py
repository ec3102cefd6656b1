"""Cameras into the node: calibrations are found, parameters count, and what lacks is told."""

from __future__ import annotations

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from robot_harness import camera_info, send_tf, stamped
from sensor_msgs.msg import CameraInfo, Image
from support.patience import wait_until

from vega3d_ros.core.geometry import SE3
from vega3d_ros.perception.settings import Parameters
from vega3d_ros.ros.camera_input import CameraInput
from vega3d_ros.ros.diagnostics import Facts, Statistics, diagnose

pytestmark = pytest.mark.ros

COLOUR = "camera_optical"


class Worker:
    """Keeps what it is given."""

    def __init__(self):
        self.clips = []

    def submit_clip(self, clip, arrival_ns):
        self.clips.append(clip)

    def withdraw_clip(self):
        return False


class DepthRig:
    """A colour camera, and a depth camera of half its size, in one process with its listener."""

    def __init__(self, domain, remaps, **parameters):
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        arguments = ["--ros-args", *(part for pair in remaps for part in ("-r", ":=".join(pair)))]
        self.listener = rclpy.create_node(
            "listener", context=self.context, namespace="/cam", cli_args=arguments
        )
        self.node = rclpy.create_node("rig", context=self.context, namespace="/cam")
        self.executor = SingleThreadedExecutor(context=self.context)
        for node in (self.listener, self.node):
            self.executor.add_node(node)
        self.worker, self.statistics, self.tf = Worker(), Statistics(), None
        self.input = CameraInput(
            self.listener,
            Parameters(**{"fixed_frame": "", **parameters}),
            self.statistics,
            self.worker,
            lambda _: None,
        )
        create = self.node.create_publisher
        self.bent, self.frame_id = False, COLOUR
        self.image = create(
            Image, self.listener.resolve_topic_name("image"), qos_profile_sensor_data
        )
        self.info = create(CameraInfo, "camera_info", 10)
        self.depth = create(Image, "/ir/image_raw", qos_profile_sensor_data)
        self.stamp_ns = 10**12

    def calibrate(self, topic):
        self.depth_info = self.node.create_publisher(CameraInfo, topic, 10)

    def publish(self):
        self.stamp_ns += 100_000_000
        message = camera_info(self.stamp_ns)
        if self.bent:
            message.distortion_model, message.d = "plumb_bob", [-0.3, 0.1, 0.0, 0.0, 0.0]
        self.info.publish(message)
        if hasattr(self, "depth_info"):
            message = camera_info(self.stamp_ns, 32, 24)
            message.header.frame_id = "ir"
            message.k[0] = message.k[4] = message.p[0] = message.p[5] = 25.0
            self.depth_info.publish(message)
        send_tf(self, COLOUR, "ir", self.stamp_ns, SE3.identity(), static=True)
        depth = np.full((24, 32), 2.0, np.float32)
        self.depth.publish(stamped(depth, "32FC1", self.stamp_ns, "ir"))
        pixels = np.zeros((48, 64, 3), np.uint8)
        self.image.publish(stamped(pixels, "rgb8", self.stamp_ns, self.frame_id))

    def until(self, condition, what):
        def spin(timeout_s):
            self.publish()
            for _ in range(20):
                self.executor.spin_once(timeout_sec=timeout_s / 10)

        return wait_until(condition, what, step=spin)

    def close(self):
        self.input.close()
        self.executor.shutdown()
        for node in (self.listener, self.node):
            node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def rig(domain):
    made = []

    def make(*remaps, **parameters):
        made.append(DepthRig(domain, [("depth", "/ir/image_raw"), *remaps], **parameters))
        return made[-1]

    yield make
    for one in made:
        one.close()


def with_depth(one):
    frames = (clip.frames[-1] for clip in one.worker.clips)
    return next((frame for frame in frames if frame.depth_m is not None), None)


@pytest.mark.parametrize(
    ("topic", "remaps"),
    [
        ("/ir/camera_info", []),
        ("/elsewhere/info", [("depth_camera_info", "/elsewhere/info")]),
    ],
)
def test_depth_of_another_lens_is_reprojected_with_the_calibration_that_is_found(
    rig, topic, remaps
):
    one = rig(*remaps)
    one.calibrate(topic)
    frame = one.until(lambda: with_depth(one), "a frame with depth")
    assert frame.depth_m.shape == (48, 64)
    assert np.nanmin(frame.depth_m) == np.nanmax(frame.depth_m) == 2.0
    assert np.isfinite(frame.depth_m).mean() > 0.9
    assert one.input.facts()["depth_camera_info"].topic == topic


def test_depth_of_another_lens_without_calibration_is_left_out_and_told(rig):
    one = rig()
    one.until(lambda: one.input.facts()["lacks"].get("unregistered depth"), "a refusal")
    assert all(frame.depth_m is None for clip in one.worker.clips for frame in clip.frames)
    told = diagnose(Facts(active=True, **one.input.facts()))[0]
    assert "/ir/image_raw is 32x24 in 'ir'" in told.message
    assert "/ir/camera_info" in told.message
    assert int(told.values["missing: unregistered depth"]) >= 1


def newest(one):
    return next((clip.frames[-1] for clip in one.worker.clips), None)


@pytest.mark.parametrize(("topic", "undistorted"), [("image_raw", True), ("image_rect", False)])
def test_raw_images_are_undistorted_and_rectified_ones_are_not(rig, topic, undistorted):
    one = rig(("image", f"/cam/{topic}"))
    one.bent = True
    frame = one.until(lambda: newest(one), "a frame")
    assert (frame.camera.fx < 50.0) == undistorted
    assert ("calibration" in one.statistics.snapshot()) == undistorted


def test_the_scale_and_frame_that_the_parameters_name_are_used_live(rig):
    """Depth of 2 units of 0.5 m, of the same camera, whose frame has another name."""
    one = rig(camera_frame="named_optical", depth_scale=0.5)
    one.calibrate("/ir/camera_info")
    one.until(lambda: newest(one), "a frame")
    assert newest(one).frame_id == "named_optical"
    send_tf(one, "named_optical", COLOUR, one.stamp_ns, SE3.identity(), static=True)
    frame = one.until(lambda: with_depth(one), "a frame with depth")
    assert np.nanmedian(frame.depth_m) == 1.0


def told(one):
    """The status `input` of the diagnostics."""
    return diagnose(Facts(active=True, **one.input.facts()))[0]


def test_implausible_depth_is_told_in_diagnostics(rig):
    one = rig(depth_scale=0.001)
    one.calibrate("/ir/camera_info")
    one.until(lambda: "depth_scale" in told(one).message, "a remedy")
    assert int(told(one).values["missing: implausible depth"]) >= 1
    assert "implausible depth" in one.statistics.snapshot()


def test_images_in_the_cameras_body_are_told_in_diagnostics(rig):
    one = rig(fixed_frame="map")
    turned = SE3([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], np.zeros(3))
    one.frame_id = "camera_body"
    send_tf(one, "map", "camera_body", one.stamp_ns, SE3.identity(), static=True)
    send_tf(one, "camera_body", "side_optical", one.stamp_ns, turned, static=True)
    one.until(lambda: "set the parameter camera_frame to side_optical" in told(one).message,
              "a remedy")  # fmt: skip
