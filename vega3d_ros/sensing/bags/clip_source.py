"""One clip out of a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vega3d_ros.core.frames import ClipBuffer
from vega3d_ros.sensing.bags.reader import BagError, open_bag, read_frames

if TYPE_CHECKING:
    from pathlib import Path

    from vega3d_ros.core.frames import Clip

_MOST_KEYFRAMES = 256


def clip_from_bag(
    path: Path,
    length: int = 8,
    *,
    end_s: float | None = None,
    image: str = "",
    camera_info: str = "",
    depth: str = "",
    tf: str = "",
) -> Clip:
    """At most ``length`` keyframes at even steps, with calibration, depth and poses where known.

    Keyframes are chosen by the camera's movement, as the node chooses them.

    Args:
        path: Folder or file of a recording.
        length: Frames of the clip, at most.
        end_s: Leave out what was recorded after so many seconds; None takes the whole recording,
            of which the newest 256 keyframes count.
        image: Topic of the images; empty to choose, as the next two.
        camera_info: Topic of their calibration.
        depth: Topic of depth.
        tf: Topic or namespace of transforms.

    Raises:
        BagError: If the recording cannot be read, or holds no usable image.
    """
    buffer = ClipBuffer(length, max(length, _MOST_KEYFRAMES))
    with open_bag(path) as bag:
        topics = bag.find_topics(image=image, camera_info=camera_info, depth=depth, tf=tf)
        for frame in read_frames(bag, topics):
            if end_s is not None and frame.stamp_ns > bag.start_ns + end_s * 1e9:
                break
            buffer.add(frame)
    clip = buffer.clip()
    if clip is None:
        within = "" if end_s is None else f" in its first {end_s:g} s"
        msg = f"{path} has no usable image on {topics.image}{within}"
        raise BagError(msg)
    return clip
