"""Clips that are evaluated are read whole, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vega3d_ros.evaluation.schema import RunError

if TYPE_CHECKING:
    from vega3d_ros.core.frames import Clip


def observe_whole(perceiver: Any, clip: Clip) -> Any:
    """The scene of a clip that is evaluated.

    Raises:
        RunError: If memory ended and less of the clip was read.
    """
    scene = perceiver.observe(clip)
    if scene.frames_left_out:
        msg = (
            f"memory ended: the oldest {scene.frames_left_out} of {len(clip)} frames were not "
            "read; evaluate with dtype bfloat16, with fewer frames, or on a larger device"
        )
        raise RunError(msg)
    return scene
