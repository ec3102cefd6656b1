from __future__ import annotations

import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vega3d_ros.sensing.image_decoding import (
    depth_to_metres,
    fill_image,
    image_to_rgb,
)
from vega3d_ros.sensing.raw_images import ImageError

COLORS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}


def message(pixels, encoding, padding=0, big_endian=False):
    """An Image whose rows are followed by ``padding`` bytes, as drivers with aligned rows send."""
    height, width = pixels.shape[:2]
    rows = pixels.astype(pixels.dtype.newbyteorder(">" if big_endian else "<"))
    rows = np.frombuffer(rows.tobytes(), np.uint8).reshape(height, -1)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    return SimpleNamespace(
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=int(big_endian),
        step=padded.shape[1],
        data=padded.tobytes(),
    )


def compressed(data, text):
    return SimpleNamespace(format=text, data=bytes(data))


@given(
    encoding=st.sampled_from(sorted(COLORS)),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    padding=st.integers(0, 7),
    data=st.data(),
)
def test_color_encodings_with_any_step(encoding, size, padding, data):
    channels = COLORS[encoding]
    pixels = data.draw(arrays(np.uint8, (*size, channels)))
    rgb = image_to_rgb(message(pixels, encoding, padding))
    expected = pixels[..., [0, 0, 0]] if channels == 1 else pixels[..., :3]
    if encoding.startswith("bgr"):
        expected = expected[..., ::-1]
    assert rgb.dtype == np.uint8
    np.testing.assert_array_equal(rgb, expected)


@given(depth=arrays(np.uint16, (3, 5)), padding=st.integers(0, 5), big_endian=st.booleans())
def test_16uc1_is_millimetres_and_zero_and_65535_are_unknown(depth, padding, big_endian):
    metres = depth_to_metres(message(depth, "16UC1", padding, big_endian))
    assert metres.dtype == np.float32
    known = (depth > 0) & (depth < 65535)
    np.testing.assert_array_equal(np.isnan(metres), ~known)
    np.testing.assert_allclose(metres[known], depth[known] / 1000, rtol=1e-6)


@given(
    depth=arrays(
        np.float32,
        (3, 5),
        elements=st.floats(-10, 10, width=32) | st.just(np.nan) | st.just(np.inf),
    ),
    big_endian=st.booleans(),
)
def test_32fc1_is_metres_and_what_is_no_distance_is_unknown(depth, big_endian):
    metres = depth_to_metres(message(depth, "32FC1", 4, big_endian))
    known = np.isfinite(depth) & (depth > 0)
    np.testing.assert_array_equal(metres[known], depth[known])
    assert np.isnan(metres[~known]).all()


def test_rgb8_is_a_view_even_with_padded_rows():
    data = bytearray(message(np.zeros((4, 3, 3), np.uint8), "rgb8", padding=5).data)
    msg = message(np.zeros((4, 3, 3), np.uint8), "rgb8", padding=5)
    msg.data = data
    rgb = image_to_rgb(msg)
    data[msg.step * 2 + 1] = 200
    assert rgb[2, 0, 1] == 200


def test_both_message_libraries_are_read_alike():
    from sensor_msgs.msg import Image

    pixels = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    rclpy_image = Image()
    fill_image(rclpy_image, pixels, "bgr8")
    as_arrays = message(pixels, "bgr8")
    as_arrays.data = np.frombuffer(as_arrays.data, np.uint8)  # as rosbags gives it
    np.testing.assert_array_equal(image_to_rgb(rclpy_image), image_to_rgb(as_arrays))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"encoding": "theora"}, "theora.*rgb8"),
        ({"encoding": "16UC1"}, "depth"),
        ({"step": 8}, "step"),
        ({"data": b"123"}, "3 bytes"),
        ({"height": 0}, "empty"),
    ],
)
def test_unusable_color_is_refused_by_name(change, word):
    msg = message(np.zeros((4, 3, 3), np.uint8), "rgb8")
    vars(msg).update(change)
    with pytest.raises(ImageError, match=word):
        image_to_rgb(msg)


