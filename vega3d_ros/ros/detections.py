"""Objects as vision_msgs detections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vision_msgs.msg import (
    BoundingBox3D,
    Detection3D,
    Detection3DArray,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
)

if TYPE_CHECKING:
    from vega3d_ros.msg import GroundedObjectArray


def detections_message(message: GroundedObjectArray) -> Detection3DArray:
    """The same objects: one header for all, and both ``results`` and ``bbox`` filled."""
    return Detection3DArray(
        header=message.header,
        detections=[
            Detection3D(
                header=message.header,
                results=[
                    ObjectHypothesisWithPose(
                        hypothesis=ObjectHypothesis(class_id=item.label, score=item.score),
                        pose=item.pose,
                    )
                ],
                bbox=BoundingBox3D(center=item.pose.pose, size=item.size),
                id=item.id,
            )
            for item in message.objects
        ],
    )
