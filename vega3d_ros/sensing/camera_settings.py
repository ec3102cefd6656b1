"""What a user says about a camera whose messages do not tell, or tell it wrong."""

from __future__ import annotations

from dataclasses import dataclass

RECTIFICATIONS = ("auto", "raw", "rectified")


@dataclass(frozen=True, kw_only=True)
class CameraSettings:
    """How to read the messages of a camera.

    Attributes:
        camera_frame: The optical frame of the images, instead of their ``header.frame_id``.
        rectification: Whether images are "raw" or "rectified"; "auto": by topic and calibration.
        depth_scale: Metres of one unit of stored depth; 0: by its encoding (REP-118).
    """

    camera_frame: str = ""
    rectification: str = "auto"
    depth_scale: float = 0.0
