from dataclasses import replace

import numpy as np
import pytest

from vega3d_ros.core.geometry import Box3D
from vega3d_ros.core.objects import SceneObject, publishable

CHAIR = replace(
    SceneObject.certain("chair", Box3D.upright([1, 0, 0.5], [1, 1, 1]), "map"),
    covariance=np.eye(6),
    score=0.6,
)


def test_what_is_probable_enough_and_sound_may_be_published():
    fit, unfit = publishable([CHAIR, replace(CHAIR, score=0.4)], "map", 0.5)
    assert (fit, unfit) == ((CHAIR,), [])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"frame_id": "odom"}, "it is in 'odom', the message in 'map'"),
        ({"covariance": np.zeros((6, 6))}, "its variances"),
        ({"label": ""}, "it has no label"),
    ],
)
def test_what_a_message_cannot_carry_is_left_out_with_the_reason(wrong, said):
    item = replace(CHAIR, **wrong)
    fit, unfit = publishable([item, CHAIR], "map", 0.0)
    assert fit == (CHAIR,)
    ((left_out, reason),) = unfit
    assert left_out is item
    assert reason.startswith(said)
