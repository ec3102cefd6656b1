"""What the name of a topic and its first message say of what it holds."""

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np

from vega3d_ros.sensing.image_decoding import depth_values, image_to_rgb, video_format
from vega3d_ros.sensing.raw_images import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
TF_MESSAGE = "tf2_msgs/msg/TFMessage"
VIDEOS = ("ffmpeg_image_transport_msgs/msg/FFMPEGPacket", "foxglove_msgs/msg/CompressedVideo")
VIDEO_REMEDY = "record JPEG or raw images, or decode it into an image topic first"

_DEPTH_ENCODINGS = ("16UC1", "32FC1")
_NO_DEPTH = frozenset({
    "confidence", "disparity", "quality", "uncertainty", "variance", "covariance", "stddev",
    "error", "cost", "mask", "label", "labels", "segmentation", "semantic", "normal", "normals",
    "amplitude", "intensity", "reflectivity", "noise", "score", "ir", "infra", "infrared",
    "thermal",
})  # fmt: skip
_INFRARED = frozenset({"ir", "infra", "infrared", "thermal"})
_DEBUG = frozenset({
    "debug", "dbg", "annotated", "annotation", "annotations", "detection", "detections",
    "detected", "overlay", "marked", "visualization", "visualisation", "visualized", "viz", "vis",
    "result", "results", "tracking", "tracked", "heatmap", "segmentation", "segmented", "mask",
    "masks", "label", "labels", "gate",
})  # fmt: skip
_FAR_M = 20.0  # median of a picture above which a map of unknown name is not one of metres


def words(name: str) -> list[str]:
    """The words of a topic's name or of a part of it, without numbers."""
    return re.findall(r"[a-z]+", name.lower())


def depth_by_name(name: str) -> bool | None:
    """Whether a name says depth (True), something else (False), or neither (None).

    The last part that says anything counts: ``/ir/depth`` is depth, ``/depth/confidence`` is not.
    """
    for part in reversed(name.split("/")):
        found = set(words(re.sub(r"_to_\w+", "", part)))
        if found & _NO_DEPTH:
            return False
        if "depth" in found:
            return True
    return None


def is_debug(name: str) -> bool:
    """Whether a name says that the picture was made by a program that drew into it."""
    return bool(_DEBUG & set(words(name)))


def is_rectified(name: str) -> bool:
    """Whether a name says that lens distortion was taken out."""
    return bool({"rect", "rectified"} & set(words(name)))


def is_right(name: str) -> bool:
    """Whether it is the second camera of a stereo pair, whose depth is that of the first."""
    return "right" in words(name)


def shared_parts(name: str, other: str) -> int:
    """How many parts at their beginnings two names share."""
    pairs = zip(name.split("/"), other.split("/"), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def encoding_of(message: Any) -> str:
    """The encoding of an image, or what a compressed image says of its own."""
    return str(message.encoding if hasattr(message, "encoding") else message.format)


def may_be_depth(message: Any) -> bool:
    """Whether the encoding of a message can hold depth; mono16 is grey."""
    encoding = encoding_of(message)
    return encoding.startswith(_DEPTH_ENCODINGS) or "compressedDepth" in encoding


def doubt_of_depth(message: Any) -> str:
    """Why the values of a message are hardly metres; empty where they may be."""
    try:
        values = depth_values(message)
    except ImageError as error:
        return str(error)
    known = values[np.isfinite(values) & (values != 0)]
    if values.dtype.kind == "u" or not known.size:
        return ""
    middle = float(np.median(known))
    if known.min() < 0:
        return f"it has negative values ({known.min():.3g})"
    if middle > _FAR_M:
        return f"its values are about {middle:.3g}, too much for metres"
    if known.max() <= 1.0:
        return f"its values end at {known.max():.3g}, as shares do"
    if np.ptp(known) and not np.mod(known, 1.0).any():
        return "all its values are whole numbers"
    return ""


def is_good_info(message: Any) -> bool:
    """Whether a CameraInfo holds a calibration."""
    return any(message.k) or any(message.p)


def is_good_image(message: Any) -> bool:
    """Whether an image of colour, grey or depth can be read."""
    if not may_be_depth(message):
        return not problem_of_image(message)
    try:
        depth_values(message)
    except ImageError:
        return False
    return True


def problem_of_image(message: Any) -> str:
    """Why a message is no picture that can be read; empty where it is one."""
    if kind := video_format(message):
        return f"{kind} is video; {VIDEO_REMEDY}"
    try:
        image_to_rgb(message)
    except ImageError as error:
        return str(error)
    return ""


def is_colour(name: str, message: Any) -> bool:
    """Whether a picture that can be read has colours."""
    if _INFRARED & set(words(name)):
        return False
    encoding = encoding_of(message)
    if hasattr(message, "encoding") or "mono" in encoding:
        return not encoding.startswith(("mono", "8UC1"))
    pixels: NDArray[np.uint8] = image_to_rgb(message)
    return not (pixels == pixels[..., :1]).all()
