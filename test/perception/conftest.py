"""Scenes made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vega3d_ros.core.geometry import SE3, Box3D
from vega3d_ros.core.objects import SceneObject
from vega3d_ros.perception.measured_answers import ObjectView
from vega3d_ros.perception.relations import Viewpoint

OPTICAL = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], float)


@pytest.fixture(scope="session")
def thing():
    """Makes an object; ``at`` is the middle of its footprint, on the floor unless z is given."""

    def make(label, at, size=(0.5, 0.5, 0.5), *, z=None, yaw=0.0, score=1.0, sigma=0.0, name=""):
        height = size[2] / 2 if z is None else z
        return SceneObject(
            label=label,
            query=label,
            score=score,
            box=Box3D.upright((*at, height), size, yaw),
            frame_id="map",
            stamp_ns=0,
            covariance=np.eye(6) * sigma**2,
            orientation_estimated=True,
            observations=1,
            depth_coverage=1.0,
            id=name or label,
        )

    return make


@pytest.fixture(scope="session")
def camera_at():
    """Makes the viewpoint of a level camera at (x, y, 1) that looks along ``yaw``."""

    def make(x=0.0, y=0.0, yaw=0.0):
        rotation = Rotation.from_euler("z", yaw).as_matrix() @ OPTICAL
        return Viewpoint.camera("map", SE3(rotation, np.array([x, y, 1.0])))

    return make


@pytest.fixture(scope="session")
def view_of(camera_at):
    """Makes a view of objects that are found by label; other words cannot be looked for.

    ``known`` are labels that can be looked for besides those of the objects.
    """

    def make(*objects, known=("sofa", "door"), camera=None, recall=1.0, first_seen=None):
        labels = {item.label for item in objects} | set(known)

        def find(name):
            if name not in labels:
                return None
            return sorted((o for o in objects if o.label == name), key=lambda o: -o.score)

        return ObjectView(
            find,
            recall=recall,
            camera=camera or camera_at(),
            first_seen_ns=lambda item: (first_seen or {}).get(item.id),
        )

    return make
