import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from support.closeness import assert_close_to_magnitude, differs_beyond_rounding

from vega3d_ros.core.geometry import Box3D
from vega3d_ros.models.mllms.qwen2_5_vl.object_tokens import (
    MOMENTS,
    VALUES,
    ObjectTokens,
    object_values,
)

pytestmark = pytest.mark.numeric

SEEN = np.linspace(0, 1, 8)


@given(st.floats(-3.1, 3.1), st.floats(0.1, 3), st.floats(0.1, 3))
def test_a_box_has_one_description(yaw, length, width):
    """Sides may be named either way round, and half a turn changes nothing."""
    assume(abs(length - width) > 1e-6)
    box = Box3D.upright([1, 2, 0.5], [length, width, 1], yaw)
    for same in (
        Box3D.upright([1, 2, 0.5], [length, width, 1], yaw + np.pi),
        Box3D.upright([1, 2, 0.5], [width, length, 1], yaw + np.pi / 2),
    ):
        np.testing.assert_allclose(
            object_values(same, 0.9, SEEN), object_values(box, 0.9, SEEN), atol=1e-5
        )


@pytest.mark.parametrize("frames", [1, 3, 8, 12, 32])
def test_clips_of_any_length_have_the_same_moments(frames):
    seen = np.zeros(frames)
    seen[-1] = 0.7
    moments = object_values(Box3D.upright([1, 0, 0], [1, 1, 1], 0), 0.9, seen)[-MOMENTS:]
    assert moments[-1] == pytest.approx(0.7)
    assert (moments[: MOMENTS - int(np.ceil(MOMENTS / frames))] == 0).all()


def test_every_part_of_an_object_changes_its_token():
    torch.manual_seed(0)
    module = ObjectTokens(16, 3)
    names, words = torch.randn(2, 16), torch.randn(3, 16)
    colors, values = torch.eye(4)[:2], torch.randn(2, VALUES)
    tokens = module(names, colors, words, values)
    assert tokens.shape == (2, 16)
    for changed in (
        module(names + 1, colors, words, values),
        module(names, colors.flip(0), words, values),
        module(names, colors, words, values + 1),
    ):
        assert differs_beyond_rounding(changed, tokens)


def test_colours_are_probabilities():
    module = ObjectTokens(16, 3)
    colors = module.colors(torch.randn(5, 16))
    assert colors.shape == (5, 4)
    assert_close_to_magnitude(colors.sum(-1), torch.ones(5), "elementwise")
