from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from vega3d_ros.core.geometry import SE3
from vega3d_ros.sensing.transform_buffer import (
    CACHE_NS,
    NEWEST,
    TransformBuffer,
    TransformError,
    to_se3,
)
from vega3d_ros.sensing.transform_gate import GatedTransforms

S = 1_000_000_000


def shift(x, y=0.0, z=0.0):
    return SE3(np.eye(3), [x, y, z])


@st.composite
def poses(draw):
    numbers = st.floats(-5, 5, allow_nan=False)
    quaternion = draw(
        st.tuples(numbers, numbers, numbers, numbers).filter(lambda q: np.linalg.norm(q) > 0.1)
    )
    return SE3.from_quaternion(quaternion, draw(st.tuples(numbers, numbers, numbers)))


def close(a, b):
    np.testing.assert_allclose(a.matrix, b.matrix, atol=1e-9)


@given(a=poses(), b=poses(), fraction=st.floats(0, 1))
def test_between_samples_the_pose_is_on_the_line_and_on_the_arc(a, b, fraction):
    buffer = TransformBuffer()
    buffer.insert("map", "base", 0, a)
    buffer.insert("map", "base", S, b)
    stamp = round(fraction * S)
    found = buffer.lookup("map", "base", stamp)
    t = stamp / S
    np.testing.assert_allclose(
        found.translation, (1 - t) * a.translation + t * b.translation, atol=1e-9
    )
    arc = Slerp([0, 1], Rotation.from_matrix([a.rotation, b.rotation]))
    np.testing.assert_allclose(found.rotation, arc(t).as_matrix(), atol=1e-9)
    close(buffer.lookup("base", "map", stamp), found.inverse())


@given(a=poses(), b=poses(), c=poses())
def test_chains_go_up_and_down_the_tree(a, b, c):
    buffer = TransformBuffer()
    buffer.insert("map", "odom", 5 * S, a)
    buffer.insert("odom", "base", 5 * S, b)
    buffer.insert("base", "camera", 0, c, static=True)
    buffer.insert("odom", "other", 5 * S, c)
    close(buffer.lookup("map", "camera", 5 * S), a @ b @ c)
    close(buffer.lookup("camera", "base", 123), c.inverse())
    close(buffer.lookup("other", "camera", 5 * S), c.inverse() @ b @ c)
    close(buffer.lookup("camera", "camera", 7), SE3.identity())


def test_the_newest_is_the_last_that_all_transforms_between_have():
    buffer = TransformBuffer()
    for stamp in (5 * S, 6 * S, 7 * S):
        buffer.insert("map", "odom", stamp, shift(stamp / S))
    buffer.insert("odom", "base", 6 * S, shift(0.5))
    buffer.insert("base", "camera", 0, shift(0.0, 1.0), static=True)
    close(buffer.lookup("map", "camera", NEWEST), shift(6.5, 1.0))
    close(buffer.lookup("base", "camera", NEWEST), shift(0.0, 1.0))


def test_samples_may_arrive_in_any_order():
    buffer = TransformBuffer()
    for stamp in (3 * S, 1 * S, 2 * S):
        buffer.insert("map", "base", stamp, shift(stamp / S))
    assert buffer.lookup("map", "base", round(1.5 * S)).translation[0] == pytest.approx(1.5)
    assert buffer.newest_ns("base") == 3 * S
    assert buffer.newest_ns("nobody") is None


@pytest.mark.parametrize(
    ("stamp", "word", "may_come"),
    [(-S, "before", False), (S + 1, "after", True), (60 * S, "after", False)],
)
def test_nothing_is_extrapolated(stamp, word, may_come):
    buffer = TransformBuffer()
    buffer.insert("map", "base", 0, shift(0))
    buffer.insert("map", "base", S, shift(1))
    with pytest.raises(TransformError, match=word) as caught:
        buffer.lookup("map", "base", stamp)
    assert caught.value.may_come == may_come


def test_one_sample_holds_for_its_stamp_alone():
    buffer = TransformBuffer()
    buffer.insert("map", "base", S, shift(1))
    close(buffer.lookup("map", "base", S), shift(1))
    with pytest.raises(TransformError):
        buffer.lookup("map", "base", S + 1)


def test_unknown_and_unconnected_frames_are_named():
    buffer = TransformBuffer()
    buffer.insert("map", "base", 0, shift(1))
    buffer.insert("island", "tree", 0, shift(1))
    with pytest.raises(TransformError, match="'mars' is unknown"):
        buffer.lookup("mars", "base", 0)
    with pytest.raises(TransformError, match="not connected"):
        buffer.lookup("map", "tree", 0)
    buffer.insert("b", "a", 0, shift(1))
    buffer.insert("a", "b", 0, shift(1))
    with pytest.raises(TransformError, match="loop"):
        buffer.lookup("map", "a", 0)


