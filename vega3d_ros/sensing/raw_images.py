"""The pixels of sensor_msgs/Image, in every encoding that cameras on robots send.

Everything is converted by OpenCV and NumPy. cv_bridge is not used: its packages are compiled
against NumPy 1, and end a process that has NumPy 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import cv2
import numpy as np

from vega3d_ros.core.errors import Vega3dError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ImageError(Vega3dError, ValueError):
    """An image message that cannot be read; the message names the field and the remedy."""


class ImageLike(Protocol):
    """The fields of sensor_msgs/Image that are read."""

    height: int
    width: int
    encoding: str
    is_bigendian: Any
    step: int
    data: Any


class _Layout(NamedTuple):
    channels: int
    dtype: str
    to_rgb: int | None  # OpenCV conversion code; None: the pixels are RGB already


_GREY, _BGR = cv2.COLOR_GRAY2RGB, cv2.COLOR_BGR2RGB
_RGBA, _BGRA = cv2.COLOR_RGBA2RGB, cv2.COLOR_BGRA2RGB
_BAYER = {
    "rggb": cv2.COLOR_BayerRGGB2RGB,
    "bggr": cv2.COLOR_BayerBGGR2RGB,
    "gbrg": cv2.COLOR_BayerGBRG2RGB,
    "grbg": cv2.COLOR_BayerGRBG2RGB,
}
_COLOR = {
    "rgb8": _Layout(3, "u1", None),
    "bgr8": _Layout(3, "u1", _BGR),
    "rgba8": _Layout(4, "u1", _RGBA),
    "bgra8": _Layout(4, "u1", _BGRA),
    "mono8": _Layout(1, "u1", _GREY),
    "rgb16": _Layout(3, "u2", None),
    "bgr16": _Layout(3, "u2", _BGR),
    "rgba16": _Layout(4, "u2", _RGBA),
    "bgra16": _Layout(4, "u2", _BGRA),
    "mono16": _Layout(1, "u2", _GREY),
    # Without names of their channels: in the order of OpenCV, whose images are sent so.
    "8UC1": _Layout(1, "u1", _GREY),
    "8UC3": _Layout(3, "u1", _BGR),
    "8UC4": _Layout(4, "u1", _BGRA),
    "16UC3": _Layout(3, "u2", _BGR),
    "16UC4": _Layout(4, "u2", _BGRA),
    **{f"bayer_{name}8": _Layout(1, "u1", code) for name, code in _BAYER.items()},
    **{f"bayer_{name}16": _Layout(1, "u2", code) for name, code in _BAYER.items()},
}
_YUV422 = {  # two bytes a pixel: its brightness, and one of the two colours of its pair
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2,
    "yuyv": cv2.COLOR_YUV2RGB_YUY2,
    "yvyu": cv2.COLOR_YUV2RGB_YVYU,
}
_PLANES = {  # brightness, below it rows of colour pairs; the divisor of the colours' resolution
    "nv12": (cv2.COLOR_YUV2RGB_NV12, 2),
    "nv21": (cv2.COLOR_YUV2RGB_NV21, 2),
    "nv24": (cv2.COLOR_YUV2RGB_NV12, 1),
}
_DEPTH = {"16UC1": _Layout(1, "u2", None), "32FC1": _Layout(1, "f4", None)}
_SMALLEST_BAYER = 4  # pixels; OpenCV leaves smaller images black
_SIXTEEN_TO_EIGHT = 255 / 65535


def raw_to_rgb(msg: ImageLike) -> NDArray[np.uint8]:
    """A colour or grey image as [H, W, 3] uint8 RGB; an rgb8 image is a view of its memory.

    16-bit images fill the range: 65535 becomes 255.

    Raises:
        ImageError: If the encoding is not one of colour, or the data do not match the fields.
    """
    try:
        return _to_rgb(msg)
    except cv2.error as error:
        text = f"a {msg.encoding} image of {msg.width}x{msg.height} is not converted: {error}"
        raise ImageError(text) from error


def raw_depth(msg: ImageLike) -> NDArray[Any]:
    """A depth image [H, W], as it is stored: 16UC1 or 32FC1.

    Raises:
        ImageError: If the encoding is not one of depth, or the data do not match the fields.
    """
    layout = _DEPTH.get(msg.encoding)
    if layout is None:
        text = (
            f"depth encoding {msg.encoding!r} is not 16UC1 (mm) or 32FC1 (m), see REP-118; "
            f"publish one of these"
        )
        raise ImageError(text)
    return _pixels(msg, layout.channels, layout.dtype)


def _to_rgb(msg: ImageLike) -> NDArray[np.uint8]:
    if msg.encoding in _YUV422:
        return _from_yuv422(msg, _YUV422[msg.encoding])
    if msg.encoding in _PLANES:
        return _from_planes(msg, *_PLANES[msg.encoding])
    layout = _COLOR.get(msg.encoding)
    if layout is None:
        if msg.encoding in _DEPTH:
            text = (
                f"a {msg.encoding} image holds depth, not colour; remap the topics `image` and "
                f"`depth`"
            )
            raise ImageError(text)
        known = ", ".join((*_COLOR, *_YUV422, *_PLANES))
        text = (
            f"encoding {msg.encoding!r} is not one of {known}; convert the topic to rgb8 "
            f"(image_proc), or set another format in the camera driver"
        )
        raise ImageError(text)
    pixels = _pixels(msg, layout.channels, layout.dtype)
    if not pixels.dtype.isnative:
        pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    if layout.to_rgb is not None:
        bayer = msg.encoding.startswith("bayer")
        convert = _demosaiced if bayer else cv2.cvtColor
        # OpenCV reads no rows that begin between two values.
        pixels = np.asarray(convert(np.ascontiguousarray(pixels), layout.to_rgb))
    if pixels.dtype == np.uint8:
        return pixels
    return np.rint(pixels * _SIXTEEN_TO_EIGHT).astype(np.uint8)


def _demosaiced(pixels: NDArray[Any], code: int) -> NDArray[Any]:
    height, width = pixels.shape
    if min(height, width) < _SMALLEST_BAYER:  # repeated by whole cells of 2x2
        cell = np.pad(pixels, ((0, height % 2), (0, width % 2)), "reflect")
        pixels = np.tile(cell, (_SMALLEST_BAYER, _SMALLEST_BAYER))
    return np.asarray(cv2.cvtColor(pixels, code))[:height, :width]


def _from_yuv422(msg: ImageLike, code: int) -> NDArray[np.uint8]:
    pairs = _pixels(msg, 2, "u1")
    height, width = pairs.shape[:2]
    if width % 2:  # the last pixel lacks the other half of its pair: that of the pair before
        whole = np.empty((height, width + 1, 2), np.uint8)
        whole[:, :width] = pairs
        whole[:, width] = pairs[:, max(width - 2, 0)]
        pairs = whole
    rgb = cv2.cvtColor(np.ascontiguousarray(pairs), code)
    return np.asarray(rgb[:, :width], np.uint8)


def _from_planes(msg: ImageLike, code: int, divisor: int) -> NDArray[np.uint8]:
    height, width = _size(msg)
    step = int(msg.step)
    rows, columns = -(-height // divisor), -(-width // divisor)
    wide = step if divisor == 2 else 2 * step  # a row of colours in nv24 is twice as long
    row = max(width, 2 * columns if divisor == 2 else width)
    data = _checked_data(msg, row, step * height + wide * (rows - 1) + 2 * columns)
    luma = np.ndarray((height, width), np.uint8, buffer=data, strides=(step, 1))
    chroma = np.ndarray(
        (rows, 2 * columns), np.uint8, buffer=data, offset=step * height, strides=(wide, 1)
    )
    if divisor == 1:
        whole = luma.repeat(2, axis=0).repeat(2, axis=1)
        rgb = cv2.cvtColor(np.vstack((whole, chroma)), code)[::2, ::2]
    else:
        even = np.pad(luma, ((0, height % 2), (0, width % 2)), "edge")
        rgb = cv2.cvtColor(np.vstack((even, chroma)), code)[:height, :width]
    return np.asarray(rgb, np.uint8)


def _size(msg: ImageLike) -> tuple[int, int]:
    height, width = int(msg.height), int(msg.width)
    if height < 1 or width < 1:
        text = f"height and width are {height} and {width}; the image must not be empty"
        raise ImageError(text)
    return height, width


def _checked_data(msg: ImageLike, row: int, needed: int) -> NDArray[np.uint8]:
    """The bytes of a message, where rows and all of it are long enough."""
    if msg.step < row:
        text = (
            f"step {msg.step} is shorter than a row of {msg.width} {msg.encoding} pixels "
            f"({row} bytes); the publisher must set it"
        )
        raise ImageError(text)
    data = np.frombuffer(msg.data, np.uint8)
    if data.size < needed:
        text = (
            f"data holds {data.size} bytes, {msg.width}x{msg.height} {msg.encoding} with step "
            f"{msg.step} needs {needed}"
        )
        raise ImageError(text)
    return data


def _pixels(msg: ImageLike, channels: int, kind: str) -> NDArray[Any]:
    """A view [H, W] or [H, W, C] of the message's memory, honouring step and byte order."""
    dtype = np.dtype(kind).newbyteorder(">" if msg.is_bigendian else "<")
    height, width = _size(msg)
    step, row = int(msg.step), width * channels * dtype.itemsize
    data = _checked_data(msg, row, step * (height - 1) + row)
    shape = (height, width, channels)[: 3 if channels > 1 else 2]
    strides = (step, channels * dtype.itemsize, dtype.itemsize)[: len(shape)]
    return np.ndarray(shape, dtype, buffer=data, strides=strides)
