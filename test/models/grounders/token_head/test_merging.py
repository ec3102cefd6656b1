from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vega3d_ros.core.geometry import SE3, Box3D
from vega3d_ros.models.grounders.base import UNKNOWN_ROTATION_VARIANCE
from vega3d_ros.models.grounders.distinct import distinct
from vega3d_ros.models.grounders.token_head.merging import (
    BoxPrediction,
    Candidate,
    group,
    merge,
    promising,
)

pytestmark = pytest.mark.numeric


def candidate(center, *, frame=0, score=0.9, yaw=0.0, std=0.1, heading=1.0, at=(0.0, 0.0, 0.0)):
    """A unit-high box at ``center`` of the map, proposed from a camera at ``at``."""
    box = Box3D.upright(np.array(center) - at, [1.0, 0.5, 1.0], yaw)
    proposal = BoxPrediction(box, std, 0.05, heading, measured=frame % 2 == 0)
    return Candidate(frame, (0, 0), score, proposal, SE3(np.eye(3), np.array(at)), (28, 28))


def merged(candidates, threshold=0.5, output=None):
    return [
        merge(one, "the chair", output or SE3.identity()) for one in group(candidates, threshold)
    ]


def test_candidates_of_one_thing_from_several_frames_are_one_object():
    found = merged(
        [
            candidate([3, 0, 0], frame=0),
            candidate([3.1, 0.05, 0], frame=1, at=(0.5, 0, 0)),
            candidate([2.95, 0, 0], frame=2, score=0.8),
            candidate([3, 0, 0], frame=2, score=0.7),
        ]
    )
    assert len(found) == 1
    assert {view.frame for view in found[0].views} == {0, 1, 2}
    assert found[0].score == pytest.approx(0.9)
    assert found[0].depth_coverage == pytest.approx(2 / 3)
    assert np.linalg.norm(found[0].box.center - [3, 0, 0]) < 0.1


def test_things_apart_stay_apart_and_weak_ones_are_left_out():
    found = merged(
        [candidate([3, 0, 0]), candidate([3, 2, 0], score=0.8), candidate([5, -2, 0], score=0.3)]
    )
    assert [round(float(o.box.center[1])) for o in found] == [0, 2]


def test_several_frames_outvote_one_token():
    alone = [candidate([3, 2, 0], score=0.9)]
    together = [candidate([3, -2, 0], frame=f, score=0.7) for f in (1, 2, 3)]
    found = merged([*alone, *together])
    assert [round(float(o.box.center[1])) for o in found] == [-2, 2]
    assert [o.score for o in found] == pytest.approx([0.7, 0.9])


def test_a_surer_range_weighs_more():
    found = merged([candidate([3, 0, 0], std=0.02), candidate([3.4, 0, 0], frame=1, std=0.4)])
    assert found[0].box.center[0] == pytest.approx(3, abs=0.03)


def test_opposite_headings_agree_and_crossed_ones_cancel():
    agree = merged(
        [candidate([3, 0, 0], yaw=0.3), candidate([3, 0, 0], frame=1, yaw=0.3 - np.pi)]
    )[0]
    assert agree.orientation_estimated
    assert agree.box.yaw % np.pi == pytest.approx(0.3)
    crossed = merged([candidate([3, 0, 0], yaw=0), candidate([3, 0, 0], frame=1, yaw=np.pi / 2)])[
        0
    ]
    assert not crossed.orientation_estimated
    assert crossed.covariance[5, 5] == pytest.approx(UNKNOWN_ROTATION_VARIANCE)


def test_uncertainty_lies_along_the_view_and_turns_with_the_output_frame():
    far = merged([candidate([4, 0, 0], std=0.5)])[0]
    assert far.covariance[0, 0] > 10 * far.covariance[1, 1]
    quarter = SE3.from_quaternion([0, 0, np.sqrt(0.5), np.sqrt(0.5)], [1, 2, 3])
    turned = merged([candidate([4, 0, 0], std=0.5)], output=quarter)[0]
    assert np.allclose(turned.box.center, [1, 6, 3])
    assert turned.covariance[1, 1] == pytest.approx(far.covariance[0, 0])
    assert np.linalg.eigvalsh(turned.covariance).min() > 0


def test_uncertainty_follows_a_turn_that_is_no_symmetry_of_its_axes():
    turn = SE3.from_quaternion(Rotation.from_euler("ZYX", [0.5, 0.3, -0.2]).as_quat(), [0, 0, 0])
    spread = merged([candidate([4, 1, 0], std=0.5)])[0].covariance
    turned = merged([candidate([4, 1, 0], std=0.5)], output=turn)[0].covariance
    for part in (slice(0, 3), slice(3, 6)):
        expected = turn.rotation @ spread[part, part] @ turn.rotation.T
        assert np.allclose(turned[part, part], expected)


def test_uncertainty_lies_along_the_ray_of_a_camera_that_looks_anywhere():
    looking = SE3(Rotation.from_euler("z", 0.5).as_matrix(), np.array([1.0, 2.0, 0.0]))
    one = replace(candidate([4, 0, 0], std=0.5), working_from_level=looking)
    ray = np.array([np.cos(0.5), np.sin(0.5), 0.0])
    assert np.allclose(one.covariance @ ray, (0.5**2 + 1e-4) * ray)
    assert np.allclose(one.box.center, looking.translation + 4 * ray)


def test_more_frames_narrow_the_estimate_more_tokens_do_not():
    one = merged([candidate([3, 0, 0])])[0]
    same_frame = merged([candidate([3, 0, 0]), candidate([3, 0, 0])])[0]
    two_frames = merged([candidate([3, 0, 0]), candidate([3, 0, 0], frame=1)])[0]
    assert same_frame.covariance[0, 0] == pytest.approx(one.covariance[0, 0])
    assert two_frames.covariance[0, 0] < one.covariance[0, 0]


def test_nothing_seen_is_no_object():
    assert merged([]) == []


def test_of_two_names_for_one_space_the_surer_is_kept():
    one, other = merged([candidate([3, 0, 0], score=0.7), candidate([3, 3, 0], score=0.6)])
    (double,) = merged([candidate([3.1, 0, 0], score=0.8)])
    assert distinct([one, other, double]) == [double, other]


def test_every_frame_has_its_say():
    """Many good tokens of one frame do not keep out the best of another."""
    scores = np.concatenate([np.full(10, 0.9), [0.6, *np.full(9, 0.1)], np.full(10, 0.2)])
    tokens = promising(scores.astype(np.float32), 3)
    assert set(tokens) == {0, 1, 2, 3, 10}
