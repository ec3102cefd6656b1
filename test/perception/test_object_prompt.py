"""What the language model reads of detections, beside their names."""

import numpy as np
import pytest
import torch
from support.tiny_models import make_clip

from vega3d_ros.core.geometry import Box3D
from vega3d_ros.models.fusion.clip_tokens import ClipTokens
from vega3d_ros.models.grounders.base import Detection, View
from vega3d_ros.perception.object_prompt import describe, tokens_of

ROWS, COLUMNS = 6, 8  # of tokens of 10 x 10 pixels


def detection(*views):
    box = Box3D.upright([3.0, 0.5, 0.4], [0.6, 0.4, 0.8], 0.2)
    return Detection("chair", "chair", 0.9, box, np.eye(6), True, 1.0, "head", tuple(views))


def view(frame, score, *pixels):
    return View(frame, score, np.array(pixels, np.int32).reshape(-1, 2))


def read(clip, *views):
    tokens = ClipTokens.of(clip, [torch.zeros(ROWS, COLUMNS, 4)] * len(clip))
    (values,), (shown,) = describe([detection(*views)], clip, tokens)
    return values, shown


def test_of_several_views_of_one_frame_the_best_counts():
    for order in (1, -1):
        views = [view(0, 0.9, (5, 5)), view(0, 0.4, (5, 5)), view(1, 0.6, (25, 35))][::order]
        values, shown = read(make_clip(2), *views)
        assert values[-8:] == pytest.approx([0.9] * 4 + [0.6] * 4)
        assert np.flatnonzero(shown).tolist() == [0, ROWS * COLUMNS + 3 * COLUMNS + 2]
        assert shown[shown > 0] == pytest.approx([0.6, 0.4])


def test_places_are_those_of_the_newest_camera():
    clip = make_clip(3)  # level, and along x of the map
    values, _ = read(clip, view(0, 0.9, (5, 5)))
    assert values[:3] * 3 == pytest.approx([3.0 - 0.6, 0.5 - 0.1, 0.4 - 1.1], abs=1e-6)


def test_the_pixels_of_a_view_lie_in_their_tokens():
    clip = make_clip(1)
    at_edges = view(0, 1.0, (0, 0), (9, 9), (10, 9), (79, 59))
    assert tokens_of(at_edges, clip, (ROWS, COLUMNS)).tolist() == [0, 1, ROWS * COLUMNS - 1]
    box_alone = View(0, 1.0, np.empty((0, 2), np.int32), (20.0, 30.0, 40.0, 50.0))
    assert tokens_of(box_alone, clip, (ROWS, COLUMNS)).tolist() == [4 * COLUMNS + 3]
