import numpy as np
import pytest

from vega3d_ros.training.detection_cache import Findings


@pytest.fixture
def findings():
    return Findings(
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


def test_what_was_found_in_a_clip(findings):
    told = findings.told(0)
    assert told.notes.labels == ["chair", "bed"]
    np.testing.assert_array_equal(told.shown, [[0, 0.25, 0, 0, 0.75, 0], [1, 0, 0, 0, 0, 0]])
    assert (told.notes.colors == -1).all()
    assert findings.shown(0) == (True, True)
    assert findings.shown(2) == (True, False)


def test_a_clip_in_which_nothing_was_found(findings):
    told = findings.told(1)
    assert len(told.notes) == 0
    assert told.shown.shape == (0, 6)


def test_they_survive_the_disk(findings, tmp_path):
    findings.save(tmp_path / "findings.npz")
    again = Findings.load(tmp_path / "findings.npz")
    assert again.labels == findings.labels
    assert again.visual_tokens == 6
    np.testing.assert_array_equal(again.told(2).notes.values, findings.told(2).notes.values)
    assert [p.name for p in tmp_path.iterdir()] == ["findings.npz"]
