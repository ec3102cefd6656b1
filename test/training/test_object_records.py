import numpy as np
import pytest

from vega3d_ros.core.geometry import SE3
from vega3d_ros.models.mllms.qwen2_5_vl.object_tokens import VALUES
from vega3d_ros.simulation.visibility import visible_objects
from vega3d_ros.training.object_records import (
    COLOR_NAMES,
    RECALL_SIZE,
    ObjectRecords,
    augment_detections,
    in_frame,
    mention_targets,
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


def test_an_object_of_few_pixels_is_not_visible():
    assert visible_objects([thing("bed", pixels=(3, 2)), thing("sofa")])[0]["label"] == "sofa"


def test_boxes_move_with_the_frame():
    moved = in_frame(thing("bed"), SE3(np.eye(3), np.array([0, 0, 1.0])))
    np.testing.assert_allclose(moved["center"], [2, 0, 1.5])
    assert moved["label"] == "bed"


def test_a_mention_of_one_object_has_its_whole_record_as_target():
    (bed,) = mention_targets("How large is the bed in centimetres?", THINGS)
    assert bed.end == len("How large is the bed")
    recalled = bed.recalled
    np.testing.assert_array_equal(recalled[:VALUES], true_values(THINGS[0]))
    assert recalled[VALUES:-1].argmax() == COLOR_NAMES.index("red")
    assert recalled[VALUES:-1].sum() == 1
    assert recalled[-1] == 1


def test_a_mention_of_several_objects_or_none_has_their_number_as_target():
    (chairs,), (sofa,) = (
        mention_targets("Count the chairs.", THINGS),
        mention_targets("Is there a sofa?", THINGS),
    )
    assert chairs.recalled[-1] == 2
    assert sofa.recalled[-1] == 0
    for mention in (chairs, sofa):
        assert np.isnan(mention.recalled[: RECALL_SIZE - 1]).all()
        assert np.isnan(mention.related).all()


def test_a_colour_makes_a_mention_unique():
    (chair,) = mention_targets("How large is the blue chair?", THINGS)
    np.testing.assert_array_equal(chair.recalled[:VALUES], true_values(THINGS[1]))


def test_objects_are_related_to_those_named_before():
    room = [thing("bed", (0, 0, 0)), thing("chair", (3, 0, 0)), thing("table", (3, 4, 0))]
    text = "Standing at the bed and facing the chair, is the table to my left?"
    bed, chair, table = (mention.related for mention in mention_targets(text, room))
    assert np.isnan(bed).all()
    assert chair[:3] == pytest.approx([1, 0, 0])
    assert chair[3] < 1  # between the boxes, not their centres
    assert np.isnan(chair[4:]).all()
    assert table[:3] == pytest.approx([0, 4 / 3, 0])
    assert table[4:7] == pytest.approx([1, 4 / 3, 0])
    assert table[8:] == pytest.approx([4 / 5, 3 / 5])  # to the left, and ahead


def test_a_mention_behind_an_absent_object_has_no_relation():
    _, chair = mention_targets("How far is the sofa from the blue chair in metres?", THINGS)
    assert np.isnan(chair.related).all()


@pytest.mark.parametrize("poses", [True, False])
def test_augmented_objects_are_like_the_true_ones(poses):
    rng = np.random.default_rng(0)
    seen = [augment_detections(THINGS, SHOWN, rng, depth=True, poses=poses) for _ in range(200)]
    right = [
        (values, records)
        for records in seen
        for label, values in zip(records.labels, records.values, strict=True)
        if label == "bed"
    ]
    assert 140 < len(right) < 240
    errors = [np.linalg.norm(values[:2] - np.array([2.0, 0.0]) / 3) for values, _ in right]
    assert 0.01 < np.median(errors) < 0.15
    for records in seen:
        assert records.values.shape == (len(records), VALUES)
        if len(records):
            np.testing.assert_allclose(records.shown.sum(axis=1), 1, atol=1e-5)


def test_without_poses_only_the_newest_frame_counts():
    gone = [thing("bed", pixels=(900, 0))]
    records = augment_detections(
        gone, SHOWN[:1], np.random.default_rng(0), depth=True, poses=False
    )
    assert len(records) == 0
    assert records.shown.shape == (0, 4)


def test_records_of_no_object_are_empty():
    assert ObjectRecords.of_truth([]).values.shape == (0, VALUES)
