"""Every encoding that cameras send, with padded rows, both byte orders and odd sizes."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vega3d_ros.sensing.image_decoding import fill_image
from vega3d_ros.sensing.raw_images import ImageError, raw_depth, raw_to_rgb

ORDER = {"rgb": [0, 1, 2], "bgr": [2, 1, 0], "rgba": [0, 1, 2, 3], "bgra": [2, 1, 0, 3]}
PACKED = {
    **{f"{name}{bits}": (name, bits) for name in ORDER for bits in (8, 16)},
    "8UC3": ("bgr", 8),
    "8UC4": ("bgra", 8),
    "16UC3": ("bgr", 16),
    "16UC4": ("bgra", 16),
}
GREY = {"mono8": 8, "8UC1": 8, "mono16": 16}
BAYER = ("rggb", "bggr", "gbrg", "grbg")
YUV422 = {"yuv422": "uyvy", "uyvy": "uyvy", "yuv422_yuy2": "yuyv", "yuyv": "yuyv", "yvyu": "yvyu"}
PLANES = ("nv12", "nv21", "nv24")
SIZES = st.tuples(st.integers(1, 11), st.integers(1, 11))
COLORS = st.tuples(*[st.integers(20, 235)] * 3)


def message(pixels, encoding, padding=0, big_endian=False):
    """An Image of an array, whose rows are followed by ``padding`` bytes."""
    pixels = pixels.astype(pixels.dtype.newbyteorder(">" if big_endian else "<"))
    rows = np.frombuffer(pixels.tobytes(), np.uint8).reshape(pixels.shape[0], -1)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    return SimpleNamespace(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=int(big_endian),
        step=padded.shape[1],
        data=padded.tobytes(),
    )


def to_yuv(rgb):
    """BT.601 with 16 to 235, as cameras send it."""
    r, g, b = (np.asarray(rgb, float) / 255)[..., [0, 1, 2]].T
    y = 16 + 65.481 * r + 128.553 * g + 24.966 * b
    u = 128 - 37.797 * r - 74.203 * g + 112 * b
    v = 128 + 112 * r - 93.786 * g - 18.214 * b
    return (round(value) for value in (float(y), float(u), float(v)))


@given(
    encoding=st.sampled_from(sorted(PACKED)),
    size=SIZES,
    padding=st.integers(0, 9),
    big_endian=st.booleans(),
    data=st.data(),
)
def test_packed_colors(encoding, size, padding, big_endian, data):
    name, bits = PACKED[encoding]
    kind = np.uint8 if bits == 8 else np.uint16
    pixels = data.draw(arrays(kind, (*size, len(ORDER[name]))))
    rgb = raw_to_rgb(message(pixels, encoding, padding, big_endian))
    expected = pixels[..., ORDER[name][:3]]
    if bits == 16:
        expected = np.rint(expected / 257)
    assert rgb.dtype == np.uint8
    np.testing.assert_array_equal(rgb, expected)


@given(
    encoding=st.sampled_from(sorted(GREY)),
    size=SIZES,
    padding=st.integers(0, 9),
    big_endian=st.booleans(),
    data=st.data(),
)
def test_grey(encoding, size, padding, big_endian, data):
    pixels = data.draw(arrays(np.uint8 if GREY[encoding] == 8 else np.uint16, size))
    rgb = raw_to_rgb(message(pixels, encoding, padding, big_endian))
    expected = pixels if GREY[encoding] == 8 else np.rint(pixels / 257)
    np.testing.assert_array_equal(rgb, np.repeat(expected[..., None], 3, axis=2))


@given(
    pattern=st.sampled_from(BAYER),
    bits=st.sampled_from([8, 16]),
    size=SIZES,
    color=COLORS,
    padding=st.integers(0, 3),
    big_endian=st.booleans(),
)
def test_bayer_of_one_color_gives_that_color_at_every_size(
    pattern, bits, size, color, padding, big_endian
):
    if min(size) < 2:
        size = tuple(max(2, value) for value in size)  # one row shows two of the three colours
    cell = np.array([color["rgb".index(letter)] for letter in pattern]).reshape(2, 2)
    mosaic = np.tile(cell, (6, 6))[: size[0], : size[1]]
    pixels = mosaic.astype(np.uint8) if bits == 8 else (mosaic * 257).astype(np.uint16)
    rgb = raw_to_rgb(message(pixels, f"bayer_{pattern}{bits}", padding * (bits // 8), big_endian))
    assert rgb.shape == (*size, 3)
    np.testing.assert_array_equal(rgb, np.broadcast_to(color, rgb.shape))


def test_a_single_row_of_bayer_is_still_an_image():
    assert raw_to_rgb(message(np.full((1, 5), 90, np.uint8), "bayer_rggb8")).shape == (1, 5, 3)


@given(
    encoding=st.sampled_from(sorted(YUV422)), size=SIZES, color=COLORS, padding=st.integers(0, 9)
)
def test_yuv422_of_one_color_gives_that_color_at_every_size(encoding, size, color, padding):
    y, u, v = to_yuv(color)
    order = YUV422[encoding]
    quad = [{"y": y, "u": u, "v": v}[letter] for letter in order]
    row = np.tile(quad, size[1])[: 2 * size[1]].astype(np.uint8)
    pixels = np.tile(row, (size[0], 1)).reshape(*size, 2)
    rgb = raw_to_rgb(message(pixels, encoding, padding))
    assert rgb.shape == (*size, 3)
    if size[1] > 1:  # a single pixel has one of its two colours
        np.testing.assert_allclose(rgb, np.broadcast_to(color, rgb.shape), atol=4)


@given(encoding=st.sampled_from(PLANES), size=SIZES, color=COLORS, padding=st.integers(0, 9))
def test_planes_of_one_color_give_that_color_at_every_size(encoding, size, color, padding):
    y, u, v = to_yuv(color)
    pair = (v, u) if encoding == "nv21" else (u, v)
    height, width = size
    half = 1 if encoding == "nv24" else 2
    rows, columns = -(-height // half), -(-width // half)
    step = max(width, 2 * columns if half == 2 else width) + padding
    luma = np.full((height, step), 77, np.uint8)
    luma[:, :width] = y
    chroma = np.full((rows, step * (1 if half == 2 else 2)), 77, np.uint8)
    chroma[:, : 2 * columns] = np.tile(pair, columns)
    msg = SimpleNamespace(
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=step,
        data=luma.tobytes() + chroma.tobytes(),
    )
    rgb = raw_to_rgb(msg)
    assert rgb.shape == (height, width, 3)
    np.testing.assert_allclose(rgb, np.broadcast_to(color, rgb.shape), atol=4)
    msg.data = msg.data[: step * height]
    with pytest.raises(ImageError, match=r"data holds"):
        raw_to_rgb(msg)


def test_the_edge_between_two_colors_stays_where_it_is():
    """Each pixel of a picture keeps its place in the encodings that share colours."""
    rgb = np.zeros((8, 12, 3), np.uint8)
    rgb[:4, :6], rgb[:4, 6:], rgb[4:] = (200, 40, 40), (40, 180, 60), (50, 60, 190)
    i420 = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
    luma, (u, v) = i420[:8], i420[8:].reshape(2, 4, 6)
    nv12 = np.vstack((luma, np.stack((u, v), axis=-1).reshape(4, 12)))
    whole = np.stack((u, v), -1).repeat(2, axis=0).repeat(2, axis=1)
    yuyv = np.empty((8, 12, 2), np.uint8)
    yuyv[..., 0] = luma
    yuyv[:, 0::2, 1], yuyv[:, 1::2, 1] = whole[:, 0::2, 0], whole[:, 1::2, 1]
    for encoding, data in (
        ("nv12", nv12),
        ("nv24", np.concatenate((luma.ravel(), whole.ravel()))),
        ("yuyv", yuyv),
        ("uyvy", yuyv[..., ::-1]),
    ):
        msg = SimpleNamespace(
            height=8,
            width=12,
            encoding=encoding,
            is_bigendian=0,
            step=24 if encoding in ("yuyv", "uyvy") else 12,
            data=data.tobytes(),
        )
        np.testing.assert_allclose(raw_to_rgb(msg).astype(int), rgb, atol=4)


ALL = (*PACKED, *GREY, *YUV422, *PLANES, *(f"bayer_{p}{b}" for p in BAYER for b in (8, 16)))


@given(
    encoding=st.sampled_from([*ALL, "16UC1", "32FC1", "8SC1", "", "RGB", "jpeg"]),
    height=st.integers(0, 40),
    width=st.integers(0, 40),
    step=st.integers(0, 200),
    length=st.integers(0, 4000),
    big_endian=st.booleans(),
)
def test_whatever_the_fields_say_an_image_is_read_or_refused(
    encoding, height, width, step, length, big_endian
):
    msg = SimpleNamespace(
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=int(big_endian),
        step=step,
        data=bytes(length),
    )
    for read in (raw_to_rgb, raw_depth):
        try:
            shape = read(msg).shape[:2]
        except ImageError:
            continue
        assert shape == (height, width)


@pytest.mark.parametrize("encoding", ALL)
def test_a_row_that_is_too_short_is_refused_with_its_field(encoding):
    msg = SimpleNamespace(
        height=4, width=8, encoding=encoding, is_bigendian=0, step=7, data=bytes(4096)
    )
    with pytest.raises(ImageError, match="step 7 is shorter"):
        raw_to_rgb(msg)


@pytest.fixture(scope="module")
def bridge():
    """cv_bridge, where it does not end the process."""
    code = "import cv_bridge, numpy; cv_bridge.CvBridge().cv2_to_imgmsg(numpy.zeros((2, 2), 'u1'))"
    if subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode:
        pytest.skip("cv_bridge is not installed, or not for this NumPy")
    import cv_bridge

    return cv_bridge.CvBridge()


@pytest.mark.parametrize(
    "encoding",
    [name for name in ALL if name[0] not in "81" and name not in ("nv12", "nv21", "nv24", "yvyu")],
)
def test_equal_to_cv_bridge(bridge, encoding):
    from sensor_msgs.msg import Image

    channels = len(ORDER[PACKED[encoding][0]]) if encoding in PACKED else 1
    channels = 2 if encoding in YUV422 else channels
    kind = np.uint16 if encoding.endswith("16") else np.uint8
    shape = (6, 8, channels) if channels > 1 else (6, 8)
    pixels = np.random.default_rng(0).integers(0, np.iinfo(kind).max, shape, kind, endpoint=True)
    fill_image(msg := Image(), pixels, encoding)
    if encoding in ("uyvy", "yuyv"):
        pytest.skip("the cv_bridge of Jazzy has other names for it")
    np.testing.assert_array_equal(raw_to_rgb(msg), bridge.imgmsg_to_cv2(msg, "rgb8"))
