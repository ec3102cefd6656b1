"""Transforms at the jumps of time, by our own buffer and, where it is installed, by tf2's."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from vega3d_ros.core.geometry import SE3
from vega3d_ros.sensing.transform_buffer import JUMP_BACK_NS, TransformBuffer, TransformError
from vega3d_ros.sensing.transform_gate import HOLD_NS, GatedTransforms

pytestmark = pytest.mark.ros

MS = 1_000_000
S = 1000 * MS
START, LENGTH = 1000 * S, 20 * S
PERIODS = {("map", "odom"): 200 * MS, ("odom", "base"): 50 * MS}


@pytest.fixture(params=["own", "tf2"])
def gated(request):
    if request.param == "own":
        return GatedTransforms(TransformBuffer())
    pytest.importorskip("tf2_ros", reason="tf2_ros is not installed")
    from vega3d_ros.ros.tf import Tf2Buffer

    return GatedTransforms(Tf2Buffer())


def message(parent, child, stamp_ns, x):
    stamp = SimpleNamespace(sec=stamp_ns // S, nanosec=stamp_ns % S)
    pose = SimpleNamespace(
        translation=SimpleNamespace(x=x, y=0.0, z=0.0),
        rotation=SimpleNamespace(x=0.0, y=0.0, z=0.0, w=1.0),
    )
    item = SimpleNamespace(
        header=SimpleNamespace(frame_id=parent, stamp=stamp),
        child_frame_id=child,
        transform=pose,
    )
    return SimpleNamespace(transforms=[item])


class Drive:
    """A recording of a robot that moves along x by 1 m/s, played into the transforms."""

    def __init__(self, gated):
        self.gated, self.now_ns, self.stamp_ns = gated, 0, START
        gated.insert(message("base", "camera", START, 0.5), 0, static=True)

    def messages(self, begin_ns, end_ns):
        """What is stamped in a stretch, in order."""
        for stamp in range(begin_ns, end_ns, 50 * MS):
            for (parent, child), period in PERIODS.items():
                if (stamp - START) % period == 0:
                    moved = (stamp - START) / S if child == "base" else 0.0
                    yield message(parent, child, stamp, moved)

    def play(self, end_ns):
        for item in self.messages(self.stamp_ns, end_ns):
            self.gated.insert(item, self.now_ns, static=False)
        self.now_ns += end_ns - self.stamp_ns
        self.stamp_ns = end_ns

    def deliver(self, begin_ns, end_ns):
        for item in self.messages(begin_ns, end_ns):
            self.gated.insert(item, self.now_ns, static=False)

    def check(self, stamp_ns):
        pose = self.gated.lookup("map", "camera", stamp_ns)
        assert pose.translation[0] == pytest.approx((stamp_ns - START) / S + 0.5)


@pytest.mark.parametrize("left_ms", [0, 100, 1000])
@pytest.mark.parametrize("order", ["clock first", "left over first", "new first", "tf alone"])
def test_a_bag_that_loops_keeps_its_poses_though_the_end_of_the_old_loop_comes_late(
    gated, left_ms, order
):
    drive = Drive(gated)
    end = START + LENGTH
    for _ in range(3):
        drive.play(end - left_ms * MS)
        drive.check(end - left_ms * MS - 300 * MS)
        drive.stamp_ns = START
        left = (end - left_ms * MS, end)
        if order == "clock first":
            gated.rewind(drive.now_ns)
            drive.deliver(*left)
        elif order == "left over first":
            drive.deliver(*left)
            gated.rewind(drive.now_ns)
        else:
            drive.play(START + 200 * MS)
            if order == "new first":
                gated.rewind(drive.now_ns)
            drive.deliver(*left)
        for tenth in range(5, 150):
            stamp = START + tenth * 100 * MS
            drive.play(stamp + 50 * MS)
            drive.check(START + (tenth // 2 * 2 - 2) * 100 * MS)
        with pytest.raises(TransformError):
            gated.lookup("map", "camera", end - 500 * MS)


def test_a_clock_and_an_image_that_tell_of_one_jump_cost_no_new_sample(gated):
    drive = Drive(gated)
    drive.play(START + LENGTH)
    gated.rewind(drive.now_ns)
    drive.stamp_ns = START
    drive.play(START + S)
    gated.rewind(drive.now_ns)
    drive.check(START + 500 * MS)


def test_time_that_leaps_ahead_again_is_taken_in_once_the_old_queues_are_empty(gated):
    drive = Drive(gated)
    drive.play(START + LENGTH)
    gated.rewind(drive.now_ns)
    drive.stamp_ns = START
    drive.play(START + S)
    drive.now_ns += HOLD_NS
    drive.stamp_ns = START + LENGTH
    drive.play(START + LENGTH + S)
    drive.check(START + LENGTH + 500 * MS)


def test_a_clock_set_back_by_a_second_loses_no_pose_afterwards(gated):
    drive = Drive(gated)
    drive.play(START + LENGTH)
    drive.stamp_ns -= 2 * JUMP_BACK_NS
    again = drive.stamp_ns
    for tenth in range(2, 30):
        drive.play(again + tenth * 100 * MS)
        drive.check(again + (tenth // 2 * 2 - 2) * 100 * MS)


def test_static_transforms_outlast_every_jump(gated):
    drive = Drive(gated)
    drive.play(START + S)
    gated.rewind(drive.now_ns)
    np.testing.assert_allclose(
        gated.lookup("base", "camera", START).matrix, SE3(np.eye(3), [0.5, 0.0, 0.0]).matrix
    )
