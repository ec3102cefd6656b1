"""Rooms that are rendered once for all tests of the simulation."""

from __future__ import annotations

import numpy as np
import pytest

from vega3d_ros.simulation.clips import ClipFactory
from vega3d_ros.simulation.renderer import RenderError

CUBE = """\
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 0 0 1
v 1 0 1
v 1 1 1
v 0 1 1
f 1 4 3 2
f 5 6 7 8
f 1 2 6 5
f 2 3 7 6
f 3 4 8 7
f 4 1 5 8
"""


@pytest.fixture(scope="session")
def furniture_folder(tmp_path_factory):
    """A folder in the format of the furniture: two models made of one cube, off their origin."""
    folder = tmp_path_factory.mktemp("furniture")
    (folder / "cube.obj").write_text(CUBE)
    mesh = '<mesh name="cube" file="cube.obj"/>'
    bodies = "".join(
        f'<body name="{name}_001"><geom type="mesh" mesh="cube"/></body>'
        for name in ("Wardrobe_01", "ChairD_01", "Nonsense_01")
    )
    (folder / "house.xml").write_text(
        f"<mujoco><asset>{mesh}</asset><worldbody>{bodies}</worldbody></mujoco>"
    )
    return folder


@pytest.fixture(scope="session")
def make_factory():
    """Makes a factory, or skips and says why this machine cannot render."""

    def make(*args):
        try:
            return ClipFactory(*args)
        except RenderError as error:
            pytest.skip(str(error))

    return make


@pytest.fixture(scope="session")
def factory(make_factory):
    return make_factory("train", 5)


@pytest.fixture(scope="session")
def clips(factory):
    return [factory.clip(index) for index in range(5)]


@pytest.fixture(scope="session")
def thing():
    """Makes an object of a truth record."""

    def make(label, x, y, *, color=None, pixels=(400,), size=(0.5, 0.5, 0.5), name=""):
        return {
            "id": name or f"{color or ''}{label}",
            "label": label,
            "color": color,
            "center": [float(x), float(y), size[2] / 2],
            "size": list(size),
            "yaw": 0.0,
            "visible_pixels": list(pixels),
        }

    return make


@pytest.fixture(scope="session")
def many():
    """All that a maker of questions or expressions makes of some objects with many seeds."""

    def make(maker, objects, runs=60):
        return [
            item for seed in range(runs) for item in maker(objects, np.random.default_rng(seed))
        ]

    return make
