from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vega3d_ros.core.frames import Camera, Clip, Frame
from vega3d_ros.core.geometry import SE3, Box3D
from vega3d_ros.core.objects import Answer, SceneObject, why_unfit
from vega3d_ros.core.stamps import nanoseconds
from vega3d_ros.perception.relations import Relation
from vega3d_ros.ros.markers import marker_array
from vega3d_ros.ros.messages import (
    answer_message,
    duration_message,
    header_message,
    object_message,
    objects_message,
    reframe,
    relation_message,
    time_message,
)

STAMP = 1_700_000_000_123_456_789


def thing(**fields):
    values = {
        "label": "chair",
        "query": "a chair",
        "score": 0.8,
        "box": Box3D.upright([1, 2, 3], [0.4, 0.5, 0.6], 0.3),
        "frame_id": "map",
        "stamp_ns": STAMP,
        "covariance": np.diag([0.1, 0.2, 0.3, 0.01, 0.02, 0.03]),
        "orientation_estimated": True,
        "observations": 3,
        "depth_coverage": 0.5,
        "source": "depth",
        "id": "chair-1",
    }
    return SceneObject(**(values | fields))


def clip(posed=True):
    camera = Camera(width=6, height=4, fx=5.0, fy=5.0, cx=3.0, cy=2.0)
    pose = {"pose": SE3.identity(), "fixed_frame": "map"} if posed else {}
    return Clip(
        tuple(
            Frame(STAMP - back, np.zeros((4, 6, 3), np.uint8), "camera", camera, **pose)
            for back in (2_000_000_000, 0)
        )
    )


@given(st.integers(0, 2**31 * 10**9 - 1))
def test_times_are_exact(time_ns):
    message = time_message(time_ns)
    assert message.sec * 10**9 + message.nanosec == time_ns
    assert nanoseconds(duration_message(time_ns)) == time_ns


def test_an_object_keeps_every_value():
    item = thing()
    message = object_message(item)
    assert (message.id, message.label, message.query) == ("chair-1", "chair", "a chair")
    assert message.score == pytest.approx(0.8)
    assert message.last_seen == time_message(STAMP)
    assert (message.observations, message.depth_coverage) == (3, 0.5)
    assert message.source == "depth"
    pose = message.pose.pose
    q = pose.orientation
    found = SE3.from_quaternion(
        [q.x, q.y, q.z, q.w], [pose.position.x, pose.position.y, pose.position.z]
    )
    np.testing.assert_allclose(found.rotation, item.box.rotation, atol=1e-9)
    np.testing.assert_allclose(found.translation, item.box.center)
    assert (message.size.x, message.size.y, message.size.z) == (0.4, 0.5, 0.6)
    np.testing.assert_allclose(np.reshape(message.pose.covariance, (6, 6)), item.covariance)


def test_an_unknown_heading_has_the_variance_of_any_heading():
    covariance = np.eye(6) + 0.1
    message = object_message(thing(orientation_estimated=False, covariance=covariance))
    written = np.reshape(message.pose.covariance, (6, 6))
    np.testing.assert_allclose(written[3:, 3:], np.eye(3) * np.pi**2)
    np.testing.assert_allclose(written[:3, :3], covariance[:3, :3])
    assert not written[:3, 3:].any()
    assert not message.orientation_estimated


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"label": ""}, "label"),
        ({"frame_id": ""}, "frame"),
        ({"score": 1.2}, "score"),
        ({"score": float("nan")}, "score"),
        ({"covariance": np.zeros((6, 6))}, "variances"),
        ({"covariance": np.eye(6) * 1e12}, "variances"),
        ({"covariance": np.full((6, 6), np.nan)}, "finite"),
        ({"covariance": np.eye(3)}, "6x6"),
    ],
)
def test_what_consumers_would_refuse_is_not_sent(fields, word):
    assert why_unfit(thing()) == ""
    assert word in why_unfit(thing(**fields))


