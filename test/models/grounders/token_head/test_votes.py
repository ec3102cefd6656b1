"""Tokens vote for clusters of depth points, and learned boxes are measured against them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.box_scenes import CAMERA, BoxScene, about_z, around, chair_like, moved

from vega3d_ros.core.geometry import SE3, Box3D, iou_axis_aligned
from vega3d_ros.models.depth import SensorDepth
from vega3d_ros.models.grounders.base import Detection
from vega3d_ros.models.grounders.lifted.evidence import frame_geometry
from vega3d_ros.models.grounders.token_head.clusters import find_clusters
from vega3d_ros.models.grounders.token_head.merging import BoxPrediction, Candidate
from vega3d_ros.models.grounders.token_head.votes import elected, measured, presence_probability
from vega3d_ros.models.grounders.token_head.walls import find_walls

CHAIR = chair_like(0.0, 0.0)
STOOL = chair_like(-0.3, 1.1, size=(0.4, 0.4, 0.5))
WALLS = [
    ("wall", Box3D.upright((-1.55, 0.0, 1.3), (0.1, 6.0, 2.6), 0.0)),
    ("wall", Box3D.upright((0.0, -1.55, 1.3), (6.0, 0.1, 2.6), 0.0)),
]
ROOM = [("chair", CHAIR), ("stool", STOOL), *WALLS]
VIEWS = around((0.0, 0.0, 0.9), start=0.2, sweep=1.0)


def geometry_of(clip):
    return {index: frame_geometry(frame, SensorDepth()) for index, frame in enumerate(clip.frames)}


def poor(depth, instance, rng):
    depth = depth * (1 + 0.02 * rng.standard_normal(depth.shape).astype(np.float32))
    depth[rng.random(depth.shape) < 0.05] = np.nan
    return depth


def learned(box, std_m=0.3):
    covariance = np.diag([std_m**2] * 3 + [0.01] * 3)
    return Detection("chair", "chair", 0.9, box, covariance, True, 1.0, "head", ())


def token_at(clip, index, point, score=0.9):
    """A candidate whose token looks at a point."""
    frame = clip.frames[index]
    column, row = np.rint(CAMERA.project(frame.pose.inverse().apply(point))).astype(int)
    box = Box3D.upright(np.array([2.0, 0.0, 0.0]), [0.5, 0.5, 0.8], 0.0)
    proposal = BoxPrediction(box, 0.1, 0.1, 1.0, True)
    return Candidate(index, (int(column), int(row)), score, proposal, SE3.identity(), (20, 20))


def chair_points(clip, box=CHAIR):
    clusters = find_clusters(geometry_of(clip))
    group = [token_at(clip, index, box.center) for index in range(len(clip))]
    return clusters, elected(group, clusters)


@pytest.fixture(scope="module", params=[None, poor], ids=["exact", "poor"])
def room(request):
    return BoxScene(ROOM, VIEWS, spoil=request.param).clip


def test_the_walls_of_a_room_are_where_its_surfaces_end(room):
    geometry = geometry_of(room)
    found = find_walls([one.grid for one in geometry.values()], 0.0)
    assert sorted(round(wall.offset_m, 1) for wall in found.walls) == [1.5, 1.5]
    assert abs((found.heading + np.pi / 4) % (np.pi / 2) - np.pi / 4) < 0.03


def test_without_a_floor_nothing_is_a_wall(room):
    assert find_walls([one.grid for one in geometry_of(room).values()], None).walls == ()


def test_tokens_elect_the_thing_that_they_show_without_floor_and_walls(room):
    _, points = chair_points(room)
    inside = np.abs(points - CHAIR.center) <= CHAIR.size / 2 + 0.15
    assert inside.all(axis=1).mean() > 0.9


def test_tokens_that_show_the_wall_elect_nothing(room):
    clusters = find_clusters(geometry_of(room))
    group = [token_at(room, index, (-1.5, -0.9, 1.2)) for index in range(len(room))]
    assert elected(group, clusters) is None


def test_a_box_beside_the_thing_is_drawn_to_it_whatever_the_depth(room):
    clusters, points = chair_points(room)
    wrong = Box3D.upright(CHAIR.center + np.array([0.2, -0.2, 0.1]), CHAIR.size, 0.0)
    found = measured(learned(wrong), points, floor_m=clusters.floor_m, heading=clusters.heading)
    assert iou_axis_aligned(found.box, CHAIR) > 2 * iou_axis_aligned(wrong, CHAIR)
    assert (np.diag(found.covariance)[:3] < 0.3**2).all()


def test_a_sure_box_stays_where_it_is(room):
    clusters, points = chair_points(room)
    sure = learned(
        Box3D.upright(CHAIR.center + np.array([0.1, 0.0, 0.0]), CHAIR.size, 0.0), std_m=1e-3
    )
    found = measured(sure, points, floor_m=clusters.floor_m, heading=None)
    assert np.linalg.norm(found.box.center - sure.box.center) < 0.01


def test_points_far_from_the_box_tell_nothing():
    points = np.full((50, 3), 9.0, np.float32)
    assert measured(learned(CHAIR), points, floor_m=0.0, heading=None) is None


def test_what_is_hidden_is_completed_towards_the_learned_size():
    front = np.random.default_rng(0).uniform([-0.25, -0.2, 0], [-0.2, 0.2, 0.8], (400, 3))
    found = measured(learned(CHAIR), front.astype(np.float32), floor_m=0.0, heading=0.0)
    assert 0.12 < found.box.size[0] < CHAIR.size[0]
    assert np.allclose(found.box.size[1:], CHAIR.size[1:], rtol=0.15)


@settings(max_examples=15, deadline=None)
@given(angle=st.floats(-3.1, 3.1), x=st.floats(-20, 20), y=st.floats(-20, 20))
def test_a_turned_and_shifted_map_turns_and_shifts_the_box(angle, x, y):
    shift = about_z(angle, x, y)
    clip = BoxScene(ROOM, VIEWS[::2]).clip
    wrong = Box3D.upright(CHAIR.center + np.array([0.15, -0.15, 0.0]), CHAIR.size, 0.0)
    boxes = []
    for change in (SE3.identity(), shift):
        there = moved(clip, change)
        clusters = find_clusters(geometry_of(there))
        group = [token_at(there, i, change.apply(CHAIR.center)) for i in range(len(there))]
        found = measured(
            learned(wrong.transformed(change)),
            elected(group, clusters),
            floor_m=clusters.floor_m,
            heading=clusters.heading,
        )
        boxes.append(found.box)
    moved_back = boxes[1].transformed(shift.inverse())
    assert np.linalg.norm(moved_back.center - boxes[0].center) < 0.08
    assert np.allclose(np.sort(moved_back.size), np.sort(boxes[0].size), atol=0.12)


@given(scores=st.lists(st.floats(0.05, 0.95), min_size=1, max_size=6))
def test_more_that_speaks_for_a_thing_makes_it_no_less_probable(scores):
    clip = BoxScene([("chair", CHAIR)], VIEWS[:1]).clip
    group = [token_at(clip, 0, CHAIR.center, score) for score in scores]
    surer = [token_at(clip, 0, CHAIR.center, min(0.99, score + 0.04)) for score in scores]
    best = 6.0
    low = presence_probability(group, best, voted=False)
    assert 0 < low < presence_probability(surer, best, voted=False) < 1
    assert low < presence_probability(group, best, voted=True)
