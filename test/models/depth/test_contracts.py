"""The contract of sources of depth, kept by each kind; and the choice among them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from models.depth.contract import DepthContract
from support.tiny_depth import write_depth_network

from vega3d_ros.core.frames import Camera, Frame
from vega3d_ros.models.depth import DEPTHS, DepthImage, FirstDepth, SensorDepth
from vega3d_ros.models.depth.network import NetworkDepth


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.5, 5.0, (48, 64)).astype(np.float32)
    depth[0, :4] = np.nan, 0.0, -1.0, np.inf
    image = rng.integers(0, 255, (48, 64, 3)).astype(np.uint8)
    camera = Camera(width=64, height=48, fx=50.0, fy=50.0, cx=31.5, cy=23.5)
    return Frame(1, image, "camera", camera, depth_m=depth)


class TestSensor(DepthContract):
    kind, name = "sensor", "depth"

    @pytest.fixture
    def source(self):
        return SensorDepth()


class TestNetwork(DepthContract):
    kind, name = "network", "network"

    @pytest.fixture(scope="class")
    def source(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("depth") / "small"
        return NetworkDepth(write_depth_network(folder, "depth_anything"))


class Constant:
    """2 m everywhere; counts how often it is asked."""

    asked = 0

    def depth(self, frame):
        self.asked += 1
        return DepthImage(np.full(frame.image.shape[:2], 2.0, np.float32), "network", 0.1)


def test_every_kind_of_the_registry_is_there():
    assert DEPTHS.names == ("network", "sensor")
    for name in DEPTHS.names:
        assert callable(DEPTHS.get(name))


def test_the_sensor_comes_first_and_the_network_where_it_saw_nothing(frame):
    network = Constant()
    choice = FirstDepth(SensorDepth(), network)
    assert choice.depth(frame).source == "depth"
    assert network.asked == 0
    for nothing in (None, np.full((48, 64), np.nan, np.float32), np.zeros((48, 64), np.float32)):
        assert choice.depth(replace(frame, depth_m=nothing)).source == "network"
    assert FirstDepth(SensorDepth()).depth(replace(frame, depth_m=None)) is None
