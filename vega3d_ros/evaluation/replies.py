"""The replies and objects of a run, in plain values without ROS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from vega3d_ros.core.geometry import Box3D
from vega3d_ros.core.objects import SceneObject
from vega3d_ros.core.stamps import nanoseconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vega3d_ros.evaluation.schema import Prediction


@dataclass(kw_only=True)
class RunResult:
    """The results of a live run.

    Attributes:
        replies: In the order of asking.
        mapped_objects: Objects in the node's map at the end, in ``fixed_frame``.
        fixed_frame: Frame of ``mapped_objects``.
        played_s: Seconds of the recording that were played.
        published: Messages sent, by topic.
        recorded: Messages received from the node, by topic.
        worst_delay_s: Greatest delay of a sent message.
        ready_s: Seconds until the node was active.
    """

    replies: list[Prediction] = field(default_factory=list)
    mapped_objects: tuple[SceneObject, ...] = ()
    fixed_frame: str = ""
    played_s: float = 0.0
    published: dict[str, int] = field(default_factory=dict)
    recorded: dict[str, int] = field(default_factory=dict)
    worst_delay_s: float = 0.0
    ready_s: float = 0.0


def scene_objects(messages: Iterable[Any], frame_id: str) -> tuple[SceneObject, ...]:
    """Objects from GroundedObject messages of rclpy or rosbags, in the frame of their header."""
    return tuple(_scene_object(message, frame_id) for message in messages)


def seconds(duration: Any) -> float:
    """A Time or Duration message in seconds."""
    return float(duration.sec) + float(duration.nanosec) * 1e-9


def _scene_object(message: Any, frame_id: str) -> SceneObject:
    return SceneObject(
        label=message.label,
        query=message.query,
        score=float(message.score),
        box=Box3D.from_message(message.pose.pose, message.size),
        frame_id=frame_id,
        stamp_ns=nanoseconds(message.last_seen),
        covariance=np.array(message.pose.covariance, np.float64).reshape(6, 6),
        orientation_estimated=bool(message.orientation_estimated),
        observations=int(message.observations),
        depth_coverage=float(message.depth_coverage),
        id=message.id,
        source=getattr(message, "source", ""),  # older recordings do not have it
    )
