"""Depth messages to depth of the colour camera, or the reason why that cannot be.

Depth in the colour camera's frame and of its size is registered, unless its own calibration says
that it is of other rays; where the image is undistorted, so is depth. Any other is reprojected
with both calibrations and the transform between the cameras; without these it is refused, since
it would put things at wrong places.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from vega3d_ros.core.frames import FrameError
from vega3d_ros.core.geometry import SE3
from vega3d_ros.sensing.calibration import Calibrations, is_bent, named_raw
from vega3d_ros.sensing.camera_settings import CameraSettings
from vega3d_ros.sensing.image_decoding import depth_to_metres, frame_of, implausible_depth
from vega3d_ros.sensing.raw_images import ImageError
from vega3d_ros.sensing.reprojection import reproject
from vega3d_ros.sensing.transform_buffer import TransformError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from vega3d_ros.core.frames import Camera
    from vega3d_ros.sensing.calibration import Calibration

    Lookup = Callable[[str, str, int], SE3]

_SAME_RAYS_PX = 0.5
_TRANSPORTS = frozenset({"compressed", "compressedDepth", "ffmpeg", "rvl", "theora", "zstd"})


class UnregisteredDepthError(ImageError):
    """Depth of another lens or size that cannot be brought into the colour camera."""


class ImplausibleDepthError(ImageError):
    """Depth in another unit than its encoding says."""


def camera_info_beside(topic: str) -> str:
    """Where the calibration of an image topic is published, by ROS's convention."""
    parts = topic.split("/")
    if parts[-1] in _TRANSPORTS and len(parts) > 1:
        parts.pop()
    return "/".join([*parts[:-1], "camera_info"])


