"""Right and wrong."""

from __future__ import annotations

import numpy as np
import pytest

from vega3d_ros.core.geometry import SE3, Box3D
from vega3d_ros.core.objects import SceneObject
from vega3d_ros.evaluation.metrics.simulated import answer_score, is_right
from vega3d_ros.evaluation.schema import Question
from vega3d_ros.evaluation.scoring import (
    compare_objects,
    relation_is_right,
    true_relation,
)
from vega3d_ros.evaluation.sources.questions import Truth
from vega3d_ros.viz.floor_plan import TrueObject

LOOKS_ALONG_X = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def thing(label, center, size=(1.0, 1.0, 1.0)):
    return TrueObject(label, Box3D.upright(center, size, 0.0))


def found(label, center, score=0.9):
    box = Box3D.upright(center, (1.0, 1.0, 1.0), 0.0)
    return SceneObject(
        label=label,
        query=label,
        score=score,
        box=box,
        frame_id="map",
        stamp_ns=1,
        covariance=np.eye(6),
        orientation_estimated=True,
        observations=2,
        depth_coverage=1.0,
    )


def truth(objects, seen=None):
    return Truth(
        fixed_frame="map",
        objects=objects,
        seen=frozenset(objects if seen is None else seen),
        questions=(),
    )


@pytest.mark.parametrize(
    ("kind", "truth", "answer", "right"),
    [
        ("count", "3", "3", True),
        ("count", "3", "4", False),
        ("absolute_distance", "2.0", "2.5", True),
        ("absolute_distance", "2.0", "2.6", False),
        ("size", "80", "60", True),
        ("size", "80", "59", False),
        ("size", "80", "unknown", False),
        ("size", "unknown", "unknown", True),
        ("size", "unknown", "80", False),
        ("yes_no", "yes", "Yes ", True),
        ("attribute", "red", "", False),
        ("", "left", "left", True),
    ],
)
def test_answers(kind, truth, answer, right):
    assert is_right(kind, answer_score(kind, answer, truth)) is right


def test_objects_are_paired_by_label_with_the_least_total_distance():
    known = truth({"a": thing("chair", (0, 0, 0.5)), "b": thing("chair", (1, 0, 0.5))})
    # The first one is nearest to b as well; a greedy choice would leave a alone.
    near, far = found("chair", (0.9, 0, 0.5)), found("chair", (1.1, 0, 0.5))
    result = compare_objects([near, far], known.objects, known.seen)
    assert {match.id: match.found for match in result.matches} == {"a": near, "b": far}
    assert [round(match.error_m, 6) for match in result.matches] == [0.1, 0.9]
    assert result.matches[0].iou == pytest.approx(0.9 / 1.1)
    assert result.missed == []
    assert result.extra == []


def test_far_object_neither_matches_nor_displaces_a_near_one():
    known = truth({"a": thing("chair", (0, 0, 0.5))})
    far, near = found("chair", (1.6, 0, 0.5)), found("chair", (1.4, 0, 0.5))
    result = compare_objects([far, near], known.objects, known.seen)
    assert [match.found for match in result.matches] == [near]
    assert result.extra == [far]


def test_only_what_was_seen_can_be_missed():
    known = truth({"a": thing("bed", (0, 0, 0)), "b": thing("tv", (3, 0, 0))}, seen=["a"])
    result = compare_objects([found("chair", (0, 0, 0))], known.objects, known.seen)
    assert result.missed == ["a"]
    assert [item.label for item in result.extra] == ["chair"]


def test_relation_is_taken_from_the_camera_of_the_reply():
    known = truth({"a": thing("chair", (4, 2, 0.5)), "b": thing("table", (4, -2, 0.5))})
    question = Question.relation("chair", "table", 1.0, "a", "b")
    ahead = true_relation(question, known, SE3(LOOKS_ALONG_X, np.array([0.0, 0.0, 1.0])))
    back = np.diag([-1.0, -1.0, 1.0]) @ LOOKS_ALONG_X
    behind = true_relation(question, known, SE3(back, np.array([8.0, 0.0, 1.0])))
    assert relation_is_right(ahead, ["left of", "near"]) is True
    assert relation_is_right(ahead, ["right of"]) is False
    assert relation_is_right(behind, ["right of"]) is True
    assert ahead.distance_m == pytest.approx(3.0)


def test_relation_of_unknown_things_is_not_scored():
    known = truth({"a": thing("chair", (4, 2, 0.5))})
    pose = SE3(LOOKS_ALONG_X, np.zeros(3))
    assert true_relation(Question.relation("chair", "table", 1.0), known, pose) is None


def test_relation_without_a_clear_direction_is_not_scored():
    known = truth({"a": thing("box", (4, 0, 0.5)), "b": thing("table", (4, 0, 0.5))})
    pose = SE3(LOOKS_ALONG_X, np.zeros(3))
    same = true_relation(Question.relation("box", "table", 1.0, "a", "b"), known, pose)
    assert relation_is_right(same, ["left of"]) is None
