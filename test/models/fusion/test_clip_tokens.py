import numpy as np
import pytest
import torch
from support.tiny_models import make_clip

from vega3d_ros.models.fusion.clip_tokens import ClipTokens

pytestmark = pytest.mark.numeric

ROWS, COLUMNS = 2, 4


def of(clip):
    frames = torch.arange(len(clip) * ROWS * COLUMNS * 3.0).view(len(clip), ROWS, COLUMNS, 3)
    return ClipTokens.of(clip, list(frames))


def test_tokens_are_placed_in_the_frame_of_the_newest_camera():
    """The camera drives 0.3 m along its view from frame to frame."""
    behind = of(make_clip(3)).features.view(3, -1, 24)[..., 13:16] * 3
    for frame, metres in enumerate((-0.6, -0.3, 0.0)):
        assert np.allclose(behind[frame], [metres, 0, 0], atol=1e-6)


def test_without_poses_tokens_are_not_placed():
    assert not of(make_clip(2, pose=False)).features[:, 11:].any()


def test_a_token_is_known_by_frame_row_and_column():
    tokens = of(make_clip(3))
    for frame, row, column in [(0, 0, 0), (1, 0, 3), (2, 1, 2)]:
        number = (frame * ROWS + row) * COLUMNS + column
        assert tokens.place(number) == (frame, row, column)
        assert torch.equal(tokens.flat[number], tokens.tokens[frame, row, column])
