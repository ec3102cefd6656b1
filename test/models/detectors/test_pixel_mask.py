"""Masks come back as they were put in, and take little room."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from vega3d_ros.models.detectors.pixel_mask import PixelMask


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=20)))
def test_pixels_come_back(pixels):
    mask = PixelMask.of(pixels)
    assert mask.shape == pixels.shape
    np.testing.assert_array_equal(mask.pixels(), pixels)


@given(st.integers(1, 90), st.integers(1, 120))
def test_it_takes_a_bit_for_each_pixel_of_its_rectangle(height, width):
    pixels = np.zeros((480, 640), np.bool_)
    pixels[50 : 50 + height, 30 : 30 + width] = True
    assert PixelMask.of(pixels).bits.nbytes == -(-height * width // 8)
