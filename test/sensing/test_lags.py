"""Depth and transforms that come late are measured, and the remedy is one that works."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensing.test_frame_assembly import MS, START, Poses, S, depth, frames, image, info

from vega3d_ros.sensing.frame_assembly import FrameAssembler
from vega3d_ros.sensing.lags import FEWEST, DepthOffsets


def suggested(text, parameter):
    return float(re.search(rf"set {parameter} to ([0-9.]+)", text)[1])


def drive(offset_ns, tolerance_ns=20 * MS, images=20, depth_every=1):
    assembler = FrameAssembler(tolerance_ns=tolerance_ns)
    assembler.add_camera_info(info())
    made, now = [], 0
    for i in range(images):
        stamp, now = START + i * 66 * MS, i * 66 * MS
        if i % depth_every == 0:
            assembler.add_depth(depth(stamp + offset_ns), now)
        assembler.add_image(image(stamp), now)
        made += frames(assembler, now)
    made += frames(assembler, now + S)
    return assembler, made


@pytest.mark.parametrize(("offset_ms", "how"), [(30, "30 ms later"), (-25, "25 ms earlier")])
def test_depth_stamped_off_for_ever_is_measured_and_the_tolerance_named(offset_ms, how):
    """realsense-ros#1556, OrbbecSDK_ROS2#37."""
    assembler, made = drive(offset_ms * MS)
    assert all(frame.depth_m is None for frame in made)
    text = assembler.depth_offsets.warning()
    assert text.startswith("20 of the last 20 images have no depth: it is stamped")
    assert how in text
    remedied, made = drive(offset_ms * MS, round(suggested(text, "pair_tolerance_s") * S))
    assert remedied.depth_offsets.warning() == ""
    assert all(frame.depth_m is not None for frame in made)


def test_depth_of_another_clock_asks_for_no_tolerance():
    text = drive(-1000 * S + 7)[0].depth_offsets.warning()
    assert "999.7 s earlier" in text
    assert "different clocks" in text
    assert "set pair_tolerance_s" not in text


@pytest.mark.parametrize("how", [{"offset_ns": 5 * MS}, {"offset_ns": 0, "depth_every": 2}])
def test_depth_that_fits_or_is_slower_than_the_images_is_no_reason_to_warn(how):
    assert drive(**how)[0].depth_offsets.warning() == ""


@given(offset=st.integers(21, 900), jitter=st.integers(0, 5))
def test_tolerance_that_is_named_is_always_enough(offset, jitter):
    rng = np.random.default_rng(jitter)
    offsets = DepthOffsets(20 * MS)
    values = [offset * MS + int(rng.integers(-jitter, jitter + 1)) * MS // 2 for _ in range(30)]
    for value in values:
        offsets.add(value)
    enough = suggested(offsets.warning(), "pair_tolerance_s") * S
    assert max(values) < enough <= (offset + jitter + 11) * MS


def late_drive(lag_ns, wait_ns=300 * MS, late=lambda i: i % 40 >= 10, images=120):
    """Images at 30 Hz whose poses are known after a lag for three seconds of four."""
    poses = Poses(START)
    assembler = FrameAssembler("map", poses, wait_ns=wait_ns)
    assembler.add_camera_info(info())
    made = []
    for tick in range(images * 10 + 300):
        now = tick * S // 300
        lag = lag_ns if late(tick // 10) else 0
        poses.until = max(poses.until, START + now - lag)
        if tick % 10 == 0 and tick < images * 10:
            assembler.add_image(image(START + now), now)
        made += frames(assembler, now)
    return assembler, made


def test_transforms_that_come_late_most_of_the_time_are_measured_and_the_wait_named():
    """isaac_ros_visual_slam#118, slam_toolbox#717."""
    assembler, made = late_drive(450 * MS)
    assert assembler.drops["no transform"] > 60
    text = assembler.pose_delays.warning()
    (lag_ms,) = re.findall(r"images were dropped without a pose: TF comes (\d+) ms after", text)
    assert int(lag_ms) == pytest.approx(450, abs=20)
    remedied, every = late_drive(450 * MS, round(suggested(text, "wait_s") * S))
    assert remedied.pose_delays.warning() == ""
    assert len(made) < 60 < len(every) == 120


def test_transforms_in_time_are_no_reason_to_warn():
    assembler, made = late_drive(100 * MS)
    assert len(made) == 120
    assert assembler.pose_delays.warning() == ""


def test_gap_in_transforms_names_no_wait():
    poses = Poses(START + 2 * S)
    assembler = FrameAssembler("map", poses, wait_ns=100 * MS)
    assembler.add_camera_info(info())
    for i in range(60):
        now = i * 100 * MS
        assembler.add_image(image(START + now), now)
        list(assembler.poll(now))
    text = assembler.pose_delays.warning()
    assert assembler.drops["no transform"] >= FEWEST
    assert "TF has gaps" in text
    assert "wait_s" not in text
