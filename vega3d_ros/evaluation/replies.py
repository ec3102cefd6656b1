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

    from vega3d_ros.evaluation.question_file import Question, RelationQuestion


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer to a question.

    Attributes:
        question: The question.
        asked_at_s: When it was asked, seconds of the recording.
        text: The answer; empty after an error.
        confidence: The model's confidence.
        latency_ms: From the request to the reply, as the client measures it.
        error: Why there is no answer; empty on success.
        stamp_ns: Stamp of the newest image of the scene; 0 without a scene.
    """

    question: Question
    asked_at_s: float
    text: str
    confidence: float
    latency_ms: float
    error: str = ""
    stamp_ns: int = 0


@dataclass(frozen=True, kw_only=True)
class RelationReply:
    """The relation of two objects.

    Attributes:
        question: The question.
        asked_at_s: When it was asked, seconds of the recording.
        predicates: All predicates that hold.
        distance_m: Distance between the closest points.
        latency_ms: From the request to the reply, as the client measures it.
        stamp_ns: Stamp of the newest image of the scene, whose camera is the viewpoint.
        error: Why there is no answer; empty on success.
    """

    question: RelationQuestion
    asked_at_s: float
    predicates: tuple[str, ...]
    distance_m: float
    latency_ms: float
    stamp_ns: int
    error: str = ""


@dataclass(kw_only=True)
class RunResult:
    """The results of a live run.

    Attributes:
        replies: Answers, in the order of asking.
        relations: Relations, in the order of asking.
        mapped_objects: Objects in the node's map at the end, in ``fixed_frame``.
        fixed_frame: Frame of ``mapped_objects``.
        played_s: Seconds of the recording that were played.
        published: Messages sent, by topic.
        recorded: Messages received from the node, by topic.
        worst_delay_s: Greatest delay of a sent message.
        ready_s: Seconds until the node was active.
    """

    replies: list[Reply] = field(default_factory=list)
    relations: list[RelationReply] = field(default_factory=list)
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
