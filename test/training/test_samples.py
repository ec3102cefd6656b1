import numpy as np
import pytest

from vega3d_ros.models.grounders.token_head.losses import SHOWN
from vega3d_ros.training.samples import coverage, frame_truth

TRUTH = {
    "camera": {"width": 80, "height": 60, "fx": 70.0, "fy": 70.0, "cx": 39.5, "cy": 29.5},
    # An optical frame at (1, 2, 1.2) that looks along the map's y axis.
    "poses": [[[1, 0, 0, 1], [0, 0, 1, 2], [0, -1, 0, 1.2], [0, 0, 0, 1]]],
    "objects": [
        {"id": "a", "center": [1, 5, 0.5], "size": [1, 0.5, 1], "yaw": 0.3},
        {"id": "b", "center": [0, 4, 0.2], "size": [0.4, 0.4, 0.4], "yaw": 0.0},
    ],
}


def test_coverage_counts_pixels_of_each_token():
    instance = np.zeros((12, 16), np.uint8)
    instance[:2, :1] = 1
    instance[:2, 1:2] = 2
    instance[6:, 8:] = 2
    shares = coverage(instance, 2, 6, 8)
    assert shares.shape == (2, 6, 8)
    assert shares[0, 0, 0] == 0.5
    assert shares[1, 0, 0] == 0.5
    assert shares[1, 3:, 4:].min() == 1
    assert shares.sum() == pytest.approx(1 + 12)


def test_boxes_are_in_the_levelled_camera_and_a_token_belongs_to_the_object_it_shows_most_of():
    instance = np.zeros((30, 40), np.uint8)
    instance[10:20, 15:25] = 1
    instance[20:25, 5:10] = 2
    instance[0, 0] = 2
    depth = np.full((30, 40), 3.0, np.float32)
    truth = frame_truth(TRUTH, 0, depth, instance, 6, 8)
    # 3 m ahead, level with x forward: the map's y axis.
    assert np.allclose(truth.boxes[0].center, [3, 0, -0.7])
    assert np.allclose(truth.boxes[1].center, [2, 1, -1.0])
    assert truth.boxes[0].yaw == pytest.approx(0.3 - np.pi / 2)
    assert truth.owners[2, 3] == 0
    assert truth.owners[4, 1] == 1
    assert truth.owners[0, 0] == -1, f"one pixel of 25 is less than {SHOWN}"
    assert np.allclose(truth.geometry.surface_m, 3.0)


def test_a_room_without_objects_owns_no_token():
    bare = {**TRUTH, "objects": []}
    truth = frame_truth(
        bare, 0, np.zeros((30, 40), np.float32), np.zeros((30, 40), np.uint8), 6, 8
    )
    assert (truth.owners == -1).all()
    assert np.isnan(truth.geometry.surface_m).all()
