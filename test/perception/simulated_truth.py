"""Truth of simulated clips without rendering, and its boxes as objects found.

Visible pixels are counted by casting rays at the boxes, as if every object filled its box.
"""

from __future__ import annotations

import numpy as np

from vega3d_ros.core.frames import Camera
from vega3d_ros.core.geometry import SE3, Box3D
from vega3d_ros.core.objects import SceneObject
from vega3d_ros.perception.measured_answers import ObjectView
from vega3d_ros.perception.relations import Viewpoint
from vega3d_ros.simulation.clip_paths import clip_path
from vega3d_ros.simulation.clips import FRAMES, HEIGHT, WIDTH, truth_record
from vega3d_ros.simulation.planning import plan_room
from vega3d_ros.simulation.primitives import COLORS
from vega3d_ros.simulation.questions import make_questions
from vega3d_ros.simulation.referring import make_referring
from vega3d_ros.simulation.rooms import LABELS
from vega3d_ros.simulation.visibility import SEEN_PIXELS

EVERY = 4  # a ray for every 4 x 4 pixels
STEP_NS = 500_000_000


def simulated_truth(index):
    """A truth record with its questions and referring expressions."""
    rng = np.random.default_rng([1, 77, index])
    poses = None
    while poses is None:
        room = plan_room(rng, "heldout")
        poses = clip_path(rng, room, FRAMES)
    focal = HEIGHT / 2 / np.tan(np.radians(rng.uniform(45, 68)) / 2)
    camera = Camera(
        width=WIDTH, height=HEIGHT, fx=focal, fy=focal, cx=(WIDTH - 1) / 2, cy=(HEIGHT - 1) / 2
    )
    boxes = [Box3D.upright(item.center, item.size, item.yaw) for item in room.objects]
    visible = np.array([_visible(boxes, pose, camera) for pose in poses])
    stamps = [(i + 1) * STEP_NS for i in range(FRAMES)]
    truth = truth_record(room, camera, stamps, poses, visible)
    truth["questions"] = [q.record() for q in make_questions(truth["objects"], rng)]
    truth["referring"] = [r.record() for r in make_referring(truth["objects"], rng)]
    return truth


def _visible(boxes, map_from_camera, camera):
    """Pixels of each box that no other box hides."""
    u, v = np.meshgrid(np.arange(0, camera.width, EVERY), np.arange(0, camera.height, EVERY))
    rays = camera.rays(np.stack([u.ravel(), v.ravel()], axis=-1).astype(float))
    rays = rays @ map_from_camera.rotation.T
    near = np.full((len(boxes), len(rays)), np.inf)
    for index, box in enumerate(boxes):
        start = (map_from_camera.translation - box.center) @ box.rotation
        ways = rays @ box.rotation
        with np.errstate(divide="ignore"):
            ends = np.stack([(s * box.size / 2 - start) / ways for s in (-1, 1)])
        enter, leave = ends.min(axis=0).max(axis=1), ends.max(axis=0).min(axis=1)
        near[index] = np.where((enter < leave) & (leave > 0), np.maximum(enter, 0), np.inf)
    first = np.where(np.isfinite(near.min(axis=0)), near.argmin(axis=0), len(boxes))
    return np.bincount(first, minlength=len(boxes) + 1)[:-1] * EVERY**2


class TrueObjects:
    """What a truth record shows, found without error.

    Args:
        truth: The record.
    """

    def __init__(self, truth):
        self.seen = [o for o in truth["objects"] if max(o["visible_pixels"]) >= SEEN_PIXELS]
        self.found = {o["id"]: true_object(o) for o in self.seen}
        self.stamps_ns = truth["stamps_ns"]
        self.camera = Viewpoint.camera("map", SE3.from_matrix(truth["poses"][-1]))

    def find(self, name):
        """Objects of a label, with a colour before it or without; None for another word."""
        first, _, rest = name.partition(" ")
        color, label = (first, rest) if first in COLORS else (None, name)
        if label not in LABELS:
            return None
        fit = [o for o in self.seen if o["label"] == label and color in (None, o["color"])]
        return [self.found[o["id"]] for o in fit]

    def first_seen_ns(self, item):
        pixels = next(o["visible_pixels"] for o in self.seen if o["id"] == item.id)
        return self.stamps_ns[int(np.argmax(np.array(pixels) >= SEEN_PIXELS))]

    @property
    def view(self):
        return ObjectView(
            self.find, recall=1.0, camera=self.camera, first_seen_ns=self.first_seen_ns
        )


def true_object(item):
    return SceneObject(
        label=item["label"],
        query=item["label"],
        score=1.0,
        box=Box3D.upright(item["center"], item["size"], item["yaw"]),
        frame_id="map",
        stamp_ns=0,
        covariance=np.zeros((6, 6)),
        orientation_estimated=True,
        observations=1,
        depth_coverage=1.0,
        id=item["id"],
    )
