"""What the network sees at a place lies at that place of the image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vega3d_ros.models.detectors.letterbox import Letterbox

SIDES = st.integers(40, 900)


@given(SIDES, SIDES, st.booleans())
def test_the_whole_image_comes_back_from_where_it_was_put(height, width, centered):
    place = Letterbox((height, width), (416, 352), centered)
    (rows, columns), (top, left) = place.resized, place.offset
    assert rows == 416 or columns == 352
    assert 0 <= top <= 416 - rows
    assert 0 <= left <= 352 - columns
    box = np.array([[left, top, left + columns, top + rows]], np.float32)
    assert place.to_image(box)[0] == pytest.approx([0, 0, width, height])


@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize(
    ("height", "width"), [(480, 640), (640, 480), (333, 777), (777, 333), (101, 99), (1080, 1920)]
)
def test_a_square_seen_in_the_input_is_found_in_the_image(height, width, centered):
    x0, y0, x1, y1 = width // 4, height // 3, width // 2, 2 * height // 3
    image = np.zeros((height, width, 3), np.uint8)
    image[y0:y1, x0:x1] = 255
    place = Letterbox((height, width), (416, 416), centered)
    seen = place.put(image, 0)[..., 0] > 127
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    box = np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], np.float32)
    pixel = max(height, width) / 416  # of the input, in pixels of the image
    assert place.to_image(box)[0] == pytest.approx([x0, y0, x1, y1], abs=pixel)


def test_the_border_is_as_asked():
    image = np.full((100, 200, 3), 7, np.uint8)
    corner = Letterbox((100, 200), (416, 416), centered=False).put(image, 114)
    assert corner[0, 0, 0] == 7
    assert corner[-1, -1, 0] == 114
    middle = Letterbox((100, 200), (416, 416), centered=True).put(image, 0)
    assert middle[0, 0, 0] == middle[-1, -1, 0] == 0
    assert middle[208, 208, 0] == 7
