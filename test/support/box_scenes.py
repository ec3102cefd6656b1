"""Rooms of plain boxes, ray-cast with NumPy: depth and instances that are exactly known."""

from __future__ import annotations

import numpy as np

from vega3d_ros.core.frames import Camera, Clip, Frame
from vega3d_ros.core.geometry import SE3, Box3D
from vega3d_ros.models.grounders.lifted import LiftedGrounder
from vega3d_ros.simulation.clip_paths import camera_pose
from vega3d_ros.simulation.planted_detector import PlantedDetector, PlantedErrors

CAMERA = Camera(width=160, height=120, fx=130.0, fy=130.0, cx=79.5, cy=59.5)
FLAWLESS = PlantedErrors(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, least_pixels=30)
_FAR_M = 12.0


def look(pose, things, floor_m=0.0, camera=CAMERA):
    """Depth [H, W] along the axis (NaN where nothing is) and instance [H, W] (0 is the floor)."""
    v, u = np.mgrid[: camera.height, : camera.width].astype(np.float64)
    rays = camera.rays(np.stack([u, v], axis=-1)) @ pose.rotation.T
    origin = pose.translation
    best = np.full(u.shape, np.inf)
    instance = np.zeros(u.shape, np.uint8)
    with np.errstate(divide="ignore", invalid="ignore"):
        if floor_m is not None:
            hit = (floor_m - origin[2]) / rays[..., 2]
            best = np.where((hit > 0) & (hit < _FAR_M), hit, best)
        for index, (_, box) in enumerate(things):
            start = (origin - box.center) @ box.rotation
            local = rays @ box.rotation
            near = (np.where(local > 0, -1, 1) * box.size / 2 - start) / local
            far = (np.where(local > 0, 1, -1) * box.size / 2 - start) / local
            enter, leave = near.max(axis=-1), far.min(axis=-1)
            hits = (enter < leave) & (enter > 0) & (enter < best)
            best = np.where(hits, enter, best)
            instance[hits] = index + 1
    return np.where(np.isfinite(best), best, np.nan).astype(np.float32), instance


def around(center, count=6, radius=2.2, height=1.3, start=0.0, sweep=1.6):
    """Poses on an arc that all look at a point."""
    poses = []
    for angle in start + np.linspace(0.0, sweep, count):
        x, y = center[0] + radius * np.cos(angle), center[1] + radius * np.sin(angle)
        heading = np.arctan2(center[1] - y, center[0] - x)
        pitch = -np.arctan2(height - center[2], radius)
        poses.append(camera_pose(x, y, height, heading, pitch))
    return poses


class BoxScene:
    """A clip of boxes with a planted detector.

    Without ``tf`` frames have no pose; ``spoil`` makes depth worse; ``colors`` are RGB of the
    things.
    """

    def __init__(
        self, things, views, *, floor_m=0.0, errors=FLAWLESS, spoil=None, tf=True, camera=CAMERA,
        extra_names=(), seed=0, colors=None,
    ):  # fmt: skip
        self.things, self.views, self.instances = things, views, []
        names = tuple(dict.fromkeys([label for label, _ in things] + list(extra_names)))
        self.detector = PlantedDetector(names, errors, seed)
        frames = []
        for i, pose in enumerate(views):
            depth, instance = look(pose, things, floor_m, camera)
            if spoil is not None:
                depth = spoil(depth, instance, np.random.default_rng(i))
            self.instances.append(instance)
            image = np.repeat(instance[..., None] * 20, 3, axis=2)
            for index, color in enumerate(colors or ()):
                image[instance == index + 1] = color
            image[0, 0] = i, i + 1, 7
            self.detector.plant(image, instance, [label for label, _ in things])
            known = {"pose": pose, "fixed_frame": "map"} if tf else {}
            frames.append(Frame((i + 1) * 10**9, image, "camera", camera, depth_m=depth, **known))
        self.clip = Clip(tuple(frames))

    def grounder(self, **options):
        """A lifted grounder of the scene's detector."""
        return LiftedGrounder(self.detector, **options)

    def find(self, text, clip=None, **options):
        """What a text finds."""
        grounder, clip = self.grounder(**options), clip or self.clip
        evidence = [grounder.look(frame) for frame in clip.frames]
        return grounder.find(clip, evidence, [text], 0.0)[0]


def chair_like(x, y, yaw=0.0, size=(0.5, 0.45, 0.8), floor_m=0.0):
    """A block on the floor."""
    return Box3D.upright((x, y, floor_m + size[2] / 2), size, yaw)


def moved(clip, shift):
    """The clip in a map that is shifted and turned: ``shift`` is new map from old."""
    return Clip(
        tuple(
            Frame(
                f.stamp_ns,
                f.image,
                f.frame_id,
                f.camera,
                depth_m=f.depth_m,
                pose=shift @ f.pose,
                fixed_frame="map",
            )
            for f in clip.frames
        )
    )


def about_z(angle, x=0.0, y=0.0, z=0.0):
    """A turn about the vertical and a shift."""
    c, s = np.cos(angle), np.sin(angle)
    return SE3(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]), np.array([x, y, z]))
