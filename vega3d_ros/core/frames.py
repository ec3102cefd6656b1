"""Frames, clips and the buffer that turns a camera stream into clips."""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.core.errors import Vega3dError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from vega3d_ros.core.geometry import SE3


class FrameError(Vega3dError, ValueError):
    """A frame, camera or clip that cannot be used; the message names the field and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A rectified pinhole camera. Values are pixels; (0, 0) is the centre of the first pixel."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0:
            msg = f"camera size {self.width}x{self.height} must be positive"
            raise FrameError(msg)
        values = (self.fx, self.fy, self.cx, self.cy)
        if not np.isfinite(values).all() or self.fx <= 0 or self.fy <= 0:
            msg = (
                f"focal lengths must be positive and finite, not fx={self.fx}, fy={self.fy}; "
                "is the camera calibrated?"
            )
            raise FrameError(msg)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """K, [3, 3]."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    def resized(self, width: int, height: int) -> Camera:
        """The same camera after its image was resized to ``width`` x ``height``."""
        sx, sy = width / self.width, height / self.height
        return Camera(
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
        )

    def turned(self, quarters: int) -> Camera:
        """The same camera after its image was turned clockwise by quarters of a circle."""
        camera = self
        for _ in range(quarters % 4):
            camera = Camera(
                width=camera.height,
                height=camera.width,
                fx=camera.fy,
                fy=camera.fx,
                cx=camera.height - 1 - camera.cy,
                cy=camera.cx,
            )
        return camera

    def rays(self, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Optical rays with z = 1 through pixels [..., 2] (u, v), as [..., 3]."""
        x = (pixels[..., 0] - self.cx) / self.fx
        y = (pixels[..., 1] - self.cy) / self.fy
        return np.stack([x, y, np.ones_like(x)], axis=-1)

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pixels [..., 2] of points [..., 3] in the optical frame; NaN at or behind the camera."""
        z = np.where(points[..., 2] > 1e-6, points[..., 2], np.nan)
        u = points[..., 0] / z * self.fx + self.cx
        v = points[..., 1] / z * self.fy + self.cy
        return np.stack([u, v], axis=-1)


@dataclass(frozen=True, eq=False)
class Frame:
    """One image with what is known of it.

    Attributes:
        stamp_ns: Acquisition time, nanoseconds.
        image: [H, W, 3] uint8, RGB; or float32 in [0, 1], for pictures that were never bytes.
        frame_id: The camera's optical frame.
        camera: Its intrinsics at the image's size, or None where no CameraInfo was received.
        depth_m: [H, W] float32, metres along the optical axis; NaN where unknown. None without it.
        pose: ``fixed_frame`` from ``frame_id``, or None where TF does not give it.
        fixed_frame: Frame of ``pose``, z up (for example ``map``); empty without a pose.
    """

    stamp_ns: int
    image: NDArray[np.uint8] | NDArray[np.float32]
    frame_id: str
    camera: Camera | None = None
    _: KW_ONLY
    depth_m: NDArray[np.float32] | None = None
    pose: SE3 | None = None
    fixed_frame: str = ""

    def __post_init__(self) -> None:
        image = self.image
        known = image.dtype in (np.uint8, np.float32)
        if image.ndim != 3 or image.shape[2] != 3 or not known or 0 in image.shape:
            msg = (
                "image must be [H, W, 3] RGB, uint8 or float32 in [0, 1], "
                f"not {list(image.shape)} {image.dtype}"
            )
            raise FrameError(msg)
        size = image.shape[:2]
        if self.camera is not None and (self.camera.height, self.camera.width) != size:
            msg = (
                f"camera_info is for {self.camera.width}x{self.camera.height}, "
                f"the image is {size[1]}x{size[0]}; publish the camera_info of this image"
            )
            raise FrameError(msg)
        if self.depth_m is not None and self.depth_m.shape != size:
            msg = (
                f"depth is {self.depth_m.shape[1]}x{self.depth_m.shape[0]}, the image is "
                f"{size[1]}x{size[0]}; use depth registered to the colour camera"
            )
            raise FrameError(msg)
        if self.depth_m is not None and not np.issubdtype(self.depth_m.dtype, np.floating):
            msg = (
                f"depth is {self.depth_m.dtype}; convert it to metres (float32, NaN where unknown)"
            )
            raise FrameError(msg)
        if (self.pose is None) != (not self.fixed_frame):
            msg = "a pose needs the name of its fixed frame, and a fixed frame needs a pose"
            raise FrameError(msg)

    @cached_property
    def image_checksum(self) -> int:
        """CRC-32 of the image's values, to tell pictures of one stamp apart; computed once."""
        return zlib.crc32(np.ascontiguousarray(self.image).data)

    @property
    def picture(self) -> NDArray[np.uint8]:
        """The image in bytes, to draw on."""
        if self.image.dtype == np.uint8:
            return self.image.view(np.uint8)
        return np.round(self.image * 255).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Clip:
    """Keyframes of one camera looked at together, oldest first."""

    frames: tuple[Frame, ...]

    def __post_init__(self) -> None:
        if not self.frames:
            msg = "a clip needs at least one frame"
            raise FrameError(msg)
        stamps = [frame.stamp_ns for frame in self.frames]
        if any(later <= earlier for earlier, later in pairwise(stamps)):
            msg = "the frames of a clip must be ordered by stamp, each later than the one before"
            raise FrameError(msg)
        if len({frame.frame_id for frame in self.frames}) > 1:
            msg = "the frames of a clip must come from one camera (one frame_id)"
            raise FrameError(msg)

    def __len__(self) -> int:
        return len(self.frames)

    @classmethod
    def from_bag(cls, path: str | Path, length: int = 8, *, end_s: float | None = None) -> Clip:
        """Keyframes of a recording; see ``sensing.bags.clip_source``."""
        from vega3d_ros.sensing.bags.clip_source import clip_from_bag  # noqa: PLC0415

        return clip_from_bag(Path(path), length, end_s=end_s)

    @classmethod
    def from_video(cls, path: str | Path, length: int = 8) -> Clip:
        """Frames of a video file; see ``sensing.video``."""
        from vega3d_ros.sensing.video import clip_from_video  # noqa: PLC0415

        return clip_from_video(Path(path), length)

    @classmethod
    def from_images(cls, folder: str | Path, length: int = 8) -> Clip:
        """Pictures of a folder; see ``sensing.video``."""
        from vega3d_ros.sensing.video import clip_from_images  # noqa: PLC0415

        return clip_from_images(Path(folder), length)

    @property
    def start_ns(self) -> int:
        """Stamp of the oldest frame."""
        return self.frames[0].stamp_ns

    @property
    def stamp_ns(self) -> int:
        """Stamp of the newest frame, which every result of the clip carries."""
        return self.frames[-1].stamp_ns

    @cached_property
    def fixed_frame(self) -> str:
        """The frame that all poses share, or empty where a pose is missing or they differ."""
        names = {frame.fixed_frame for frame in self.frames}
        return names.pop() if len(names) == 1 else ""

    @property
    def output_frame(self) -> str:
        """Frame of the results: the fixed frame where known, else the camera's optical frame."""
        return self.fixed_frame or self.frames[-1].frame_id


@dataclass(frozen=True)
class KeyframePolicy:
    """When a frame is worth keeping: the camera moved or turned enough, or enough time passed.

    Attributes:
        translation_m: Keep a frame this far from the last keyframe.
        rotation_rad: Keep a frame turned this far from it.
        max_interval_s: Keep a frame after this long in any case.
        min_interval_s: Never keep two frames closer than this.
    """

    translation_m: float = 0.15
    rotation_rad: float = 0.17
    max_interval_s: float = 2.0
    min_interval_s: float = 0.05

    def wants(self, last: Frame, frame: Frame) -> bool:
        """Whether ``frame`` should be kept after the keyframe ``last``."""
        elapsed_s = (frame.stamp_ns - last.stamp_ns) / 1e9
        if elapsed_s < self.min_interval_s:
            return False
        if elapsed_s >= self.max_interval_s:
            return True
        if last.pose is None or frame.pose is None or last.fixed_frame != frame.fixed_frame:
            return False
        return (
            last.pose.distance_to(frame.pose) >= self.translation_m
            or last.pose.angle_to(frame.pose) >= self.rotation_rad
        )


class ClipBuffer:
    """Keeps the last keyframes of one camera and hands out clips.

    Args:
        clip_length: Frames in a clip, at most.
        capacity: Keyframes kept; the oldest are forgotten. A clip samples them uniformly.
        policy: When a frame becomes a keyframe.
    """

    def __init__(
        self, clip_length: int = 8, capacity: int = 8, policy: KeyframePolicy | None = None
    ) -> None:
        if not 1 <= clip_length <= capacity:
            msg = f"need 1 <= clip_length ({clip_length}) <= capacity ({capacity})"
            raise FrameError(msg)
        self.clip_length = clip_length
        self.policy = policy or KeyframePolicy()
        self._keyframes: deque[Frame] = deque(maxlen=capacity)

    def __len__(self) -> int:
        return len(self._keyframes)

    def add(self, frame: Frame, replaces: Callable[[], bool] = lambda: False) -> bool:
        """Offer a frame; returns whether it was kept.

        Args:
            frame: The frame.
            replaces: Asked once the frame is to be kept: whether it takes the place of the newest
                keyframe.

        Raises:
            FrameError: If it is older than the last keyframe or from another camera. Call
                ``clear`` when time jumps back (a bag that loops).
        """
        if self._keyframes:
            last = self._keyframes[-1]
            if frame.frame_id != last.frame_id:
                msg = (
                    f"frame from {frame.frame_id!r} in a buffer of {last.frame_id!r}; "
                    "use one buffer per camera"
                )
                raise FrameError(msg)
            if frame.stamp_ns < last.stamp_ns:
                msg = f"stamp {frame.stamp_ns} is older than the last keyframe's {last.stamp_ns}"
                raise FrameError(msg)
            if frame.stamp_ns == last.stamp_ns or not self.policy.wants(last, frame):
                return False
        if replaces() and self._keyframes:
            self._keyframes.pop()
        self._keyframes.append(frame)
        return True

    def clip(self) -> Clip | None:
        """The newest clip, or None before the first keyframe."""
        if not self._keyframes:
            return None
        keyframes = list(self._keyframes)
        return Clip(
            tuple(keyframes[i] for i in sample_uniformly(len(keyframes), self.clip_length))
        )

    def clear(self) -> None:
        self._keyframes.clear()


def sample_uniformly(available: int, wanted: int) -> Sequence[int]:
    """Indices of at most ``wanted`` of ``available`` items, first and last among them.

    As the official evaluation samples frames (``np.linspace(0, n - 1, wanted, dtype=int)``), but
    without repeating a frame where there are fewer than wanted.
    """
    if available <= wanted:
        return range(available)
    if wanted == 1:
        return [available - 1]
    return [int(i) for i in np.linspace(0, available - 1, wanted)]
