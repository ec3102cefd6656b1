"""Without depth, the foot of a 2D box on the floor tells where a thing stands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.box_scenes import CAMERA, BoxScene, around, chair_like

from vega3d_ros.core.frames import Clip
from vega3d_ros.models.depth.floor_contact import contact
from vega3d_ros.models.detectors.base import Detection2D
from vega3d_ros.simulation.clip_paths import camera_pose

POSE = camera_pose(0, 0, 1.2, 0.5, -0.3)


def without_depth(clip, kept=()):
    return Clip(
        tuple(f if i in kept else replace(f, depth_m=None) for i, f in enumerate(clip.frames))
    )


@pytest.mark.parametrize("floor_m", [0.0, -0.8])
def test_a_thing_is_where_its_foot_meets_the_floor(floor_m):
    thing = ("chair", chair_like(0, 0, floor_m=floor_m))
    views = around((0, 0, floor_m + 0.4), height=floor_m + 1.3, radius=2.5)
    scene = BoxScene([thing], views, floor_m=floor_m)
    (found,) = scene.find("chair", without_depth(scene.clip), floor_m=floor_m)
    error = found.box.center - thing[1].center
    assert np.linalg.norm(error) < 0.35
    assert error @ np.linalg.solve(found.covariance[:3, :3], error) < 11.3
    assert found.source == "floor"
    assert found.depth_coverage == 0.0
    assert not found.orientation_estimated
    assert len(found.views) == len(views)


def test_its_position_is_less_sure_than_with_depth():
    scene = BoxScene([("chair", chair_like(0, 0))], around((0, 0, 0.4), radius=2.5))
    (measured,) = scene.find("chair")
    (placed,) = scene.find("chair", without_depth(scene.clip), floor_m=0.0)
    assert np.trace(placed.covariance[:3, :3]) > 4 * np.trace(measured.covariance[:3, :3])


def test_where_no_floor_is_known_nothing_is_claimed():
    scene = BoxScene([("chair", chair_like(0, 0))], around((0, 0, 0.4)))
    assert scene.find("chair", without_depth(scene.clip)) == []


def test_what_is_not_known_to_stand_on_the_floor_is_not_put_there():
    scene = BoxScene([("picture", chair_like(0, 0))], around((0, 0, 0.4)))
    assert scene.find("picture", without_depth(scene.clip), floor_m=0.0) == []


def test_a_measured_thing_is_not_told_a_second_time():
    scene = BoxScene([("chair", chair_like(0, 0))], around((0, 0, 0.4)))
    (found,) = scene.find("chair", without_depth(scene.clip, kept=(0, 2, 4)))
    assert found.source == "depth"


def test_a_thing_whose_depth_is_missing_stands_on_the_floor_that_others_measure():
    def black(depth, instance, rng):
        return np.where(instance == 1, np.nan, depth)

    things = [("chair", chair_like(0, 0)), ("sofa", chair_like(-1.5, 0.3, 0.2, (1.6, 0.8, 0.8)))]
    scene = BoxScene(things, around((-0.5, 0.0, 0.4), radius=3.0), spoil=black)
    (found,) = scene.find("chair")
    assert found.source == "floor"
    assert np.linalg.norm(found.box.center - things[0][1].center) < 0.4


@pytest.mark.parametrize(
    ("box", "pose"),
    [
        ((40.0, 30.0, 80.0, 120.0), POSE),  # the foot is below the image
        ((40.0, 30.0, 80.0, 100.0), camera_pose(0, 0, 1.2, 0.5, 0.5)),  # looks up
        ((40.0, 30.0, 80.0, 63.0), camera_pose(0, 0, 1.2, 0.5, 0.0)),  # meets the floor far away
    ],
)
def test_a_foot_that_does_not_show_places_nothing(box, pose):
    assert contact(Detection2D(box, 0.9, "chair"), 0, CAMERA, pose, 0.0) is None
