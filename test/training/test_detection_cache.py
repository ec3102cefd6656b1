import numpy as np
import pytest

from vega3d_ros.training.detection_cache import StoredDetections


@pytest.fixture
def detections():
    return StoredDetections(
        ["bed", "chair"],
        np.array([True, False, True]),
        np.array([True, True, False]),
        np.array([0, 0, 2]),
        np.array([1, 0, 1]),
        np.arange(51, dtype=np.float32).reshape(3, 17),
        np.array([[4, 1], [0, -1], [2, -1]]),
        np.array([[0.75, 0.25], [1, 0], [1, 0]], np.float32),
        6,
    )


def test_the_detections_of_a_clip(detections):
    records, with_depth, with_poses = detections.of(0)
    assert records.labels == ["chair", "bed"]
    np.testing.assert_array_equal(records.shown, [[0, 0.25, 0, 0, 0.75, 0], [1, 0, 0, 0, 0, 0]])
    assert (records.colors == -1).all()
    assert with_depth
    assert with_poses
    assert detections.of(2)[1:] == (True, False)


def test_a_clip_without_detections(detections):
    records, *_ = detections.of(1)
    assert len(records) == 0
    assert records.shown.shape == (0, 6)


def test_detections_are_read_as_they_were_written(detections, tmp_path):
    detections.save(tmp_path / "detections.npz")
    again = StoredDetections.load(tmp_path / "detections.npz")
    assert again.labels == detections.labels
    assert again.visual_tokens == 6
    np.testing.assert_array_equal(again.of(2)[0].values, detections.of(2)[0].values)
    assert [p.name for p in tmp_path.iterdir()] == ["detections.npz"]
