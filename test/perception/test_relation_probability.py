"""Relation words with and without uncertainty, held against what ``relate`` says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from scipy.special import ndtr

from vega3d_ros.core.geometry import SE3, Box3D
from vega3d_ros.core.objects import SceneObject
from vega3d_ros.perception.relation_probability import (
    RELATIONS,
    between_probability,
    relation_probability,
)
from vega3d_ros.perception.relations import Viewpoint, relate

OPTICAL = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], float)
coordinate = st.floats(-4, 4)
boxes = st.builds(
    Box3D.upright,
    st.tuples(coordinate, coordinate, st.floats(0, 2)),
    st.tuples(*[st.floats(0.05, 1.5)] * 3),
    st.floats(-3.1, 3.1),
)
cameras = st.builds(
    lambda x, y, yaw: Viewpoint.camera(
        "map", SE3(Rotation.from_euler("z", yaw).as_matrix() @ OPTICAL, np.array([x, y, 1.0]))
    ),
    coordinate,
    coordinate,
    st.floats(-3.1, 3.1),
)


def placed(box, sigma=0.0):
    return SceneObject(
        label="thing",
        query="thing",
        score=1.0,
        box=box,
        frame_id="map",
        stamp_ns=0,
        covariance=np.eye(6) * sigma**2,
        orientation_estimated=True,
        observations=1,
        depth_coverage=1.0,
    )


@given(boxes, boxes, st.one_of(cameras, st.just(Viewpoint.fixed("map"))))
def test_without_uncertainty_words_hold_exactly_where_relate_names_them(a, b, viewpoint):
    a, b = placed(a), placed(b)
    named = relate(a, b, viewpoint).predicates
    for word in ("left of", "right of", "in front of", "behind", "above", "below"):
        chance = relation_probability(word, a, b, viewpoint)
        assume(min(chance, 1 - chance) < 1e-6)  # else it lies on the word's very edge
        assert (chance > 0.5) == (word in named), word
    for word in ("near", "touching", "inside"):
        chance = relation_probability(word, a, b, viewpoint)
        assume(abs(chance - 0.5) > 1e-6)
        assert (chance > 0.5) == (word in named), word


@given(boxes, boxes, cameras, st.floats(0, 1))
def test_probabilities_stay_in_bounds_and_opposites_exclude_each_other(a, b, camera, sigma):
    a, b = placed(a, sigma), placed(b, sigma)
    chances = {word: relation_probability(word, a, b, camera) for word in RELATIONS}
    assert all(0 <= chance <= 1 for chance in chances.values())
    assert chances["left of"] + chances["right of"] <= 1 + 1e-9
    assert chances["in front of"] + chances["behind"] <= 1 + 1e-9
    turned = {word: relation_probability(word, b, a, camera) for word in ("left of", "near")}
    assert turned["left of"] == pytest.approx(chances["right of"], abs=1e-9)
    assert turned["near"] == pytest.approx(chances["near"], abs=1e-6)


def test_uncertainty_takes_away_from_what_is_sure():
    camera = Viewpoint.camera("map", SE3(OPTICAL, np.array([0.0, 0, 1])))
    a, b = (Box3D.upright((3, y, 0.5), (0.4, 0.4, 0.4)) for y in (0.6, -0.6))
    chances = [
        relation_probability("left of", placed(a, sigma), placed(b, sigma), camera)
        for sigma in (0.0, 0.2, 0.5, 2.0)
    ]
    assert chances[0] == 1.0
    assert chances == sorted(chances, reverse=True)
    assert chances[-1] > 0.5


def test_uncertainty_is_turned_into_the_axes_of_the_viewer():
    """Only what is unsure across the view makes left and right unsure, wherever one stands."""
    for yaw in (0.0, 0.5, 2.0):
        turn = SE3(Rotation.from_euler("z", yaw).as_matrix(), np.zeros(3))
        camera = Viewpoint.camera("map", turn @ SE3(OPTICAL, np.array([0.0, 0, 1])))
        chances = []
        for spread in ([1.0, 1e-3, 1e-3], [1e-3, 1.0, 1e-3]):
            covariance = np.zeros((6, 6))
            covariance[:3, :3] = turn.rotation @ np.diag(np.square(spread)) @ turn.rotation.T
            a, b = (
                replace(
                    placed(Box3D.upright((3, y, 0.5), (0.4, 0.4, 0.4)).transformed(turn)),
                    covariance=covariance,
                )
                for y in (0.6, -0.6)
            )
            chances.append(relation_probability("left of", a, b, camera))
        assert chances[0] > 0.999
        assert chances[1] == pytest.approx(ndtr((1.2 - np.sin(np.pi / 8) * 1.2) / np.sqrt(2)))


def test_below_is_clear_in_height_and_under_may_be_within_the_box():
    viewpoint = Viewpoint.fixed("map")
    table = placed(Box3D.upright((0, 0, 0.375), (1.4, 0.8, 0.75)))
    shelf = placed(Box3D.upright((0, 0, 1.5), (1.0, 0.3, 0.1)))
    box = placed(Box3D.upright((0.1, 0, 0.15), (0.3, 0.3, 0.3)))
    beside = placed(Box3D.upright((1.5, 0, 0.15), (0.3, 0.3, 0.3)))
    on_top = placed(Box3D.upright((0.1, 0, 0.9), (0.3, 0.3, 0.3)))

    def held(word, subject, object_):
        return relation_probability(word, subject, object_, viewpoint) > 0.5

    assert held("under", box, table)
    assert not held("below", box, table)
    assert held("under", table, shelf)
    assert held("below", table, shelf)
    assert not held("under", beside, table)
    assert not held("under", on_top, table)
    assert held("on", on_top, table)
    assert held("above", shelf, table)
    assert not held("on", shelf, table)


def test_between_is_seen_from_the_thing_itself():
    one, other = (placed(Box3D.upright((x, 0, 0.5), (0.4, 0.4, 1))) for x in (-2, 2))
    chances = [
        between_probability(placed(Box3D.upright((0, y, 0.5), (0.4, 0.4, 1))), one, other)
        for y in (0.0, 0.5, 1.1, 2.0, 4.0)
    ]
    assert chances == sorted(chances, reverse=True)
    assert [chance > 0.5 for chance in chances] == [True, True, True, False, False]
    behind = placed(Box3D.upright((3.5, 0, 0.5), (0.4, 0.4, 1)))
    assert between_probability(behind, one, other) < 1e-6


def test_an_unknown_word_is_named():
    thing = placed(Box3D.upright((0, 0, 0), (1, 1, 1)))
    with pytest.raises(ValueError, match="'astride' is not known; use one of left of"):
        relation_probability("astride", thing, thing, Viewpoint.fixed("map"))
