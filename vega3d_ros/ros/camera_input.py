"""From camera topics to clips."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vega3d_ros.ros.adaptive_subscription import AdaptiveSubscription
from vega3d_ros.ros.diagnostics import KEYFRAMES, SKIPPED
from vega3d_ros.ros.tf import subscribe_transforms
from vega3d_ros.sensing.clip_builder import ClipBuilder
from vega3d_ros.sensing.depth_registration import camera_info_beside

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node

    from vega3d_ros.core.frames import KeyframePolicy
    from vega3d_ros.perception.settings import Parameters
    from vega3d_ros.perception.worker import Worker
    from vega3d_ros.ros.diagnostics import Statistics

FOLLOW_PERIOD_S = 0.2
ADVANCE_PERIOD_S = 0.1
_IMAGES = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage}
_INFOS = {"sensor_msgs/msg/CameraInfo": CameraInfo}


class CameraInput:
    """Subscribes to a camera, depth and transforms, and gives a clip per keyframe to a worker.

    Everything here runs on the executor's thread.

    Args:
        node: Owns subscriptions and timers.
        parameters: Those of the node.
        statistics: Counts messages and keyframes.
        worker: Gets the clips. A keyframe whose clip the worker had not begun with when the next
            one came is skipped and counted.
        on_rewind: Called with a sentence when time was set back, before the image that showed it
            is taken in. Expected to call ``forget``.

    Attributes:
        transforms: The transforms; None where tf2_msgs is not installed.
    """

    def __init__(
        self,
        node: Node,
        parameters: Parameters,
        statistics: Statistics,
        worker: Worker,
        on_rewind: Callable[[str], None],
    ) -> None:
        self._node = node
        self._statistics = statistics
        self._worker = worker
        self.transforms = subscribe_transforms(node, self._advance)
        self._clips = ClipBuilder(
            parameters.clip_settings,
            None if self.transforms is None else self.transforms.lookup,
            on_rewind,
            node.get_logger().warning,
            withdraw=self._withdraw,
            below=None if self.transforms is None else self.transforms.below,
            on_note=self._on_note,
        )
        qos = parameters.image_qos
        self._subscriptions = {
            "camera_info": AdaptiveSubscription(node, "camera_info", _INFOS, self._on_camera_info),
            "depth": AdaptiveSubscription(node, "depth", _IMAGES, self._on_depth, qos),
            "image": AdaptiveSubscription(node, "image", _IMAGES, self._on_image, qos),
        }
        self._clips.assembler.calibration.topic = self._subscriptions["image"].topic
        self._follow_depth_calibration()
        # Steady: simulated time may stand still or loop.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timers = [
            node.create_timer(FOLLOW_PERIOD_S, self._follow, clock=steady),
            node.create_timer(ADVANCE_PERIOD_S, self._advance, clock=steady),
        ]

    def facts(self) -> dict[str, Any]:
        """The fields of ``diagnostics.Facts`` that are known here."""
        assembler, kind = self._clips.assembler, self._clips.kind
        return {
            **{name: item.facts() for name, item in self._subscriptions.items()},
            "drops": dict(assembler.drops),
            "lacks": dict(assembler.lacks),
            "details": dict(assembler.details),
            "unpaired_depth": assembler.depth_offsets.warning(),
            "late_transforms": assembler.pose_delays.warning(),
            "has_transforms": self.transforms is not None,
            "posed": None if kind is None else bool(kind[2]),
            "has_camera": None if kind is None else bool(kind[3]),
        }

    def choose(self, policy: KeyframePolicy) -> None:
        """Choose keyframes differently from now on."""
        self._clips.policy = policy

    def forget(self, *, transforms: bool = False) -> None:
        """Forget frames, and moving transforms too where time was set back."""
        self._clips.forget()
        if transforms and self.transforms is not None:
            self.transforms.rewind()

    def close(self) -> None:
        """End the subscriptions and timers."""
        for timer in self._timers:
            self._node.destroy_timer(timer)
        for item in self._subscriptions.values():
            item.close()
        if self.transforms is not None:
            self.transforms.close()

    def _follow_depth_calibration(self) -> None:
        """Listen to depth's own calibration: where it is remapped to, else beside depth."""
        depth = self._subscriptions["depth"].topic
        name = "depth_camera_info"
        expanded = self._node.resolve_topic_name(name, only_expand=True)
        topic = self._node.resolve_topic_name(name)
        if topic == expanded:
            topic = camera_info_beside(depth)
        self._clips.assembler.registration.name_topics(depth, topic)
        if topic != self._subscriptions["camera_info"].topic:  # which is not depth's
            self._subscriptions[name] = AdaptiveSubscription(
                self._node, topic, _INFOS, self._on_depth_camera_info
            )

    def _on_note(self, subject: str, text: str) -> None:
        self._statistics.note(subject, text)
        self._node.get_logger().warning(f"{subject}: {text}")

    def _on_camera_info(self, msg: Any) -> None:
        self._statistics.tick("camera_info")
        self._clips.assembler.add_camera_info(msg)

    def _on_depth_camera_info(self, msg: Any) -> None:
        self._clips.assembler.registration.add_camera_info(msg)

    def _on_depth(self, msg: Any) -> None:
        self._statistics.tick("depth")
        self._clips.assembler.add_depth(msg, time.monotonic_ns())
        self._advance()

    def _on_image(self, msg: Any) -> None:
        self._statistics.tick("images")
        self._clips.assembler.depth_expected = self._subscriptions["depth"].is_published
        self._clips.add_image(msg, time.monotonic_ns())
        self._advance()

    def _follow(self) -> None:
        for item in self._subscriptions.values():
            item.follow()

    def _advance(self) -> None:
        for clip, arrival_ns in self._clips.advance(time.monotonic_ns()):
            self._statistics.tick(KEYFRAMES)
            self._worker.submit_clip(clip, arrival_ns)

    def _withdraw(self) -> bool:
        skipped = self._worker.withdraw_clip()
        if skipped:
            self._statistics.tick(SKIPPED)
        return skipped