class DepthRegistration:
    """Brings depth into the colour camera.

    Args:
        lookup: As in ``FrameAssembler``.
        settings: Of the camera.

    Attributes:
        renamed: Frames that have another name than messages say.
    """

    def __init__(self, lookup: Lookup | None, settings: CameraSettings | None = None) -> None:
        self.renamed: dict[str, str] = {}
        self._topic, self._info_topic = "depth", "depth_camera_info"
        self._lookup = lookup
        self._settings = settings or CameraSettings()
        self._calibrations = Calibrations()
        self._info: Any = None

    def name_topics(self, topic: str, info_topic: str) -> None:
        """Say what errors call depth and its calibration."""
        self._topic, self._info_topic = topic, info_topic

    def add_camera_info(self, msg: Any) -> None:
        """Take in a calibration of the depth camera."""
        self._info = msg

    def lacks_info(self, msg: Any, image: Any) -> bool:
        """Whether a calibration that was not received yet would tell how to use depth.

        Args:
            msg: The depth image.
            image: The colour image.
        """
        if self._info is not None:
            return False
        # Compressed images do not tell their size.
        both = all(hasattr(one, "width") for one in (msg, image))
        differ = both and (msg.width, msg.height) != (image.width, image.height)
        return differ or frame_of(msg) != frame_of(image)

    def awaits_transform(self, msg: Any, frame_id: str, stamp_ns: int, *, at_first: bool) -> bool:
        """Whether depth is of another frame, from which a transform may still come.

        Args:
            msg: The depth image.
            frame_id: Of the colour camera.
            stamp_ns: When the image was taken.
            at_first: Whether frames that are not known yet may become known.
        """
        depth_frame = self._frame_of(msg)
        if self._lookup is None or self._info is None or depth_frame in ("", frame_id):
            return False
        try:
            self._lookup(frame_id, depth_frame, stamp_ns)
        except TransformError as error:
            return at_first or error.may_come
        return False

    def registered(
        self,
        msg: Any,
        frame_id: str,
        calibration: Calibration | None,
        size: tuple[int, int],
        stamp_ns: int,
    ) -> NDArray[np.float32]:
        """Depth of the colour camera.

        Args:
            msg: The depth image.
            frame_id: The colour camera's optical frame.
            calibration: Of the colour camera; None where it is not calibrated.
            size: Width and height of its image.
            stamp_ns: When it was taken.

        Returns:
            [height, width] metres along its optical axis; NaN where unknown.

        Raises:
            ImplausibleDepthError: If no depth camera can measure that.
            UnregisteredDepthError: If something that is needed for it is not known.
            ImageError: If the message is no depth image.
        """
        depth = self._metres(msg)
        own_size = (depth.shape[1], depth.shape[0])
        own_frame = self._frame_of(msg)
        if not own_frame:
            text = (
                f"header.frame_id of the depth on {self._topic} is empty, so its camera is not "
                "known; set it in the camera driver"
            )
            raise UnregisteredDepthError(text)
        looks_alike = own_frame == frame_id and own_size == size
        if looks_alike and calibration is None:
            return depth
        what = (
            f"depth on {self._topic} is {own_size[0]}x{own_size[1]} in {own_frame!r}, the image "
            f"{size[0]}x{size[1]} in {frame_id!r}"
        )
        try:
            own = self._calibration(own_frame, own_size, calibration if looks_alike else None)
        except (ImageError, FrameError) as error:
            if looks_alike and calibration is not None:  # frame and size say it is registered
                return calibration.depth(depth)
            text = (
                f"{what}, and {error}; use depth registered to the colour camera "
                f"(aligned_depth_to_color, depth_image_proc register), or publish its calibration "
                f"on {self._info_topic}"
            )
            raise UnregisteredDepthError(text) from error
        if calibration is None:
            text = f"{what}, and the colour camera has no calibration; set camera_info"
            raise UnregisteredDepthError(text)
        if looks_alike and _same_lens(own, calibration):
            return calibration.depth(depth)
        between = self._between(frame_id, own_frame, what, stamp_ns)
        return reproject(own.depth(depth), own.camera, calibration.camera, between)

    def _metres(self, msg: Any) -> NDArray[np.float32]:
        depth = depth_to_metres(msg, self._settings.depth_scale)
        if wrong := implausible_depth(depth):
            encoding = getattr(msg, "encoding", None) or msg.format
            text = (
                f"depth on {self._topic} ({encoding}) is left out: {wrong}, so it is in another "
                f"unit; set the parameter depth_scale to the metres of one unit (0.001 for "
                f"millimetres, 1.0 for metres)"
            )
            raise ImplausibleDepthError(text)
        return depth

    def _frame_of(self, msg: Any) -> str:
        name = frame_of(msg)
        return self.renamed.get(name, name)

    def _calibration(
        self, frame_id: str, size: tuple[int, int], image: Calibration | None
    ) -> Calibration:
        """The calibration of the depth camera.

        Args:
            frame_id: Its optical frame.
            size: Width and height of its images.
            image: Calibration of the image, where depth may be registered to it.

        Raises:
            ImageError: If its calibration is not known, or of another camera.
            FrameError: If the values are no camera.
        """
        raw = named_raw(self._topic)
        if self._info is None:
            if image is not None and raw is False and image.rectified is not None:
                return image.rectified
            text = f"no calibration of it was received on {self._info_topic}"
            raise ImageError(text)
        of_frame = self._frame_of(self._info)
        if of_frame != frame_id:
            text = f"the calibration on {self._info_topic} is of {of_frame!r}"
            raise ImageError(text)
        if image is not None and (raw is None or self._settings.rectification != "auto"):
            raw = image.raw
        if raw is None:
            raw = is_bent(self._info)
        return self._calibrations.of(self._info, size, raw=raw)

    def _between(self, frame_id: str, own_frame: str, what: str, stamp_ns: int) -> SE3:
        """The colour camera from the depth camera."""
        if own_frame == frame_id:
            return SE3.identity()
        reason = "no transforms are received"
        if self._lookup is not None:
            try:
                return self._lookup(frame_id, own_frame, stamp_ns)
            except TransformError as error:
                reason = str(error)
        text = (
            f"{what}, and {reason}; publish the transform between both cameras on /tf_static, or "
            "use depth registered to the colour camera"
        )
        raise UnregisteredDepthError(text)


@lru_cache(maxsize=8)  # it compares whole maps, and calibrations are the same ones for long
def _same_lens(one: Calibration, other: Calibration) -> bool:
    """Whether every pixel looks in the same direction in both, which are of one size."""
    if (one.maps is None) != (other.maps is None):
        return False
    if one.maps is not None and other.maps is not None:
        apart = [np.abs(a - b).max() for a, b in zip(one.maps, other.maps, strict=True)]
        if max(apart) > _SAME_RAYS_PX:
            return False
    return _same_rays(one.camera, other.camera)


def _same_rays(camera: Camera, other: Camera) -> bool:
    """Whether every pixel looks in the same direction in both, which are of one size."""
    corners = np.array([[0.0, 0.0], [camera.width - 1.0, camera.height - 1.0]])
    apart = np.abs(other.project(camera.rays(corners)) - corners)
    return bool(apart.max() <= _SAME_RAYS_PX)
