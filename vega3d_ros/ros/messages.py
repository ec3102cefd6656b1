"""Scenes, objects, answers, relations and diagnostics as ROS messages."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Point, Pose, PoseWithCovariance, Quaternion, Vector3
from std_msgs.msg import Header

from vega3d_ros.core.geometry import SE3
from vega3d_ros.core.stamps import time_fields
from vega3d_ros.msg import GroundedObject, GroundedObjectArray, SpatialAnswer, SpatialRelation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vega3d_ros.core.frames import Clip
    from vega3d_ros.core.geometry import Box3D
    from vega3d_ros.core.objects import Answer, SceneObject
    from vega3d_ros.perception.relations import Relation
    from vega3d_ros.ros.diagnostics import Diagnosis

UNKNOWN_ROTATION_RAD2 = math.pi**2


def time_message(stamp_ns: int) -> Time:
    """Nanoseconds as a stamp."""
    return Time(**time_fields(stamp_ns))


def duration_message(nanoseconds: int) -> Duration:
    """Nanoseconds as a duration."""
    return Duration(**time_fields(nanoseconds))


def header_message(clip: Clip, frame_id: str = "") -> Header:
    """Stamp of the clip's newest frame; frame of its results, or another they were brought to."""
    return Header(stamp=time_message(clip.stamp_ns), frame_id=frame_id or clip.output_frame)


def vector_message(values: NDArray[np.float64]) -> Vector3:
    """[3] as a vector."""
    x, y, z = (float(value) for value in values)
    return Vector3(x=x, y=y, z=z)


def pose_message(box: Box3D) -> Pose:
    """Centre and rotation of a box."""
    x, y, z = (float(value) for value in box.center)
    qx, qy, qz, qw = (float(value) for value in SE3(box.rotation, box.center).quaternion)
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))


def reframe(item: SceneObject, frame_id: str, target_from_source: SE3) -> SceneObject:
    """The object in another frame: box and covariance are transformed."""
    turn = np.kron(np.eye(2), target_from_source.rotation)
    return replace(
        item,
        box=item.box.transformed(target_from_source),
        covariance=turn @ item.covariance @ turn.T,
        frame_id=frame_id,
    )


def object_message(item: SceneObject) -> GroundedObject:
    """One object; its frame is in the header of the message that holds it."""
    covariance = np.array(item.covariance, np.float64)
    if not item.orientation_estimated:
        covariance[3:, :] = covariance[:, 3:] = 0.0
        covariance[3:, 3:] = np.eye(3) * UNKNOWN_ROTATION_RAD2
    return GroundedObject(
        id=item.id,
        label=item.label,
        query=item.query,
        score=float(item.score),
        last_seen=time_message(item.stamp_ns),
        pose=PoseWithCovariance(
            pose=pose_message(item.box), covariance=covariance.reshape(-1).tolist()
        ),
        size=vector_message(item.box.size),
        orientation_estimated=bool(item.orientation_estimated),
        observations=max(1, int(item.observations)),
        depth_coverage=float(item.depth_coverage),
        source=item.source,
    )


def object_messages(objects: Sequence[SceneObject]) -> list[GroundedObject]:
    """Objects by falling score."""
    return [object_message(item) for item in sorted(objects, key=lambda item: -item.score)]


def objects_message(
    clip: Clip,
    objects: Sequence[SceneObject],
    *,
    queries: Sequence[str],
    model: str,
    sequence: int,
    latency_ns: int,
) -> GroundedObjectArray:
    """What one clip showed."""
    return GroundedObjectArray(
        header=header_message(clip),
        clip_start=time_message(clip.start_ns),
        clip_frames=len(clip),
        latency=duration_message(latency_ns),
        sequence=sequence,
        model=model,
        queries=list(queries),
        objects=object_messages(objects),
    )


def answer_message(
    clip: Clip, answer: Answer, header: Header, *, model: str, sequence: int, latency_ns: int
) -> SpatialAnswer:
    """An answer about a clip; ``header`` names the frame that its objects were brought to."""
    return SpatialAnswer(
        header=header,
        clip_start=time_message(clip.start_ns),
        clip_frames=len(clip),
        latency=duration_message(latency_ns),
        sequence=sequence,
        model=model,
        question=answer.question,
        answer=answer.text,
        confidence=float(answer.confidence),
        objects=object_messages(answer.objects),
        source=answer.source,
    )


def relation_message(
    relation: Relation, pair: Sequence[SceneObject], header: Header
) -> SpatialRelation:
    """A relation; ``pair`` is its subject and object with their names over time."""
    subject, other = pair
    return SpatialRelation(
        header=header,
        subject_id=subject.id,
        subject_label=subject.label,
        object_id=other.id,
        object_label=other.label,
        viewpoint=relation.viewpoint,
        predicates=list(relation.predicates),
        confidence=float(relation.confidence),
        distance_m=float(relation.distance_m),
        center_distance_m=float(relation.center_distance_m),
        offset=vector_message(relation.offset_m),
        subject_distance_m=float(relation.subject_distance_m),
        subject_bearing_rad=float(relation.subject_bearing_rad),
    )


def diagnostics_message(
    node_name: str, stamp: Time, diagnoses: Sequence[Diagnosis]
) -> DiagnosticArray:
    """The diagnostics of a node; ``node_name`` is its fully qualified name."""
    message = DiagnosticArray()
    message.header.stamp = stamp
    message.status = [
        DiagnosticStatus(
            level=bytes([item.level]),
            name=f"{node_name.lstrip('/')}: {item.name}",
            message=item.message,
            hardware_id=item.hardware,
            values=[KeyValue(key=key, value=value) for key, value in item.values.items()],
        )
        for item in diagnoses
    ]
    return message
