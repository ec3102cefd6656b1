"""Simulated clips with truth and planted detections, for ``lifting.py``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.core.frames import Clip, Frame
from vega3d_ros.core.geometry import Box3D
from vega3d_ros.simulation.clip_paths import clip_path
from vega3d_ros.simulation.planning import plan_room
from vega3d_ros.simulation.rooms import LABELS, SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from vega3d_ros.simulation.planted_detector import PlantedDetector

FRAMES = 8
_STEP_NS = 500_000_000
_SEEN_PIXELS, _SEEN_FRAMES = 1500, 3


@dataclass(frozen=True, eq=False)
class Truth:
    """A thing of a room: its name, its box, and whether the clip shows it well."""

    label: str
    box: Box3D
    shown: bool


@dataclass(frozen=True, eq=False)
class RoomClip:
    """A clip, its instance images and what is in it."""

    clip: Clip
    instances: tuple[NDArray[np.uint8], ...]
    labels: tuple[str, ...]
    truth: tuple[Truth, ...]

    def plant(self, detector: PlantedDetector) -> None:
        """Tell a planted detector of the images."""
        for frame, instance in zip(self.clip.frames, self.instances, strict=True):
            detector.plant(frame.picture, instance, self.labels)


def room_clips(
    split: str, seed: int, count: int, size: tuple[int, int] = (640, 480)
) -> Iterator[RoomClip]:
    """Render clips of rooms of primitives.

    Args:
        split: "train" (to choose parameters) or "heldout" (to report).
        seed: Chooses the series.
        count: Clips.
        size: Width and height of the images.
    """
    from vega3d_ros.simulation.renderer import RoomRenderer, pinhole_camera  # noqa: PLC0415 (needs EGL)

    renderer = RoomRenderer(*size)
    for index in range(count):
        rng = np.random.default_rng([7, SPLITS.index(split), seed, index])
        poses = None
        while poses is None:
            room = plan_room(rng, split)
            poses = clip_path(rng, room, FRAMES)
        renderer.load_room(room, rng)
        camera = pinhole_camera(*size, rng.uniform(42, 60))
        views = [renderer.render(pose, camera) for pose in poses]
        frames = tuple(
            Frame(
                (i + 1) * _STEP_NS,
                view.rgb,
                "camera",
                camera,
                depth_m=view.depth_m,
                pose=pose,
                fixed_frame="map",
            )
            for i, (view, pose) in enumerate(zip(views, poses, strict=True))
        )
        visible = np.array(
            [np.bincount(v.instance.ravel(), minlength=len(room.objects) + 1)[1:] for v in views]
        )
        shown = (visible >= _SEEN_PIXELS).sum(axis=0) >= _SEEN_FRAMES
        yield RoomClip(
            Clip(frames),
            tuple(view.instance for view in views),
            tuple(item.label for item in room.objects),
            tuple(
                Truth(item.label, Box3D.upright(item.center, item.size, item.yaw), bool(well))
                for item, well in zip(room.objects, shown, strict=True)
            ),
        )


def worn(clip: Clip, noise: float, holes: float, seed: int) -> Clip:
    """The clip with the depth of a poor sensor.

    Args:
        clip: With exact depth.
        noise: Standard deviation of each pixel, relative to its depth; at depth edges, pixels
            within two of the edge take any depth between both sides.
        holes: Share of the pixels that are unknown.
        seed: Of the noise.
    """
    rng = np.random.default_rng(seed)
    frames = []
    for frame in clip.frames:
        depth = np.asarray(frame.depth_m, np.float32).copy()
        padded = np.pad(depth, 2, mode="edge")
        around = np.stack(
            [
                padded[2 + dy : padded.shape[0] - 2 + dy, 2 + dx : padded.shape[1] - 2 + dx]
                for dy, dx in ((0, 2), (0, -2), (2, 0), (-2, 0))
            ]
        )
        low, high = around.min(axis=0), around.max(axis=0)
        torn = (high - low > 0.1 * low) & (rng.random(depth.shape) < 0.5)
        mixed = low + (high - low) * rng.random(depth.shape).astype(np.float32)
        depth = np.where(torn, mixed, depth)
        depth *= 1 + noise * rng.standard_normal(depth.shape).astype(np.float32)
        depth[rng.random(depth.shape) < holes] = np.nan
        frames.append(replace(frame, depth_m=depth))
    return Clip(tuple(frames))


__all__ = ["FRAMES", "LABELS", "RoomClip", "Truth", "room_clips", "worn"]
