import numpy as np
import pytest
from support.tiny_models import random_modules

from vega3d_ros.simulation.clips import ClipFactory
from vega3d_ros.simulation.dataset import ClipDataset, write_shard
from vega3d_ros.simulation.renderer import RenderError
from vega3d_ros.training.calibrate import _balanced_recall, _best_threshold, _f1, calibrate


def test_thresholds_separate_present_objects_from_absent_ones():
    scored = [(0.9, True), (0.7, True), (0.4, False), (0.1, False)]
    for measure in (_balanced_recall, _f1):
        assert 0.4 < _best_threshold(measure, scored) <= 0.7


@pytest.mark.parametrize("scored", [[], [(0.9, True)], [(0.2, False), (0.4, False)]])
def test_without_both_sorts_the_threshold_stays_in_the_middle(scored):
    assert _best_threshold(_balanced_recall, scored) == 0.5
    assert _best_threshold(_f1, scored) == 0.5


def test_listing_is_stricter_where_most_is_absent():
    rng = np.random.default_rng(0)
    scored = [(float(rng.beta(4, 2)), True) for _ in range(50)]
    scored += [(float(rng.beta(2, 4)), False) for _ in range(1000)]
    assert _best_threshold(_f1, scored) > _best_threshold(_balanced_recall, scored)


def test_calibration_sets_both_thresholds_from_clips(tmp_path):
    try:
        factory = ClipFactory("train", 3, None)
        write_shard(tmp_path, "train", 0, [factory.clip(i) for i in range(2)])
    except RenderError as error:
        pytest.skip(f"no rendering here: {error}")
    modules = random_modules()
    calibrate(modules, ClipDataset(tmp_path, "train"), range(2))
    assert 0 < modules.settings["threshold"] < 1
    assert 0 < modules.settings["listing_threshold"] < 1
