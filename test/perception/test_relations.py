"""Tests of relations: opposites, viewpoints, distances, any place of the map."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vega3d_ros.core.frames import Frame
from vega3d_ros.core.geometry import SE3, Box3D, distance_between
from vega3d_ros.core.objects import SceneObject
from vega3d_ros.perception.relations import (
    OPPOSITE,
    RelationError,
    Viewpoint,
    closest_distance,
    relate,
)

pytestmark = pytest.mark.numeric


def thing(
    label, center, size=(0.4, 0.4, 0.4), rotation=None, frame_id="map", sigma=0.1, score=1.0
):
    rotation = np.eye(3) if rotation is None else rotation
    return SceneObject(
        label=label,
        query=label,
        score=score,
        box=Box3D(np.array(center, float), np.array(size, float), rotation),
        frame_id=frame_id,
        stamp_ns=0,
        covariance=np.eye(6) * sigma**2,
        orientation_estimated=True,
        observations=1,
        depth_coverage=0.0,
    )


def camera_at(position, yaw):
    """map_from_camera of a level camera that looks along ``yaw``."""
    optical = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], float)
    return SE3(Rotation.from_euler("z", yaw).as_matrix() @ optical, np.array(position, float))


coordinate = st.floats(-4, 4)
points = st.tuples(coordinate, coordinate, st.floats(0, 2))
sizes = st.tuples(*[st.floats(0.05, 1.5)] * 3)
yaws = st.floats(-3.1, 3.1)
boxes = st.builds(Box3D.upright, points, sizes, yaws)


def viewpoints():
    return st.one_of(
        st.builds(lambda p, yaw: Viewpoint.camera("map", camera_at(p, yaw)), points, yaws),
        st.just(Viewpoint.fixed("map")),
    )


def placed(label, box):
    return thing(label, box.center, box.size, box.rotation)


FROM_ORIGIN = Viewpoint.camera("map", camera_at((0, 0, 1), 0.0))


@pytest.mark.parametrize(
    ("center", "words"),
    [
        ((3, 1, 0.2), {"left of"}),
        ((3, -1, 0.2), {"right of"}),
        ((1.5, 0, 0.2), {"in front of"}),
        ((5, 0, 0.2), {"behind"}),
        ((4.5, 0.5, 0.2), {"behind"}),
        ((4.5, 3.5, 0.2), {"behind", "left of"}),
        ((3, 0, 1.5), set()),
        ((3, 0, 0.75), {"above", "near"}),
        ((3, 0, 0.6), {"above", "near", "touching"}),
        ((3, 0.6, 0.2), {"left of", "near"}),
        ((3, 0, 0.2), {"inside", "near", "touching"}),
    ],
)
def test_words_as_the_camera_sees_them(center, words):
    relation = relate(thing("cup", center), thing("table", (3, 0, 0.2)), FROM_ORIGIN)
    vertical = {"above"} if center == (3, 0, 1.5) else set()
    assert set(relation.predicates) == words | vertical


def test_left_is_the_order_in_the_image_not_along_parallel_lines():
    # In metres along the camera's axes a is 0.2 m left of b; in the image it is right of it.
    relation = relate(thing("a", (0.5, -1.0, 0)), thing("b", (2, -1.2, 0)), FROM_ORIGIN)
    assert "right of" in relation.predicates
    assert relation.offset_m[1] < 0


@given(boxes, boxes, viewpoints())
def test_words_and_offset_are_told_by_one_viewer(a, b, viewpoint):
    """Also where the camera looks away from both."""
    relation = relate(placed("a", a), placed("b", b), viewpoint)
    ahead, left, up = relation.offset_m
    sides = {"left of": left, "right of": -left, "behind": ahead, "in front of": -ahead}
    assert all(sides[word] > 0 for word in relation.predicates if word in sides)
    assert np.linalg.norm(relation.offset_m) == pytest.approx(relation.center_distance_m)
    assert up == pytest.approx((a.center - b.center)[2])


def test_a_camera_that_looks_away_from_both_tells_no_other_side():
    away = Viewpoint.camera("map", camera_at((0, 0, 1), np.pi))
    relation = relate(thing("a", (3, 1, 0)), thing("b", (3, -1, 0)), away)
    assert relation.predicates == ("left of",)
    np.testing.assert_allclose(relation.offset_m, [0, 2, 0], atol=1e-12)


def test_metres_and_radians():
    relation = relate(thing("cup", (2, 2, 1)), thing("table", (3, 0, 1)), FROM_ORIGIN)
    assert relation.distance_m == pytest.approx(np.hypot(0.6, 1.6))
    assert relation.center_distance_m == pytest.approx(np.sqrt(5))
    # The viewer turned to the middle, (2.5, 1).
    wanted = np.array([[2.5, 1], [-1, 2.5]]) @ [-1, 2] / np.hypot(2.5, 1)
    np.testing.assert_allclose(relation.offset_m, [*wanted, 0], atol=1e-12)
    assert relation.subject_bearing_rad == pytest.approx(np.pi / 4)
    assert relation.subject_distance_m == pytest.approx(np.sqrt(8))
    assert relation.viewpoint == "camera"


def test_without_poses_the_optical_frame_serves():
    optical = {"frame_id": "camera_optical_frame"}
    lamp, sofa = thing("lamp", (-1, 0, 3), **optical), thing("sofa", (0.5, 0, 3), **optical)
    viewpoint = Viewpoint.camera("camera_optical_frame", None)
    relation = relate(lamp, sofa, viewpoint)
    assert relation.predicates == ("left of",)
    wanted = 1.5 * np.array([0.25, 3, 0]) / np.hypot(0.25, 3)  # towards the middle, a little left
    np.testing.assert_allclose(relation.offset_m, wanted, atol=1e-12)
    assert relation.subject_bearing_rad == pytest.approx(np.arctan2(1, 3))
    shelf = thing("shelf", (0.5, -0.6, 3), **optical)
    assert "above" in relate(shelf, sofa, viewpoint).predicates
    turned = Viewpoint.at(sofa, lamp, optical=True)
    np.testing.assert_allclose(turned.frame_from_viewer.rotation[:, 0], [-1, 0, 0])


def test_standing_at_an_object():
    door, bed, lamp = thing("door", (0, 0, 0)), thing("bed", (0, 4, 0)), thing("lamp", (2, 3, 0))
    relation = relate(lamp, bed, Viewpoint.at(door, facing=bed))
    assert relation.viewpoint == "door"
    assert relation.predicates[0] == "right of"
    assert relation.subject_bearing_rad < 0
    # Seen from the other side, it is on the other side.
    window = thing("window", (0, 8, 0))
    assert "left of" in relate(lamp, bed, Viewpoint.at(window, facing=bed)).predicates
    with pytest.raises(RelationError, match="straight"):
        Viewpoint.at(bed, facing=bed)


def test_the_axes_of_the_map():
    relation = relate(thing("a", (0, 2, 0)), thing("b", (0, 0, 0)), Viewpoint.fixed("map"))
    assert relation.predicates == ("left of",)
    assert relation.viewpoint == "map"
    assert np.isnan([relation.subject_distance_m, relation.subject_bearing_rad]).all()


def clear(a, b, viewpoint):
    """Whether no word hangs on a rounding error: a nudge by a micrometre changes none."""
    words = {
        relate(
            placed("a", Box3D(a.center + nudge, a.size, a.rotation)), placed("b", b), viewpoint
        ).predicates
        for nudge in (np.full(3, 1e-6), np.full(3, -1e-6), np.array([1e-6, -1e-6, 0]))
    }
    return len(words) == 1


@given(boxes, boxes, viewpoints())
def test_opposites_and_symmetry(a, b, viewpoint):
    assume(clear(a, b, viewpoint))
    forth = relate(placed("a", a), placed("b", b), viewpoint)
    back = relate(placed("b", b), placed("a", a), viewpoint)
    turned = {OPPOSITE[word] for word in forth.predicates if word != "inside"}
    assert turned == {word for word in back.predicates if word != "inside"}
    assert forth.distance_m == pytest.approx(back.distance_m, abs=1e-6)
    assert forth.confidence == pytest.approx(back.confidence)
    np.testing.assert_allclose(forth.offset_m, -back.offset_m, atol=1e-12)
    assert not {"left of", "right of"} <= set(forth.predicates)
    assert not {"in front of", "behind"} <= set(forth.predicates)


@given(boxes, boxes, points, yaws, yaws, points)
def test_where_the_map_lies_does_not_matter(a, b, camera, look, turn, shift):
    pose = camera_at(camera, look)
    motion = SE3(Rotation.from_euler("z", turn).as_matrix(), np.array(shift))
    viewpoint = Viewpoint.camera("map", pose)
    assume(clear(a, b, viewpoint))
    here = relate(placed("a", a), placed("b", b), viewpoint)
    there = relate(
        placed("a", a.transformed(motion)),
        placed("b", b.transformed(motion)),
        Viewpoint.camera("map", motion @ pose),
    )
    assert here.distance_m == pytest.approx(there.distance_m, abs=1e-6)
    np.testing.assert_allclose(here.offset_m, there.offset_m, atol=1e-9)
    assert here.confidence == pytest.approx(there.confidence, abs=1e-6)
    assert np.cos(here.subject_bearing_rad - there.subject_bearing_rad) == pytest.approx(1)
    assert set(here.predicates) == set(there.predicates)


@given(boxes, boxes)
def test_closest_distance_agrees_with_the_outlines_of_upright_boxes(a, b):
    assert closest_distance(a, b) == pytest.approx(distance_between(a, b), abs=1e-6)


def test_closest_distance_of_tilted_boxes():
    tilted = Box3D(np.zeros(3), np.ones(3), Rotation.from_euler("x", np.pi / 4).as_matrix())
    other = Box3D.upright((0, 0, 3), (1, 1, 1))
    assert closest_distance(tilted, other) == pytest.approx(2.5 - np.sqrt(0.5))


def test_confidence_follows_the_covariance_and_the_scores():
    def confidence(sigma, score=1.0, sideways=0.5):
        a = thing("a", (3, sideways, 0), sigma=sigma, score=score)
        return relate(a, thing("b", (3, 0, 0), sigma=sigma), FROM_ORIGIN).confidence

    assert confidence(0.01) == pytest.approx(1.0)
    assert 0.5 < confidence(5.0) < 0.6
    assert confidence(0.2) > confidence(0.4)
    assert confidence(0.01, score=0.3) == pytest.approx(0.3)


@pytest.mark.parametrize(("sigma_a", "sigma_b"), [(0.4, 0.01), (0.01, 0.4), (0.3, 0.3)])
def test_confidence_rests_on_the_covariance_of_both(sigma_a, sigma_b):
    a, b = thing("a", (3, 0.25, 0), sigma=sigma_a), thing("b", (3, -0.25, 0), sigma=sigma_b)
    expected = NormalDist().cdf(0.5 / np.hypot(sigma_a, sigma_b))
    assert relate(a, b, FROM_ORIGIN).confidence == pytest.approx(expected, rel=1e-6)


def test_viewpoints_by_name():
    image = np.zeros((2, 2, 3), np.uint8)
    pose = camera_at((0, 0, 1), 0.0)
    frame = Frame(0, image, "camera_optical_frame", pose=pose, fixed_frame="map")
    lamp, bed, door = thing("lamp", (2, 1, 0)), thing("bed", (3, -1, 0)), thing("door", (0, -5, 0))
    for named, made in (
        ("camera", FROM_ORIGIN),
        ("map", Viewpoint.fixed("map")),
        (door, Viewpoint.at(door, facing=bed)),
    ):
        one, other = relate(lamp, bed, named, frame), relate(lamp, bed, made)
        assert one.predicates == other.predicates
        assert one.viewpoint == other.viewpoint
        np.testing.assert_allclose(one.offset_m, other.offset_m)
    with pytest.raises(RelationError, match="'door' is not known"):
        relate(lamp, bed, "door", frame)
    with pytest.raises(RelationError, match="newest frame"):
        relate(lamp, bed, "camera")

    unposed = Frame(0, image, "camera_optical_frame")
    with pytest.raises(RelationError, match="one frame"):
        relate(lamp, bed, "camera", unposed)
    optical = {"frame_id": "camera_optical_frame"}
    a, b = thing("a", (-1, 0, 2), **optical), thing("b", (1, 0, 2), **optical)
    assert relate(a, b, "camera", unposed).predicates == ("left of",)
    c = thing("c", (0, 0, 4), **optical)  # seen from behind, left and right change places
    assert relate(a, b, c, unposed).predicates[0] == "right of"
    with pytest.raises(RelationError, match="'map' is not known"):
        relate(a, b, "map", unposed)


def test_frames_must_agree():
    a, b = thing("a", (1, 0, 0)), thing("b", (2, 0, 0), frame_id="odom")
    with pytest.raises(RelationError, match="one frame"):
        relate(a, b, FROM_ORIGIN)
    with pytest.raises(RelationError, match="one frame"):
        relate(a, a, Viewpoint.fixed("odom"))
    down = SE3(np.diag([1.0, -1.0, -1.0]), np.zeros(3))
    with pytest.raises(RelationError, match="straight"):
        Viewpoint.camera("map", down)