def test_unusable_depth_is_refused_by_name():
    with pytest.raises(ImageError, match=r"mono16.*16UC1"):
        depth_to_metres(message(np.zeros((4, 3), np.uint16), "mono16"))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("jpeg", "jpg"),
        ("rgb8; jpeg compressed bgr8", "jpg"),
        ("png", "png"),
        ("bgr8; png compressed bgr8", "png"),
    ],
)
def test_compressed_color(text, kind):
    pixels = np.full((16, 16, 3), (10, 30, 220), np.uint8)
    _, data = cv2.imencode(f".{kind}", pixels)
    rgb = image_to_rgb(compressed(data, text))
    np.testing.assert_allclose(rgb[8, 8].astype(int), [220, 30, 10], atol=6)


def test_channels_stored_in_rgb_order_are_not_swapped():
    pixels = np.full((16, 16, 3), (10, 30, 220), np.uint8)
    _, data = cv2.imencode(".png", pixels)
    rgb = image_to_rgb(compressed(data, "rgb8; png compressed rgb8"))
    assert rgb[0, 0].tolist() == [10, 30, 220]


@pytest.mark.parametrize("data", [b"", b"no image", b"\xff\xd8\xff\xe0 cut"])
def test_damaged_compressed_images_are_refused(data):
    with pytest.raises(ImageError, match="decode"):
        image_to_rgb(compressed(data, "jpeg"))


def depth_png(values):
    return cv2.imencode(".png", values)[1].tobytes()


def test_compressed_depth_in_millimetres():
    values = np.array([[0, 1500], [65535, 1]], np.uint16)
    expected = np.array([[np.nan, 1.5], [np.nan, 0.001]], np.float32)
    for text, header in (
        ("16UC1; compressedDepth png", bytes(12)),
        ("16UC1; png compressed", b""),
    ):
        metres = depth_to_metres(compressed(header + depth_png(values), text))
        np.testing.assert_allclose(metres, expected, rtol=1e-6)


def test_compressed_depth_in_metres_is_stored_inverted():
    """As compressed_depth_image_transport quantises: v = A / z + B."""
    scale, offset = 101.0, -9.1
    depth = np.array([[0.5, 2.0], [8.0, np.nan]], np.float32)
    values = np.where(np.isnan(depth), 0, np.round(scale / depth + offset)).astype(np.uint16)
    data = struct.pack("<iff", 0, scale, offset) + depth_png(values)
    metres = depth_to_metres(compressed(data, "32FC1; compressedDepth png"))
    np.testing.assert_allclose(metres, depth, rtol=0.06)
    assert np.isnan(metres[1, 1])


def test_compressed_depth_that_is_not_png_is_refused_with_the_remedy():
    with pytest.raises(ImageError, match="format to png"):
        depth_to_metres(compressed(bytes(12) + b"RVL data", "16UC1; compressedDepth rvl"))
    with pytest.raises(ImageError, match="depth"):
        image_to_rgb(compressed(b"", "16UC1; compressedDepth png"))
    eight_bit = compressed(depth_png(np.zeros((2, 2), np.uint8)), "png")
    with pytest.raises(ImageError, match="uint8"):
        depth_to_metres(eight_bit)


@given(encoding=st.sampled_from(sorted(COLORS)), data=st.data())
def test_fill_image_and_back(encoding, data):
    from sensor_msgs.msg import Image

    channels = COLORS[encoding]
    pixels = data.draw(arrays(np.uint8, (4, 6, channels) if channels > 1 else (4, 6)))
    msg = Image()
    fill_image(msg, pixels, encoding)
    assert (msg.height, msg.width, msg.step) == (4, 6, 6 * channels)
    assert bytes(msg.data) == pixels.tobytes()
    fill_image(other := Image(), np.asfortranarray(pixels), encoding)
    assert bytes(other.data) == pixels.tobytes()
