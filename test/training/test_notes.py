import numpy as np
import pytest

from vega3d_ros.geometry import SE3
from vega3d_ros.mllm.object_tokens import VALUES
from vega3d_ros.training.notes import (
    COLOR_NAMES,
    RECALLED,
    misjudged,
    noticed,
    placed,
    recalls,
    true_notes,
    true_values,
)


def thing(label, center=(2.0, 0.0, 0.5), color="red", pixels=(0, 900), name=None):
    return {
        "id": name or label,
        "label": label,
        "color": color,
        "center": np.array(center),
        "size": np.array([1.0, 0.5, 1.0]),
        "yaw": 0.3,
        "visible_pixels": list(pixels),
    }


THINGS = [thing("bed"), thing("chair", color="blue"), thing("chair", (1, 1, 0), name="chair2")]
SHOWN = np.array([[0.5, 0.5, 0, 0], [0, 0, 0.2, 0], [0, 0, 0, 0.3]], np.float32)


def test_what_nobody_can_see_is_not_noticed():
    assert noticed([thing("bed", pixels=(3, 2)), thing("sofa")])[0]["label"] == "sofa"


def test_boxes_move_with_the_frame():
    moved = placed(thing("bed"), SE3(np.eye(3), np.array([0, 0, 1.0])))
    np.testing.assert_allclose(moved["center"], [2, 0, 1.5])
    assert moved["label"] == "bed"


def test_a_mention_of_one_thing_brings_back_all_of_it():
    ((end, wanted),) = recalls("How large is the bed in centimetres?", THINGS)
    assert "How large is the bed"[:end] == "How large is the bed"
    np.testing.assert_array_equal(wanted[:VALUES], true_values(THINGS[0]))
    assert wanted[VALUES:-1].argmax() == COLOR_NAMES.index("red")
    assert wanted[VALUES:-1].sum() == 1
    assert wanted[-1] == 1


def test_a_mention_of_several_things_or_none_brings_back_how_many():
    (chairs,), (sofa,) = recalls("Count the chairs.", THINGS), recalls("Is there a sofa?", THINGS)
    assert chairs[1][-1] == 2
    assert sofa[1][-1] == 0
    for _, wanted in (chairs, sofa):
        assert np.isnan(wanted[: RECALLED - 1]).all()


def test_a_colour_makes_a_mention_single():
    ((_, wanted),) = recalls("How large is the blue chair?", THINGS)
    np.testing.assert_array_equal(wanted[:VALUES], true_values(THINGS[1]))


@pytest.mark.parametrize("poses", [True, False])
def test_misjudged_objects_are_like_the_true_ones(poses):
    rng = np.random.default_rng(0)
    seen = [misjudged(THINGS, SHOWN, rng, depth=True, poses=poses) for _ in range(200)]
    right = [
        (values, told)
        for told in seen
        for label, values in zip(told.notes.labels, told.notes.values, strict=True)
        if label == "bed"
    ]
    assert 140 < len(right) < 240
    errors = [np.linalg.norm(values[:2] - np.array([2.0, 0.0]) / 3) for values, _ in right]
    assert 0.01 < np.median(errors) < 0.15
    for told in seen:
        assert told.notes.values.shape == (len(told.notes), VALUES)
        if len(told.notes):
            np.testing.assert_allclose(told.shown.sum(axis=1), 1, atol=1e-5)


def test_without_poses_only_the_newest_frame_counts():
    gone = [thing("bed", pixels=(900, 0))]
    told = misjudged(gone, SHOWN[:1], np.random.default_rng(0), depth=True, poses=False)
    assert len(told.notes) == 0
    assert told.shown.shape == (0, 4)


def test_nothing_to_tell_is_no_error():
    assert true_notes([]).values.shape == (0, VALUES)
