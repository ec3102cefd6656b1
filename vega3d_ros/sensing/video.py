"""Pictures from a video file or a folder, without calibration, depth or poses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.core.frames import Clip, Frame, sample_uniformly

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_PICTURE_NS = 10**9  # pictures have no stamps; they are taken to be a second apart


class VideoError(Vega3dError, ValueError):
    """A video or picture that cannot be read; the message names the file."""


def read_video(path: Path, frames: int) -> tuple[dict[int, NDArray[np.uint8]], float]:
    """RGB frames at even steps by their number, and frames a second.

    Frames are counted as they are decoded: seeking and a container's own count are not exact.

    Raises:
        VideoError: If it is no video.
    """
    video = cv2.VideoCapture(str(path))
    try:
        count = 0
        while video.grab():
            count += 1
        rate_hz = video.get(cv2.CAP_PROP_FPS)
        if count == 0 or rate_hz <= 0:
            msg = f"{path} holds no frames that can be decoded; give a video file such as an mp4"
            raise VideoError(msg)
        video.open(str(path))
        wanted = set(sample_uniformly(count, frames))
        pictures = {}
        for index in range(max(wanted) + 1):
            if not video.grab():
                break
            if index in wanted:
                picture = cv2.cvtColor(video.retrieve()[1], cv2.COLOR_BGR2RGB)
                pictures[index] = picture.astype(np.uint8, copy=False)
        return pictures, float(rate_hz)
    finally:
        video.release()


def clip_from_video(path: Path, length: int = 8) -> Clip:
    """At most ``length`` frames of a video at even steps, stamped by their time in it.

    Raises:
        VideoError: If it is no video.
    """
    pictures, rate_hz = read_video(path, length)
    return Clip(
        tuple(
            Frame(round(index / rate_hz * 1e9), picture, path.stem)
            for index, picture in pictures.items()
        )
    )


def clip_from_images(folder: Path, length: int = 8) -> Clip:
    """At most ``length`` pictures of a folder at even steps, in the order of their names.

    Raises:
        VideoError: If there are none, or one cannot be read, or they differ in size.
    """
    files = sorted(file for file in folder.glob("*") if file.suffix.lower() in PICTURES)
    if not files:
        msg = f"{folder} holds no pictures ({', '.join(PICTURES)}); give a folder of frames"
        raise VideoError(msg)
    frames: list[Frame] = []
    for index in sample_uniformly(len(files), length):
        picture = cv2.imread(str(files[index]), cv2.IMREAD_COLOR)
        if picture is None:
            msg = f"{files[index]} cannot be read as a picture; remove it, or save it anew"
            raise VideoError(msg)
        if frames and picture.shape != frames[0].image.shape:
            height, width = picture.shape[:2]
            msg = f"{files[index]} is {width}x{height}, unlike those before; give one size"
            raise VideoError(msg)
        rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
        frames.append(Frame(index * _PICTURE_NS, rgb, folder.name or "images"))
    return Clip(tuple(frames))