def test_clear_keeps_what_holds_for_ever():
    buffer = TransformBuffer()
    buffer.insert("map", "base", S, shift(1))
    buffer.insert("base", "camera", 0, shift(2), static=True)
    buffer.clear()
    close(buffer.lookup("base", "camera", 99 * S), shift(2))
    with pytest.raises(TransformError):
        buffer.lookup("map", "base", S)


def test_old_samples_are_forgotten():
    buffer = TransformBuffer()
    for stamp in range(0, 3 * CACHE_NS, S // 2):
        buffer.insert("map", "base", stamp, shift(stamp / S))
    newest = buffer.newest_ns("base")
    assert len(buffer._edges["base"].stamps) < 45  # of 60; the cache holds 20
    buffer.lookup("map", "base", newest - CACHE_NS + S)
    with pytest.raises(TransformError):
        buffer.lookup("map", "base", newest - CACHE_NS - S)
    buffer.insert("map", "base", 0, shift(0))  # older than the cache: ignored
    with pytest.raises(TransformError):
        buffer.lookup("map", "base", 0)


def test_a_new_parent_starts_a_new_history():
    buffer = TransformBuffer()
    buffer.insert("map", "base", 0, shift(1))
    buffer.insert("odom", "base", S, shift(2))
    with pytest.raises(TransformError):
        buffer.lookup("map", "base", 0)
    close(buffer.lookup("odom", "base", S), shift(2))


def message(parent="map", child="base", quaternion=(0, 0, 0, 1), x=0.0, stamp_s=0):
    point = SimpleNamespace(x=x, y=0.0, z=0.0)
    turn = SimpleNamespace(**dict(zip("xyzw", map(float, quaternion), strict=True)))
    header = SimpleNamespace(frame_id=parent, stamp=SimpleNamespace(sec=stamp_s, nanosec=0))
    pose = SimpleNamespace(translation=point, rotation=turn)
    item = SimpleNamespace(header=header, child_frame_id=child, transform=pose)
    return SimpleNamespace(transforms=[item])


@pytest.mark.parametrize(
    "wrong",
    [
        {"child": "map"},
        {"child": ""},
        {"parent": ""},
        {"quaternion": (0, 0, 0, 0)},
        {"quaternion": (0, 0, 0, 7)},
        {"quaternion": (np.nan, 0, 0, 1)},
        {"x": np.inf},
    ],
)
def test_what_is_no_transform_is_refused_and_leaves_the_tree_as_it_was(wrong):
    buffer = GatedTransforms(TransformBuffer())
    assert buffer.insert(message(x=1.0), 0, static=False) == []
    (refusal,) = buffer.insert(message(**wrong), 0, static=False)
    assert "refused" in refusal
    close(buffer.lookup("map", "base", 0), shift(1))


def test_a_message_from_the_past_begins_anew():
    buffer = GatedTransforms(TransformBuffer())
    buffer.insert(message(stamp_s=100), 0, static=False)
    buffer.insert(message(parent="/map", stamp_s=1, x=2.0), 0, static=False)
    close(buffer.lookup("map", "base", S), shift(2))
    with pytest.raises(TransformError):
        buffer.lookup("map", "base", 100 * S)


@given(samples=st.lists(poses(), min_size=3, max_size=6), fraction=st.floats(0.01, 0.99))
def test_equal_to_tf2(samples, fraction):
    tf2 = pytest.importorskip("tf2_ros", reason="tf2_ros is not installed")
    from geometry_msgs.msg import TransformStamped
    from rclpy.time import Time

    real, own = tf2.BufferCore(), TransformBuffer()
    for index, sample in enumerate(samples):
        for parent, child in (("map", "odom"), ("odom", "base")):
            msg = TransformStamped()
            msg.header.frame_id, msg.child_frame_id = parent, child
            msg.header.stamp.sec = 100 + index
            q, t = msg.transform.rotation, msg.transform.translation
            q.x, q.y, q.z, q.w = (float(v) for v in sample.quaternion)
            t.x, t.y, t.z = (float(v) for v in sample.translation)
            real.set_transform(msg, "test")
            own.insert(parent, child, (100 + index) * S, sample)
    stamp = round((100 + fraction * (len(samples) - 1)) * S)
    expected = real.lookup_transform_core("map", "base", Time(nanoseconds=stamp))
    np.testing.assert_allclose(
        own.lookup("map", "base", stamp).matrix, to_se3(expected.transform).matrix, atol=1e-6
    )
    with pytest.raises(TransformError):
        own.lookup("map", "base", 99 * S)
    with pytest.raises(tf2.ExtrapolationException):
        real.lookup_transform_core("map", "base", Time(nanoseconds=99 * S))
