"""From camera topics to clips."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vega3d_ros.frames import ClipBuffer
from vega3d_ros.node.assembler import FrameAssembler
from vega3d_ros.node.inputs import Input
from vega3d_ros.node.tf import subscribe_transforms

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node

    from vega3d_ros.frames import Clip, Frame
    from vega3d_ros.node.health import Health
    from vega3d_ros.node.parameters import Parameters

FOLLOW_PERIOD_S = 0.2
ADVANCE_PERIOD_S = 0.05
_IMAGES = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage}
_INFOS = {"sensor_msgs/msg/CameraInfo": CameraInfo}


class Intake:
    """Subscribes to a camera, depth and transforms, and hands out a clip per new keyframe.

    Everything here runs on the executor's thread.

    Args:
        node: Owns subscriptions and timers.
        parameters: Those of the node.
        health: Told what arrives.
        submit: Gets every new clip, and when its newest image arrived (steady clock, ns).
        set_back: Called with a sentence when time was set back, before the image that showed it
            is taken in. Expected to call ``forget``.

    Attributes:
        transforms: The transform buffer; None where neither tf2_ros nor tf2_msgs is installed.
    """

    def __init__(
        self,
        node: Node,
        parameters: Parameters,
        health: Health,
        submit: Callable[[Clip, int], None],
        set_back: Callable[[str], None],
    ) -> None:
        self._node = node
        self._health = health
        self._submit = submit
        self._set_back = set_back
        self._kind: tuple[Any, ...] | None = None
        self._keyframe_ns: int | None = None
        self._buffer = ClipBuffer(
            parameters.clip_length, parameters.clip_capacity, parameters.keyframe_policy
        )
        self.transforms = subscribe_transforms(node, self._advance)
        self._assembler = FrameAssembler(
            parameters.fixed_frame,
            None if self.transforms is None else self.transforms.lookup,
            int(parameters.pair_tolerance_s * 1e9),
            int(parameters.wait_s * 1e9),
        )
        qos = parameters.image_qos
        self._inputs = {
            "camera_info": Input(node, "camera_info", _INFOS, self._on_camera_info),
            "depth": Input(node, "depth", _IMAGES, self._on_depth, qos),
            "image": Input(node, "image", _IMAGES, self._on_image, qos),
        }
        # Steady: simulated time may stand still or loop.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timers = [
            node.create_timer(FOLLOW_PERIOD_S, self._follow, clock=steady),
            node.create_timer(ADVANCE_PERIOD_S, self._advance, clock=steady),
        ]

    def facts(self) -> dict[str, Any]:
        """The fields of ``health.Facts`` that are known here."""
        return {
            **{name: item.facts() for name, item in self._inputs.items()},
            "drops": dict(self._assembler.drops),
            "lacks": dict(self._assembler.lacks),
            "details": dict(self._assembler.details),
            "has_transforms": self.transforms is not None,
            "posed": None if self._kind is None else bool(self._kind[2]),
            "has_camera": None if self._kind is None else bool(self._kind[3]),
        }

    def forget(self, *, transforms: bool = False) -> None:
        """Forget frames, and moving transforms too where time was set back."""
        self._buffer.clear()
        self._assembler.clear()
        self._kind = self._keyframe_ns = None
        if transforms and self.transforms is not None:
            self.transforms.clear()

    def close(self) -> None:
        """End the subscriptions and timers."""
        for timer in self._timers:
            self._node.destroy_timer(timer)
        for item in self._inputs.values():
            item.close()
        if self.transforms is not None:
            self.transforms.close()

    def _on_camera_info(self, msg: Any) -> None:
        self._health.tick("camera_info")
        self._assembler.add_camera_info(msg)

    def _on_depth(self, msg: Any) -> None:
        self._health.tick("depth")
        self._assembler.add_depth(msg, time.monotonic_ns())
        self._advance()

    def _on_image(self, msg: Any) -> None:
        self._health.tick("images")
        if self._assembler.jumps_back(msg):
            self._set_back("an image is older than the one before")
        self._assembler.add_image(msg, time.monotonic_ns())
        self._advance()

    def _follow(self) -> None:
        for item in self._inputs.values():
            item.follow()

    def _advance(self) -> None:
        for frame, arrival_ns in self._assembler.poll(time.monotonic_ns(), self._wants):
            self._take(frame, arrival_ns)

    def _wants(self, stamp_ns: int) -> bool:
        """Whether an image could become a keyframe at all; only such images are decoded."""
        if self._keyframe_ns is None:
            return True
        return stamp_ns - self._keyframe_ns >= self._buffer.policy.min_interval_s * 1e9

    def _take(self, frame: Frame, arrival_ns: int) -> None:
        has_camera = frame.camera is not None
        kind = (frame.image.shape, frame.frame_id, frame.fixed_frame, has_camera)
        if kind != self._kind:
            if self._kind is not None:
                self._node.get_logger().warning(
                    f"results are now in {frame.fixed_frame or frame.frame_id!r}, "
                    f"{'with' if has_camera else 'without'} 3D objects"
                )
            # One clip has one camera, one frame and one image size.
            self._buffer.clear()
            self._kind = kind
        if self._buffer.add(frame):
            self._health.tick("keyframes")
            self._keyframe_ns = frame.stamp_ns
            clip = self._buffer.clip()
            if clip is not None:
                self._submit(clip, arrival_ns)
