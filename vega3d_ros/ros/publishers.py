"""What the node publishes for a scene."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sensor_msgs.msg import Image
from visualization_msgs.msg import MarkerArray

from vega3d_ros.core.objects import publishable
from vega3d_ros.msg import GroundedObjectArray, SpatialAnswer
from vega3d_ros.ros.markers import marker_array
from vega3d_ros.ros.messages import header_message, objects_message, time_message
from vega3d_ros.ros.qos import qos
from vega3d_ros.sensing.image_decoding import fill_image
from vega3d_ros.viz.drawing import draw_gate, draw_objects

try:
    from vision_msgs.msg import Detection3DArray

    from vega3d_ros.ros.detections import detections_message
except ImportError:
    Detection3DArray = None

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from rclpy.lifecycle import LifecycleNode

    from vega3d_ros.core.frames import Frame
    from vega3d_ros.core.objects import SceneObject
    from vega3d_ros.perception.worker import SceneState
    from vega3d_ros.ros.diagnostics import Statistics


class Publishers:
    """The node's publishers. ``publish`` may be called from any one thread at a time.

    Args:
        node: Owns the publishers.
        statistics: Counts objects that are left out.
        model: Name of the model, for the messages.
        min_score: Objects of a lower score are left out.
    """

    def __init__(
        self, node: LifecycleNode, statistics: Statistics, model: str, min_score: float
    ) -> None:
        self._node = node
        self._statistics = statistics
        self.model = model
        self.min_score = min_score
        create = node.create_lifecycle_publisher
        self._objects = create(GroundedObjectArray, "~/objects", 10)
        self._answers = create(SpatialAnswer, "~/answers", 10)
        self._markers = create(MarkerArray, "~/markers", qos(1, latched=True))
        self._debug_image = create(Image, "~/debug_image", 1)
        self._gate_image = create(Image, "~/gate_image", 1)
        self._all = [self._objects, self._answers, self._markers]
        self._all += [self._debug_image, self._gate_image]
        self._detections: Any = None
        if Detection3DArray is None:
            node.get_logger().info("vision_msgs is not installed: ~/detections is not published")
        else:
            self._detections = create(Detection3DArray, "~/detections", 10)
            self._all.append(self._detections)

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in self._all:
            self._node.destroy_lifecycle_publisher(publisher)

    def fit(self, objects: Sequence[SceneObject], frame_id: str) -> tuple[SceneObject, ...]:
        """The objects to send: of a high enough score, in the message's frame, and valid."""
        chosen, invalid = publishable(objects, frame_id, self.min_score)
        for item, reason in invalid:
            self._statistics.count("objects not published")
            self._node.get_logger().warning(
                f"object {item.label!r} left out: {reason}", throttle_duration_sec=10.0
            )
        return chosen

    def publish(self, state: SceneState) -> None:
        """Publish a scene; the images only where they are subscribed to."""
        clip = state.scene.clip
        objects = self.fit(state.objects, clip.output_frame)
        latency_ns = time.monotonic_ns() - state.arrival_ns
        message = objects_message(
            clip,
            objects,
            queries=state.queries,
            model=self.model,
            sequence=state.sequence,
            latency_ns=latency_ns,
        )
        self._objects.publish(message)
        self._statistics.note("latency image to objects", f"{latency_ns * 1e-6:.0f} ms")
        if self._detections is not None:
            self._detections.publish(detections_message(message))
        self._markers.publish(marker_array(objects, message.header))
        frame = clip.frames[-1]
        if self._debug_image.get_subscription_count():
            self._publish_picture(
                self._debug_image, draw_objects(frame.picture, objects, frame), frame
            )
        gate = state.scene.gate
        if gate is not None and self._gate_image.get_subscription_count():
            picture = draw_gate(frame.picture, gate[-1])
            self._publish_picture(self._gate_image, picture, frame)

    def publish_answer(self, answer: SpatialAnswer) -> None:
        """Publish an answer that a client got."""
        self._answers.publish(answer)

    def clear_markers(self, state: SceneState) -> None:
        """Remove the markers of a scene from RViz."""
        self._markers.publish(marker_array((), header_message(state.scene.clip)))

    def _publish_picture(self, publisher: Any, picture: NDArray[np.uint8], frame: Frame) -> None:
        message = Image()
        message.header.stamp = time_message(frame.stamp_ns)
        message.header.frame_id = frame.frame_id
        fill_image(message, picture, "rgb8")
        publisher.publish(message)
