"""Tests of the memory: names that stay, poses that gather, limits that hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vega3d_ros.core.geometry import Box3D
from vega3d_ros.core.objects import SceneObject
from vega3d_ros.perception.object_map import ObjectMap, ObjectMapOrderError, fuse

pytestmark = pytest.mark.numeric


def thing(label="chair", center=(0.0, 0.0, 0.5), size=(0.5, 0.6, 1.0), yaw=0.0, **changes):
    values = {
        "score": 0.8,
        "frame_id": "map",
        "stamp_ns": 0,
        "covariance": np.diag([0.04] * 3 + [0.1] * 3),
        "orientation_estimated": True,
        "observations": 3,
        "depth_coverage": 1.0,
    }
    return SceneObject(
        label=label, query=label, box=Box3D.upright(center, size, yaw), **(values | changes)
    )


def ids(objects):
    return [found.id for found in objects]


def test_names_count_per_label_and_stay():
    memory = ObjectMap()
    first = memory.update(
        [thing(), thing(center=(3, 0, 0.5)), thing("coffee table", (0, 2, 0.2))], 0
    )
    assert ids(first) == ["chair-1", "chair-2", "coffee_table-1"]
    # In another order, a little moved.
    second = memory.update(
        [
            thing("coffee table", (0.1, 2, 0.2), stamp_ns=1),
            thing(center=(3.1, 0, 0.5), stamp_ns=1),
            thing(center=(0.1, 0.1, 0.5), stamp_ns=1),
        ],
        1,
    )
    assert ids(second) == ["coffee_table-1", "chair-2", "chair-1"]
    assert ids(memory.objects) == ["chair-1", "chair-2", "coffee_table-1"]


def test_a_track_says_what_most_of_its_pose_rests_on():
    measured = thing(source="depth", covariance=np.eye(6) * 1e-4, alternatives=(("stool", 0.2),))
    learned = thing(source="head", covariance=np.eye(6))
    for order in ((measured, learned), (learned, measured)):
        objects = ObjectMap()
        for stamp_ns, one in enumerate(order):
            objects.update([replace(one, stamp_ns=stamp_ns)], stamp_ns)
        (track,) = objects.objects
        assert track.source == "depth"
        assert track.alternatives == (("stool", 0.2),)


def test_assignment_is_joint_not_greedy():
    # Both sightings are nearest to the first track; only one can be it.
    memory = ObjectMap()
    memory.update([thing(center=(0, 0, 0.5)), thing(center=(0.9, 0, 0.5))], 0)
    found = memory.update(
        [thing(center=(0.42, 0, 0.5), stamp_ns=1), thing(center=(0.1, 0, 0.5), stamp_ns=1)], 1
    )
    assert ids(found) == ["chair-2", "chair-1"]


def test_another_label_or_place_is_another_object():
    memory = ObjectMap()
    memory.update([thing()], 0)
    found = memory.update([thing("table", stamp_ns=1), thing(center=(2.0, 0, 0.5), stamp_ns=1)], 1)
    assert ids(found) == ["table-1", "chair-2"]
    assert len(memory.objects) == 3


def test_uncertain_sightings_reach_farther_but_not_beyond_the_limit():
    vague = {"covariance": np.eye(6) * 4.0, "size": (0.1, 0.1, 0.1)}
    for shift, same in ((0.9, True), (1.1, False)):
        memory = ObjectMap(max_shift_m=1.0)
        memory.update([thing(**vague)], 0)
        found = memory.update([thing(center=(shift, 0, 0.5), stamp_ns=1, **vague)], 1)
        assert (found[0].id == "chair-1") is same


def test_pose_moves_toward_the_better_known():
    sharp = thing(center=(1.0, 0, 0.5), stamp_ns=1, covariance=np.eye(6) * 0.01)
    fused = fuse(thing(covariance=np.eye(6) * 0.09), sharp)
    assert 0.9 < fused.box.center[0] < 1.0
    np.testing.assert_allclose(fused.box.center[1:], [0, 0.5], atol=1e-9)


def test_many_sightings_settle_between_and_stay_honest():
    # Clips share frames: a thousand sightings of one camera must not claim more than one of them.
    memory = ObjectMap()
    noise = np.random.default_rng(0).normal(0, 0.05, (1000, 3))
    for stamp, shift in enumerate(noise):
        (found,) = memory.update(
            [thing(center=shift + np.array([0, 0, 0.5]), stamp_ns=stamp)], stamp
        )
    assert found.id == "chair-1"
    assert np.linalg.norm(found.box.center - (0, 0, 0.5)) < 0.15
    np.testing.assert_allclose(found.covariance, thing().covariance, atol=1e-3)
    assert found.observations == 3 + 999
    assert found.score == pytest.approx(0.8)


@given(
    st.lists(
        st.tuples(*[st.floats(-0.3, 0.3)] * 3, st.floats(-3, 3), st.floats(1e-6, 1.0)),
        min_size=2,
        max_size=6,
    )
)
def test_fused_state_is_valid_and_lies_between(sightings):
    track = None
    for stamp, (x, y, z, yaw, variance) in enumerate(sightings):
        new = thing(center=(x, y, z), yaw=yaw, stamp_ns=stamp, covariance=np.eye(6) * variance)
        track = new if track is None else fuse(track, new)
    assert np.linalg.eigvalsh(track.covariance).min() > 0
    np.testing.assert_allclose(track.covariance, track.covariance.T)
    np.testing.assert_allclose(track.box.rotation @ track.box.rotation.T, np.eye(3), atol=1e-9)
    assert (np.abs(track.box.center) <= 0.3 + 1e-6).all()
    assert (track.box.size[:2] >= 0.5 - 1e-6).all()
    assert (track.box.size[:2] <= 0.6 + 1e-6).all()


@pytest.mark.parametrize("quarter", range(4))
def test_a_box_written_with_another_of_its_headings_is_the_same(quarter):
    size = (0.5, 0.9, 1.0) if quarter % 2 == 0 else (0.9, 0.5, 1.0)
    turned = thing(size=size, yaw=0.2 + quarter * np.pi / 2, stamp_ns=1)
    fused = fuse(thing(size=(0.5, 0.9, 1.0), yaw=0.2), turned)
    np.testing.assert_allclose(fused.box.size, [0.5, 0.9, 1.0], atol=1e-9)
    assert fused.box.yaw == pytest.approx(0.2)


def test_an_unknown_heading_does_not_turn_a_known_one():
    covariance = np.diag([0.04] * 3 + [np.pi**2] * 3)
    unknown = thing(
        size=(0.8, 0.8, 1), stamp_ns=1, orientation_estimated=False, covariance=covariance
    )
    fused = fuse(thing(yaw=0.6), unknown)
    assert fused.orientation_estimated
    assert fused.box.yaw == pytest.approx(0.6)
    np.testing.assert_allclose(fused.box.size, [0.5, 0.6, 1.0])
    later = fuse(unknown, thing(yaw=0.6, stamp_ns=2))
    assert later.orientation_estimated
    assert later.box.yaw == pytest.approx(0.6)


def test_the_same_clip_twice_changes_nothing():
    memory = ObjectMap()
    (before,) = memory.update([thing(stamp_ns=5)], 5)
    (again,) = memory.update([thing(center=(0.1, 0, 0.5), stamp_ns=5)], 5)
    assert again.id == before.id
    assert again.observations == before.observations
    np.testing.assert_array_equal(again.box.center, before.box.center)


def test_without_a_fixed_frame_names_are_fresh_and_nothing_is_kept():
    memory = ObjectMap()
    first = memory.update([thing(frame_id="camera_optical_frame")], 0)
    second = memory.update([thing(frame_id="camera_optical_frame", stamp_ns=1)], 1)
    assert ids(first) == ["chair-1"]
    assert ids(second) == ["chair-2"]
    assert ids(memory.objects) == ["chair-2"]
    memory.update([thing(stamp_ns=2)], 2)
    assert ids(memory.objects) == ["chair-3"]


def test_bounded_by_forgetting_the_longest_unseen():
    memory = ObjectMap(max_objects=3)
    for stamp in range(6):
        memory.update([thing(center=(3.0 * stamp, 0, 0.5), stamp_ns=stamp)], stamp)
    assert ids(memory.objects) == ["chair-4", "chair-5", "chair-6"]


def test_two_tracks_that_come_to_lie_on_one_another_become_the_older():
    memory = ObjectMap()
    memory.update([thing(center=(0, 0, 0.5)), thing(center=(0.7, 0, 0.5))], 0)
    names = set()
    for stamp in range(1, 30):  # one chair, seen where the second was, then where the first was
        center = (max(0.0, 0.7 - 0.05 * stamp), 0, 0.5)
        (found,) = memory.update([thing(center=center, stamp_ns=stamp)], stamp)
        names.add(found.id)
    assert ids(memory.objects) == ["chair-1"]
    assert found.id == "chair-1"


def test_objects_seen_side_by_side_stay_two():
    memory = ObjectMap()
    for stamp in range(5):
        pair = [thing(stamp_ns=stamp), thing(center=(0.1, 0, 0.5), stamp_ns=stamp)]
        assert ids(memory.update(pair, stamp)) == ["chair-1", "chair-2"]


def test_time_must_not_run_back_until_cleared():
    memory = ObjectMap()
    memory.update([thing(stamp_ns=10)], 10)
    with pytest.raises(ObjectMapOrderError, match="clear"):
        memory.update([thing(stamp_ns=9)], 9)
    memory.clear()
    assert memory.objects == ()
    assert ids(memory.update([thing(stamp_ns=9)], 9)) == ["chair-1"]


def test_updates_are_deterministic():
    centers = np.random.default_rng(1).uniform(-3, 3, (20, 6, 3))
    one, other = ObjectMap(), ObjectMap()
    for stamp, row in enumerate(centers):
        clip = [thing(center=center, stamp_ns=stamp) for center in row]
        for a, b in zip(one.update(clip, stamp), other.update(clip, stamp), strict=True):
            assert a.id == b.id
            np.testing.assert_array_equal(a.box.center, b.box.center)
            np.testing.assert_array_equal(a.covariance, b.covariance)


def test_refuses_no_room():
    with pytest.raises(ValueError, match="max_objects"):
        ObjectMap(max_objects=0)
