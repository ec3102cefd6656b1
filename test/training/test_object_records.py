import numpy as np
import pytest

from vega3d_ros.core.geometry import SE3
from vega3d_ros.models.mllms.qwen2_5_vl.object_tokens import VALUES
from vega3d_ros.training.object_records import (
    COLOR_NAMES,
    RECALLED,
    brought,
    misjudged,
    noticed,
    placed,
    true_notes,
    true_values,
)

pytestmark = pytest.mark.numeric


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
    (bed,) = brought("How large is the bed in centimetres?", THINGS)
    assert bed.end == len("How large is the bed")
    wanted = bed.recalled
    np.testing.assert_array_equal(wanted[:VALUES], true_values(THINGS[0]))
    assert wanted[VALUES:-1].argmax() == COLOR_NAMES.index("red")
    assert wanted[VALUES:-1].sum() == 1
    assert wanted[-1] == 1


def test_a_mention_of_several_things_or_none_brings_back_how_many():
    (chairs,), (sofa,) = brought("Count the chairs.", THINGS), brought("Is there a sofa?", THINGS)
    assert chairs.recalled[-1] == 2
    assert sofa.recalled[-1] == 0
    for mention in (chairs, sofa):
        assert np.isnan(mention.recalled[: RECALLED - 1]).all()
        assert np.isnan(mention.related).all()


def test_a_colour_makes_a_mention_single():
    (chair,) = brought("How large is the blue chair?", THINGS)
    np.testing.assert_array_equal(chair.recalled[:VALUES], true_values(THINGS[1]))


def test_things_are_related_to_those_named_before():
    room = [thing("bed", (0, 0, 0)), thing("chair", (3, 0, 0)), thing("table", (3, 4, 0))]
    text = "Standing at the bed and facing the chair, is the table to my left?"
    bed, chair, table = (mention.related for mention in brought(text, room))
    assert np.isnan(bed).all()
    assert chair[:3] == pytest.approx([1, 0, 0])
    assert chair[3] < 1  # between the boxes, not their centres
    assert np.isnan(chair[4:]).all()
    assert table[:3] == pytest.approx([0, 4 / 3, 0])
    assert table[4:7] == pytest.approx([1, 4 / 3, 0])
    assert table[8:] == pytest.approx([4 / 5, 3 / 5])  # to the left, and ahead


def test_what_fits_nothing_relates_to_nothing():
    _, chair = brought("How far is the sofa from the blue chair in metres?", THINGS)
    assert np.isnan(chair.related).all()


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
