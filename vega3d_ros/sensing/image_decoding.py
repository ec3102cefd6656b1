"""Images and calibrations between ROS messages and NumPy, without copies where possible.

Messages are read by their fields, so that messages of rclpy and of rosbags can be used.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, cast

import cv2
import numpy as np

from vega3d_ros.core.frames import Camera
from vega3d_ros.sensing.raw_images import ImageError, raw_depth, raw_to_rgb

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vega3d_ros.sensing.raw_images import ImageLike

COMPRESSED_DEPTH_HEADER = 12  # bytes before the PNG: int32 format, float32 depth quantization A, B
_PNG = b"\x89PNG"
_VIDEO = re.compile(r"h\.?26[45]|hevc|avc1?|av1|vp[89]|mpeg[24]|ffmpeg|theora", re.IGNORECASE)
_VIDEO_STARTS = (b"\0\0\0\1", b"\0\0\1", b"OggS")  # H.264 and H.265 as a stream of bytes; Theora


class CompressedImageLike(Protocol):
    """The fields of sensor_msgs/CompressedImage that are read."""

    format: str
    data: Any


class CameraInfoLike(Protocol):
    """The fields of sensor_msgs/CameraInfo that are read."""

    height: int
    width: int
    k: Any
    p: Any
    binning_x: int
    binning_y: int
    roi: Any


def frame_of(msg: Any) -> str:
    """The frame of a message, without the leading slash of ROS 1, as in the transforms."""
    return str(msg.header.frame_id).removeprefix("/")


def image_to_rgb(msg: ImageLike | CompressedImageLike) -> NDArray[np.uint8]:
    """A colour or grey image as [H, W, 3] uint8 RGB.

    An rgb8 image is a view of the message's memory, whatever its ``step``; keep the message
    unchanged while it is used. Other encodings are converted once.

    Raises:
        ImageError: If the encoding is not one of colour, or the data do not match the fields.
    """
    if not _is_raw(msg):
        return _decode_color(cast("CompressedImageLike", msg))
    return raw_to_rgb(msg)


def video_format(msg: ImageLike | CompressedImageLike) -> str:
    """The name of the video format of a CompressedImage; empty for a picture of its own."""
    if _is_raw(msg):
        return ""
    msg = cast("CompressedImageLike", msg)
    if found := _VIDEO.search(msg.format):
        return found[0].lower()
    starts = bytes(_buffer(msg.data)[:4]).startswith(_VIDEO_STARTS)
    return f"the data of format {msg.format!r}" if starts else ""


def depth_values(msg: ImageLike | CompressedImageLike) -> NDArray[Any]:
    """The values of a depth image [H, W] as they are stored; of a compressed one metres.

    Raises:
        ImageError: As ``depth_to_metres``.
    """
    return raw_depth(msg) if _is_raw(msg) else depth_to_metres(msg)


def depth_to_metres(msg: ImageLike | CompressedImageLike) -> NDArray[np.float32]:
    """A depth image as [H, W] float32, metres along the optical axis, NaN where unknown.

    Units follow the encoding (REP-118): 16UC1 is millimetres with 0 for unknown, 32FC1 metres.

    Raises:
        ImageError: If the encoding is not one of depth, or the data do not match the fields.
    """
    if not _is_raw(msg):
        return _decode_depth(cast("CompressedImageLike", msg))
    return _metres(raw_depth(msg))


def camera_from_info(info: CameraInfoLike, size: tuple[int, int] | None = None) -> Camera:
    """The pinhole camera of a rectified image.

    P is used where it is set, else K; region of interest and binning are applied, as CameraInfo
    defines them for the full-resolution matrices.

    Args:
        info: The calibration.
        size: Width and height of the image it is for; None: those that the calibration implies.

    Raises:
        ImageError: If the camera is not calibrated, or the calibration is for another size.
        FrameError: If the values are no camera.
    """
    p, k = np.asarray(info.p, np.float64).reshape(-1), np.asarray(info.k, np.float64).reshape(-1)
    fx, fy, cx, cy = (
        (p[0], p[5], p[2], p[6]) if p.size == 12 and p[0] > 0 else (k[0], k[4], k[2], k[5])
    )
    if fx == 0:
        text = (
            "camera_info is all zeros: the camera is not calibrated (ros2 run "
            "camera_calibration cameracalibrator)"
        )
        raise ImageError(text)
    bin_x, bin_y = max(1, info.binning_x), max(1, info.binning_y)
    width, height = info.width, info.height
    if info.roi.width and info.roi.height:
        width, height = info.roi.width, info.roi.height
        cx, cy = cx - info.roi.x_offset, cy - info.roi.y_offset
    full = Camera(
        width=int(width),
        height=int(height),
        fx=float(fx),
        fy=float(fy),
        cx=float(cx),
        cy=float(cy),
    )
    camera = full.resized(width // bin_x, height // bin_y) if bin_x * bin_y > 1 else full
    if size is not None and size != (camera.width, camera.height):
        text = (
            f"camera_info is for {camera.width}x{camera.height}, the image is "
            f"{size[0]}x{size[1]}; "
            "use the camera_info that belongs to this image topic"
        )
        raise ImageError(text)
    return camera


def fill_image(msg: Any, pixels: NDArray[Any], encoding: str) -> None:
    """Write an array [H, W] or [H, W, C] into an empty sensor_msgs/Image, in one copy."""
    pixels = np.ascontiguousarray(pixels)
    msg.height, msg.width = pixels.shape[:2]
    msg.encoding = encoding
    msg.is_bigendian = int(pixels.dtype.str[0] == ">")
    msg.step = pixels.strides[0]
    # The setter of `data` copies byte by byte; appending to its array is a single memcpy.
    msg.data.frombytes(pixels.data.cast("B"))


def _is_raw(msg: ImageLike | CompressedImageLike) -> TypeGuard[ImageLike]:
    return hasattr(msg, "encoding")


def _buffer(data: Any) -> NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)


def _metres(depth: NDArray[Any]) -> NDArray[np.float32]:
    millimetres = depth.dtype.kind == "u"
    metres = depth.astype(np.float32)
    if millimetres:
        metres *= np.float32(0.001)
    metres[~(np.isfinite(metres) & (metres > 0))] = np.nan
    return metres


def _decode(data: Any, flags: int, what: str) -> NDArray[Any]:
    buffer = _buffer(data)
    pixels = None
    if buffer.size:
        try:
            pixels = cv2.imdecode(buffer, flags)
        except cv2.error as error:
            text = f"cannot decode the {what} image of {buffer.size} bytes: {error}"
            raise ImageError(text) from error
    if pixels is None:
        text = f"cannot decode the {what} image of {buffer.size} bytes; is it truncated?"
        raise ImageError(text)
    return np.asarray(pixels)


def _decode_color(msg: CompressedImageLike) -> NDArray[np.uint8]:
    if "compressedDepth" in msg.format:
        text = (
            f"a {msg.format!r} image holds depth, not colour; remap the topics `image` and `depth`"
        )
        raise ImageError(text)
    if kind := video_format(msg):
        text = f"{kind} is video, not a picture; publish JPEG, PNG or raw images"
        raise ImageError(text)
    # Orientation tags must not rotate the image: the calibration is for the stored pixels.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = _decode(msg.data, flags, msg.format or "compressed")
    if re.search(r"compressed rgba?8", msg.format):
        return np.asarray(pixels, np.uint8)  # image_transport stored the channels in RGB order
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def _decode_depth(msg: CompressedImageLike) -> NDArray[np.float32]:
    if "compressedDepth" not in msg.format:
        pixels = _decode(msg.data, cv2.IMREAD_UNCHANGED, msg.format or "compressed")
        if pixels.dtype != np.uint16 or pixels.ndim != 2:
            text = (
                f"a {msg.format!r} image of {pixels.dtype} is not depth; use 16-bit PNG or "
                f"compressedDepth"
            )
            raise ImageError(text)
        return _metres(pixels)
    raw = bytes(_buffer(msg.data)[: COMPRESSED_DEPTH_HEADER + len(_PNG)])
    if raw[COMPRESSED_DEPTH_HEADER:] != _PNG:
        text = (
            f"compressedDepth {msg.format!r} is not PNG inside; set the publisher's "
            f"compressed_depth format to png"
        )
        raise ImageError(text)
    pixels = _decode(msg.data[COMPRESSED_DEPTH_HEADER:], cv2.IMREAD_UNCHANGED, msg.format)
    if pixels.dtype != np.uint16 or pixels.ndim != 2:
        text = f"compressedDepth {msg.format!r} holds {pixels.dtype}, not 16-bit values"
        raise ImageError(text)
    if not msg.format.startswith("32FC1"):
        return _metres(pixels)
    _, scale, offset = struct.unpack_from("<iff", raw)
    # compressed_depth_image_transport stores A / z + B, and 0 for unknown.
    with np.errstate(divide="ignore"):
        metres = np.float32(scale) / (pixels.astype(np.float32) - np.float32(offset))
    metres[pixels == 0] = np.nan
    return _metres(metres)
