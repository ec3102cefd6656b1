"""Raw outputs become boxes where their points lie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vega3d_ros.models.detectors.decoding import (
    NANODET_STRIDES,
    YOLOX_STRIDES,
    decode_nanodet,
    decode_yolox,
    grid_points,
)

SIZES = st.tuples(st.sampled_from([320, 416, 480, 640]), st.sampled_from([320, 416, 512]))


@given(SIZES, st.data())
def test_points_go_row_by_row_and_stride_after_stride(size, data):
    points, strides = grid_points(size, NANODET_STRIDES)
    stride = data.draw(st.sampled_from(NANODET_STRIDES))
    rows, columns = -(-size[0] // stride), -(-size[1] // stride)
    row, column = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    before = sum(
        -(-size[0] // s) * -(-size[1] // s)
        for s in NANODET_STRIDES[: NANODET_STRIDES.index(stride)]
    )
    index = before + row * columns + column
    assert points[index].tolist() == [column * stride, row * stride]
    assert strides[index] == stride


def test_the_published_input_has_the_published_number_of_points():
    assert len(grid_points((416, 416), NANODET_STRIDES)[0]) == 3598
    assert len(grid_points((416, 416), YOLOX_STRIDES)[0]) == 3549


@given(st.integers(0, 3597), st.lists(st.integers(0, 7), min_size=4, max_size=4))
def test_a_certain_nanodet_distance_gives_that_many_strides(index, distances):
    output = np.zeros((3598, 3 + 32), np.float32)
    output[index, 1] = 0.75
    for side, distance in enumerate(distances):
        output[index, 3 + side * 8 + distance] = 100.0
    boxes, scores = decode_nanodet(output, (416, 416))
    points, strides = grid_points((416, 416), NANODET_STRIDES)
    (x, y), stride = points[index], strides[index, 0]
    left, top, right, bottom = (stride * distance for distance in distances)
    assert boxes[index] == pytest.approx([x - left, y - top, x + right, y + bottom])
    assert np.argwhere(scores > 0.5).tolist() == [[index, 1]]


def test_an_uncertain_nanodet_distance_is_the_mean_of_its_distribution():
    output = np.zeros((3598, 1 + 32), np.float32)
    boxes, _ = decode_nanodet(output, (416, 416))
    assert boxes[0] == pytest.approx([-3.5 * 8, -3.5 * 8, 3.5 * 8, 3.5 * 8])


@given(
    st.integers(0, 3548), st.floats(0, 1), st.floats(0, 1), st.floats(1, 400), st.floats(1, 400)
)
def test_a_planted_yolox_box_comes_back(index, dx, dy, width, height):
    points, strides = grid_points((416, 416), YOLOX_STRIDES)
    stride = strides[index, 0]
    output = np.zeros((3549, 5 + 2), np.float32)
    output[index] = [dx, dy, np.log(width / stride), np.log(height / stride), 0.5, 0.0, 0.8]
    boxes, scores = decode_yolox(output, (416, 416))
    x, y = points[index] + np.array([dx, dy]) * stride
    expected = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    assert boxes[index] == pytest.approx(expected, rel=1e-4, abs=1e-2)
    assert scores[index] == pytest.approx([0.0, 0.4])