def test_reframe_turns_box_and_covariance_alike():
    turn = SE3(Rotation.from_euler("z", 30, degrees=True).as_matrix(), [10.0, 0.0, 0.0])
    item = reframe(thing(), "odom", turn)
    assert item.frame_id == "odom"
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    np.testing.assert_allclose(item.box.center, [10 + c - 2 * s, s + 2 * c, 3.0], atol=1e-9)
    crossed = c * s * (0.1 - 0.2)  # the longer y axis now leans towards -x
    place = [[0.1 * c * c + 0.2 * s * s, crossed, 0], [crossed, 0.1 * s * s + 0.2 * c * c, 0]]
    np.testing.assert_allclose(item.covariance[:2, :3], place, atol=1e-12)
    np.testing.assert_allclose(item.covariance[3:5, 3:], np.array(place) / 10, atol=1e-12)
    back = reframe(item, "map", turn.inverse())
    np.testing.assert_allclose(back.box.corners, thing().box.corners, atol=1e-9)
    np.testing.assert_allclose(back.covariance, thing().covariance, atol=1e-12)


@pytest.mark.parametrize("posed", [True, False])
def test_arrays_carry_the_stamp_and_frame_of_their_clip(posed):
    looked_at = clip(posed)
    weak, strong = thing(score=0.3), thing(score=0.9, id="chair-2")
    message = objects_message(
        looked_at,
        [weak, strong],
        queries=["chair"],
        model="nano",
        sequence=4,
        latency_ns=1_500_000_000,
    )
    assert message.header.stamp == time_message(STAMP)
    assert message.header.frame_id == ("map" if posed else "camera")
    assert message.clip_start == time_message(STAMP - 2_000_000_000)
    assert (message.clip_frames, message.sequence, message.model) == (2, 4, "nano")
    assert (message.latency.sec, message.latency.nanosec) == (1, 500_000_000)
    assert [item.id for item in message.objects] == ["chair-2", "chair-1"]


def test_answers_and_relations():
    looked_at = clip()
    header = header_message(looked_at, "odom")
    answer = Answer("how many?", "one", 0.5, (thing(),), STAMP, source="measured")
    message = answer_message(looked_at, answer, header, model="nano", sequence=2, latency_ns=7)
    assert message.header.frame_id == "odom"
    assert message.header.stamp == time_message(STAMP)
    assert (message.question, message.answer, message.confidence) == ("how many?", "one", 0.5)
    assert message.objects[0].id == "chair-1"
    assert message.source == "measured"

    pair = (thing(), thing(label="lamp", id="lamp-1"))
    relation = Relation(
        subject=pair[0],
        object=pair[1],
        viewpoint="camera",
        predicates=("left of",),
        confidence=0.7,
        distance_m=1.0,
        center_distance_m=1.5,
        offset_m=np.array([0.1, 1.4, 0.0]),
        subject_distance_m=2.0,
        subject_bearing_rad=0.3,
    )
    message = relation_message(relation, pair, header)
    assert (message.subject_id, message.object_label) == ("chair-1", "lamp")
    assert list(message.predicates) == ["left of"]
    assert (message.distance_m, message.center_distance_m) == (1.0, 1.5)
    assert (message.offset.x, message.offset.y) == (0.1, 1.4)
    assert message.subject_bearing_rad == pytest.approx(0.3)


def test_markers_begin_with_the_deletion_of_those_before():
    header = header_message(clip())
    markers = marker_array([thing(), replace(thing(), id="")], header).markers
    assert [m.action for m in markers] == [3, 0, 0, 0, 0]
    assert all(m.header == header for m in markers)
    assert len({(m.ns, m.id) for m in markers[1:]}) == 4
    assert markers[2].text.startswith("chair-1")
    assert markers[4].text.startswith("chair 0.80")
    assert marker_array((), header).markers[0].action == 3


def test_detections_fill_both_places_alike():
    pytest.importorskip("vision_msgs", reason="vision_msgs is not installed")
    from vega3d_ros.ros.detections import detections_message

    message = objects_message(clip(), [thing()], queries=[], model="", sequence=1, latency_ns=0)
    detections = detections_message(message)
    (item,) = detections.detections
    assert detections.header == item.header == message.header
    assert item.id == "chair-1"
    assert item.results[0].hypothesis.class_id == "chair"
    assert item.results[0].pose == message.objects[0].pose
    assert item.bbox.center == message.objects[0].pose.pose
    assert item.bbox.size == message.objects[0].size
