"""What the attitude of a camera says: which way up its pictures are, and whether its frame is one.

An optical frame has x right, y down and z forward in the picture (REP-103). Drivers also put the
frame of the camera's body, x forward, on images: then everything is found above the robot.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vega3d_ros.core.geometry import SE3
from vega3d_ros.core.token_grid import BODY_FROM_OPTICAL
from vega3d_ros.sensing.transform_buffer import TransformError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vega3d_ros.core.frames import Frame


_QUARTER = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
_TURN_RAD = math.radians(55.0)  # from the present quarter, before another one is taken
_LEAST_SEEN = 0.5  # share of up that must lie in the picture's plane
_STRAIGHT = 0.97  # cosine of 14 degrees
_LEAST_FRAMES = 10
_FAR_KM = 50.0  # there, single precision is 4 mm
_ALIKE_RAD = math.radians(20.0)


class Uprightness:
    """Tells by how many quarters a camera's pictures must be turned to be upright.

    Near a diagonal the quarter before stays, so that a camera that sways does not change it.
    """

    def __init__(self) -> None:
        self._quarters = 0

    def quarters(self, pose: SE3) -> int:
        """Clockwise quarters, in [0, 3], for a camera at ``pose`` in a frame whose z is up."""
        right, down, _ = pose.rotation[2]  # up, in the optical frame
        if math.hypot(right, down) > _LEAST_SEEN:
            roll = math.atan2(-right, -down)
            away = math.remainder(roll - self._quarters * math.pi / 2, 2 * math.pi)
            if abs(away) > _TURN_RAD:
                self._quarters = round(roll / (math.pi / 2)) % 4
        return self._quarters


def turned(frame: Frame, quarters: int) -> Frame:
    """A frame whose picture is turned clockwise by quarters; its pose is that of the new one."""
    if not quarters:
        return frame
    depth, pose = frame.depth_m, frame.pose
    image: Any = np.ascontiguousarray(np.rot90(frame.image, -quarters))
    if pose is not None:
        back = np.linalg.matrix_power(_QUARTER.T, quarters)
        pose = pose @ SE3(back, np.zeros(3))
    return replace(
        frame,
        image=image,
        camera=None if frame.camera is None else frame.camera.turned(quarters),
        depth_m=None if depth is None else np.ascontiguousarray(np.rot90(depth, -quarters)),
        pose=pose,
    )


def far_from_origin(pose: SE3, fixed_frame: str) -> str:
    """What speaks against a fixed frame whose origin is as far as that of the earth; or empty."""
    away_km = float(np.linalg.norm(pose.translation)) * 1e-3
    if away_km < _FAR_KM:
        return ""
    return (
        f"the camera is {away_km:.0f} km from the origin of {fixed_frame!r}: places are coarse "
        f"there, and z may not be up; set fixed_frame to a local frame, such as map or odom"
    )


class OpticalFrameCheck:
    """Notices frames of images that are no optical frames.

    Args:
        lookup: As in ``FrameAssembler``.
        below: Gives the names of all frames below one; None where transforms are not available.
    """

    def __init__(
        self,
        lookup: Callable[[str, str, int], SE3] | None,
        below: Callable[[str], Iterable[str]] | None,
    ) -> None:
        self._lookup, self._below = lookup, below
        self._frames = 0
        self._always: str | None = None

    def doubt(self, frame_id: str, pose: SE3, stamp_ns: int) -> str:
        """What speaks against it after one more frame, with the remedy; else empty."""
        if child := self._optical_child(frame_id, stamp_ns):
            return (
                f"images are in {frame_id!r}, but TF has the optical frame {child!r} below it, "
                f"which is turned as a camera is in its body; set the parameter camera_frame to "
                f"{child}, or the frame_id in the camera driver"
            )
        ahead = float(pose.rotation[2, 2])
        way = "" if abs(ahead) < _STRAIGHT else "up" if ahead > 0 else "down"
        self._frames += 1
        self._always = way if self._always in (None, way) else ""
        named = "optical" in frame_id
        if self._frames < _LEAST_FRAMES or not self._always or (named and way == "down"):
            return ""
        return (
            f"by TF, the camera in {frame_id!r} looks straight {way} all the time; an optical "
            f"frame has z forward and y down in the picture: if the camera looks ahead, set the "
            f"parameter camera_frame to its optical frame, or correct its mount in TF"
        )

    def _optical_child(self, frame_id: str, stamp_ns: int) -> str:
        if self._below is None or self._lookup is None or "optical" in frame_id:
            return ""
        for name in sorted(self._below(frame_id)):
            if "optical" not in name:
                continue
            try:
                found = self._lookup(frame_id, name, stamp_ns)
            except TransformError:
                continue
            if found.angle_to(SE3(BODY_FROM_OPTICAL, np.zeros(3))) < _ALIKE_RAD:
                return name
        return ""
