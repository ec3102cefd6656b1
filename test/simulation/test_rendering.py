"""The truth against the images: these tests render, and skip where no EGL context can be made."""

import json
import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from vega3d_ros.core.frames import Camera
from vega3d_ros.core.geometry import SE3, Box3D
from vega3d_ros.simulation.clip_paths import camera_pose
from vega3d_ros.simulation.furniture import read_furniture, variant_scale
from vega3d_ros.simulation.renderer import RenderError, RoomRenderer, pinhole_camera
from vega3d_ros.simulation.rooms import PlacedObject, Room, shell
from vega3d_ros.simulation.visibility import SEEN_PIXELS


def _views(record):
    """Camera, pose, depth, instance ids of each frame, and the objects with their boxes."""
    truth = record.truth
    boxes = [Box3D.upright(o["center"], o["size"], o["yaw"]) for o in truth["objects"]]
    camera = Camera(**truth["camera"])
    for i, pose in enumerate(truth["poses"]):
        yield camera, SE3.from_matrix(pose), record.depth[i], record.instance[i], boxes


def _check_boxes(record, tolerance_m):
    """Every pixel of an instance unprojects into its box; returns how many instances were seen."""
    checked = 0
    for camera, pose, depth, instance, boxes in _views(record):
        rows, columns = np.mgrid[0 : depth.shape[0], 0 : depth.shape[1]] * 2.0
        rays = camera.rays(np.stack([columns, rows], axis=-1))
        points = pose.apply(rays * depth.astype(np.float64)[..., None])
        for index, box in enumerate(boxes):
            inside = points[instance == index + 1]
            if len(inside) == 0:
                continue
            local = np.abs((inside - box.center) @ box.rotation)
            assert (local <= box.size / 2 + tolerance_m).all()
            checked += 1
    return checked


def test_depth_of_every_object_lies_in_its_box(clips):
    # Depth is kept in 16 bits: 4 mm at 8 m, and slanted by the ray.
    assert sum(_check_boxes(record, 0.006) for record in clips) > 50


def test_projected_boxes_cover_the_masks_closely(clips):
    ratios = []
    for record in clips:
        for camera, pose, _, instance, boxes in _views(record):
            for index, box in enumerate(boxes):
                rows, columns = np.nonzero(instance == index + 1)
                corners = camera.project(pose.inverse().apply(box.corners))
                if len(rows) < 100 or not np.isfinite(corners).all():
                    continue
                low, high = corners.min(axis=0), corners.max(axis=0)
                assert columns.min() * 2 >= low[0] - 1
                assert columns.max() * 2 <= high[0] + 1
                assert rows.min() * 2 >= low[1] - 1
                assert rows.max() * 2 <= high[1] + 1
                whole = (low > 0).all() and (high < [camera.width, camera.height]).all()
                if whole:
                    mask = np.ptp(columns) * np.ptp(rows) * 4
                    ratios.append(mask / np.prod(high - low))
    # Objects that are neither cut off nor hidden fill the outline of their box.
    assert np.median(ratios) > 0.8


def test_visible_pixels_count_the_instances(clips):
    for record in clips:
        assert record.rgb.shape == (8, 168, 224, 3)
        assert record.depth.shape == record.instance.shape == (8, 84, 112)
        for index, item in enumerate(record.truth["objects"]):
            quarter = (record.instance == index + 1).sum(axis=(1, 2))
            np.testing.assert_allclose(item["visible_pixels"], quarter * 4, rtol=0.15, atol=150)


def test_most_frames_show_something_and_the_camera_moves_as_a_robot_does(clips):
    for record in clips:
        poses = [SE3.from_matrix(pose) for pose in record.truth["poses"]]
        for before, after in pairwise(poses):
            assert before.distance_to(after) < 0.42
            assert before.distance_to(after) > 0.1 or before.angle_to(after) > np.radians(5)
        assert all(0.75 < pose.translation[2] < 1.45 for pose in poses)
    counts = [
        (np.array([o["visible_pixels"] for o in record.truth["objects"]]) >= SEEN_PIXELS).sum(0)
        for record in clips
    ]
    assert np.mean(np.concatenate(counts) > 0) > 0.85


def test_named_colours_are_those_of_the_images(clips):
    hues = {"red": 0, "green": 1, "blue": 2}
    checked = 0
    for record in clips:
        for index, item in enumerate(record.truth["objects"]):
            mask = record.instance == index + 1
            if item["color"] in hues and mask.sum() > 200:
                mean = record.rgb[:, ::2, ::2][mask].mean(axis=0)
                checked += 1
                assert mean.argmax() == hues[item["color"]]
    assert checked


def test_clips_do_not_depend_on_what_was_made_before(factory, clips):
    again = factory.clip(3)
    np.testing.assert_array_equal(again.rgb, clips[3].rgb)
    np.testing.assert_array_equal(again.instance, clips[3].instance)
    assert json.dumps(again.truth) == json.dumps(clips[3].truth)


def test_splits_and_seeds_give_different_clips(make_factory, clips):
    other = make_factory("heldout", 5).clip(0)
    assert other.truth["objects"] != clips[0].truth["objects"]
    assert other.truth["split"] == "heldout"
    # Neither a second renderer nor its end may disturb the first.
    assert _check_boxes(other, 0.006)


def test_meshes_stand_where_the_truth_says(make_factory, furniture_folder):
    furniture = read_furniture(furniture_folder)
    make_factory("train", 0)  # skips where nothing can be rendered
    model = next(model for model in furniture.models if model.label == "wardrobe")
    size = variant_scale(model.name, 2)
    box = Box3D.upright([0.4, -0.3, size[2] / 2], size, 0.7)
    item = PlacedObject(
        "wardrobe_1", "wardrobe", None, box.center, size, 0.7, model.name, 2, mesh=model
    )
    room = Room(6.0, 6.0, 2.6, (item,), furniture=True, slabs=shell(6.0, 6.0, 2.6))
    renderer = RoomRenderer(224, 168, furniture)
    renderer.load_room(room, np.random.default_rng(0))
    camera = pinhole_camera(224, 168, 60)
    pose = camera_pose(-2.5, -0.5, 1.0, 0.1, -0.1)
    view = renderer.render(pose, camera)
    rows, columns = np.nonzero(view.instance)
    assert len(rows) > 2000
    rays = camera.rays(np.stack([columns, rows], axis=-1).astype(float))
    points = pose.apply(rays * view.depth_m[rows, columns, None])
    local = np.abs((points - box.center) @ box.rotation) / (size / 2)
    # All of it on the surface of the box, and up to its edges.
    assert local.max() < 1.01
    assert np.abs(local.max(axis=1) - 1).max() < 0.01
    assert (local.max(axis=0) > 0.95).all()
    bare = RoomRenderer(224, 168)
    with pytest.raises(RenderError, match="Wardrobe_01, which this renderer"):
        bare.load_room(room, np.random.default_rng(0))


def test_without_egl_the_error_says_what_to_install():
    code = (
        "from vega3d_ros.simulation.renderer import RoomRenderer, RenderError\n"
        "try:\n    RoomRenderer()\nexcept RenderError as error:\n    print(error)\n"
    )
    # A vendor file that is not there takes every EGL implementation away.
    environment = os.environ | {
        "MUJOCO_GL": "egl",
        "__EGL_VENDOR_LIBRARY_FILENAMES": "/nonexistent.json",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    if not done.stdout and done.returncode == 0:
        pytest.skip("EGL is linked without a vendor library here; it cannot be taken away")
    assert "libegl1" in done.stdout, done.stderr
