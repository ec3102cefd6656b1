"""Clips that are evaluated are read whole, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vega3d_ros.core.errors import Vega3dError

if TYPE_CHECKING:
    from vega3d_ros.core.frames import Clip


class ShortenedClipError(Vega3dError, RuntimeError):
    """Memory sufficed for a part of a clip; its results would be those of another clip."""


def observe_whole(perceiver: Any, clip: Clip) -> Any:
    """The scene of a clip that is evaluated.

    Raises:
        ShortenedClipError: If memory ended and less of the clip was read.
    """
    scene = perceiver.observe(clip)
    if scene.frames_left_out:
        msg = (
            f"memory ended: the oldest {scene.frames_left_out} of {len(clip)} frames were not "
            "read; evaluate with dtype bfloat16, with fewer frames, or on a larger device"
        )
        raise ShortenedClipError(msg)
    return scene
