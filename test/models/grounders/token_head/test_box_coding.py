from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from support.closeness import assert_close_to_magnitude
from support.tiny_models import LOOKS_ALONG_X, make_frame

from vega3d_ros.core.geometry import SE3, Box3D, iou_oriented
from vega3d_ros.core.token_grid import token_geometry
from vega3d_ros.models.grounders.token_head.box_coding import (
    HEADINGS,
    OUTPUTS,
    REGRESSED,
    decode,
    encode,
)

pytestmark = pytest.mark.numeric

ROWS, COLUMNS = 6, 8


def as_outputs(targets):
    """What a network that is sure of the targets would put out."""
    raw = np.full(OUTPUTS, -20.0, np.float32)
    raw[:7] = targets.values
    raw[7:REGRESSED] = -5
    position = targets.heading * HEADINGS - 0.5
    low, share = int(np.floor(position)), position - np.floor(position)
    raw[REGRESSED + low % HEADINGS] = np.log(max(1 - share, 1e-6))
    raw[REGRESSED + (low + 1) % HEADINGS] = np.log(max(share, 1e-6))
    return raw


boxes = st.builds(
    Box3D.upright,
    st.tuples(st.floats(1.2, 5), st.floats(-1.5, 1.5), st.floats(-1, 1)),
    st.tuples(st.floats(0.2, 2), st.floats(0.2, 2), st.floats(0.2, 2)),
    st.floats(-np.pi, np.pi),
)


@given(
    box=boxes,
    row=st.integers(0, ROWS - 1),
    column=st.integers(0, COLUMNS - 1),
    depth=st.booleans(),
)
def test_decode_inverts_encode(box, row, column, depth):
    geometry = token_geometry(make_frame(0, depth=depth), ROWS, COLUMNS)
    targets = encode(geometry, row, column, box)
    assume(targets is not None)
    assert targets.behind is depth
    proposal = decode(geometry, row, column, as_outputs(targets))
    assert proposal.measured is depth
    assert_close_to_magnitude(proposal.box.center, box.center, "elementwise")
    assert_close_to_magnitude(np.sort(proposal.box.size[:2]), np.sort(box.size[:2]), "elementwise")
    # The peak between two heading bins is read to a few degrees.
    assert iou_oriented(proposal.box, box) > 0.75


def test_a_longer_lens_makes_a_thing_look_nearer_by_as_much():
    """What fills the same pixels looks the same, and is told by the same numbers."""
    short = make_frame(0, depth=False)
    long = replace(short, camera=replace(short.camera, fx=140.0, fy=140.0))
    near, far = (
        encode(token_geometry(frame, ROWS, COLUMNS), 2, 3, Box3D.upright([x, 0.1, 0], [1, 1, 1]))
        for frame, x in ((short, 2.0), (long, 4.0))
    )
    assert near.values[2] == pytest.approx(far.values[2])
    reference = replace(short, camera=replace(short.camera, fx=0.9 * 80))
    at_reference = encode(
        token_geometry(reference, ROWS, COLUMNS), 2, 3, Box3D.upright([2, 0, 0], [1, 1, 1])
    )
    assert at_reference.values[2] == pytest.approx(np.log(2), rel=1e-5)


@given(tilt=st.floats(-0.6, 0.6), roll=st.floats(-0.4, 0.4), column=st.integers(0, COLUMNS - 1))
def test_headings_are_told_against_the_ray_of_the_token(tilt, roll, column):
    """A box that turns with the ray looks the same, also to a camera that looks down."""
    turned = Rotation.from_euler("yx", [tilt, roll]).as_matrix() @ LOOKS_ALONG_X
    frame = replace(make_frame(0, depth=False), pose=SE3(turned, np.array([0.0, 0.0, 1.0])))
    geometry = token_geometry(frame, ROWS, COLUMNS)
    ray = geometry.level_from_optical @ geometry.rays[2, column]
    along = Box3D.upright(3 * ray, [1, 0.4, 1], np.arctan2(ray[1], ray[0]) + 0.3)
    targets = encode(geometry, 2, column, along)
    assert targets.heading * np.pi == pytest.approx(0.3, abs=1e-5)


def test_the_same_heading_half_a_turn_on_is_the_same_box():
    geometry = token_geometry(make_frame(0), ROWS, COLUMNS)
    one = encode(geometry, 2, 3, Box3D.upright([2, 0, 0], [1, 0.5, 1], 0.4))
    other = encode(geometry, 2, 3, Box3D.upright([2, 0, 0], [1, 0.5, 1], 0.4 + np.pi))
    swapped = encode(geometry, 2, 3, Box3D.upright([2, 0, 0], [0.5, 1, 1], 0.4 + np.pi / 2))
    for same in (other, swapped):
        assert_close_to_magnitude(one.values, same.values, "elementwise")
        assert one.heading == pytest.approx(same.heading, abs=1e-6)


def test_what_lies_behind_the_camera_cannot_be_told():
    geometry = token_geometry(make_frame(0), ROWS, COLUMNS)
    assert encode(geometry, 2, 3, Box3D.upright([-1, 0, 0], [1, 1, 1])) is None
    assert encode(geometry, 0, 0, Box3D.upright([0.2, -3, -3], [1, 1, 1])) is None


def test_measured_range_follows_the_sensor_and_not_the_prediction():
    frame = make_frame(0)
    frame.depth_m[:] = 2.0
    geometry = token_geometry(frame, ROWS, COLUMNS)
    raw = np.zeros(OUTPUTS, np.float32)
    raw[2], raw[3] = 1.5, 0.25
    box = decode(geometry, 3, 4, raw).box
    center = geometry.level_from_optical.T @ box.center
    assert center[2] == pytest.approx(2.25)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=OUTPUTS, max_size=OUTPUTS))
def test_any_finite_output_is_a_valid_box(values):
    geometry = token_geometry(make_frame(0), ROWS, COLUMNS)
    proposal = decode(geometry, 5, 7, np.array(values, np.float32))
    assert (proposal.box.size > 0).all()
    assert 0 <= proposal.heading_weight <= 1 + 1e-9
    assert proposal.range_std_m > 0
    assert proposal.lateral_std_m > 0
