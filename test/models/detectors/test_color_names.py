"""Colours have the names that people give them, in light and in shade."""

from __future__ import annotations

import numpy as np
import pytest

from vega3d_ros.models.detectors.color_names import COLOR_NAMES, color_shares, mean_colors
from vega3d_ros.simulation.primitives import COLORS


def plain(color, count=100):
    return np.full((count, 3), np.round(np.array(color) * 255), np.uint8)


def test_the_colours_of_the_simulator_have_their_names():
    assert set(COLORS) <= set(COLOR_NAMES)
    assert {name: color_shares(plain(rgb))[0][0] for name, rgb in COLORS.items()} == {
        name: name for name in COLORS
    }


@pytest.mark.parametrize("name", ["red", "green", "blue", "purple"])
@pytest.mark.parametrize("light", [0.5, 0.75, 1.0])
def test_shade_leaves_a_colour_its_name(name, light):
    assert color_shares(plain(np.array(COLORS[name]) * light)) == ((name, 1.0),)


def test_pale_red_is_pink():
    assert color_shares(plain((1.0, 0.7, 0.75)))[0][0] == "pink"


def test_a_thing_of_two_colours_has_both():
    pixels = np.concatenate([plain(COLORS["blue"], 700), plain(COLORS["white"], 300)])
    assert color_shares(pixels) == (("blue", pytest.approx(0.7)), ("white", pytest.approx(0.3)))
    assert color_shares(np.concatenate([pixels] * 20)) == color_shares(pixels)


def test_no_pixels_have_no_colour():
    assert color_shares(np.empty((0, 3), np.uint8)) == ()
    assert mean_colors([(), ()]) == ()


def test_views_with_colours_count_alike_and_others_not_at_all():
    views = [(("red", 1.0),), (), (("brown", 0.8), ("red", 0.2))]
    assert mean_colors(views) == (("red", pytest.approx(0.6)), ("brown", pytest.approx(0.4)))
