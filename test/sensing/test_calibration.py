"""Calibrations of raw and rectified images: an object at the picture's edge stays where it is."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from support import planted_camera
from support.planted_camera import HEIGHT, WIDTH

from vega3d_ros.core.frames import FrameError
from vega3d_ros.sensing.calibration import (
    Calibrations,
    calibration,
    content,
    is_bent,
    named_raw,
)
from vega3d_ros.sensing.raw_images import ImageError

PLUMB_BOB = [-0.3, 0.1, 0.001, -0.002, -0.01]
RATIONAL = [0.5, -0.1, 0.001, -0.001, 0.02, 0.8, -0.05, 0.03]
EQUIDISTANT = [-0.02, 0.01, -0.003, 0.001]
MODELS = [
    ("plumb_bob", PLUMB_BOB),
    ("plumb_bob", [0.2, 0.0, 0.0, 0.0, 0.0]),  # a pincushion
    ("plumb_bob", PLUMB_BOB[:4]),
    ("plumb_bob", [*PLUMB_BOB, 0.0, 0.0]),
    ("rational_polynomial", RATIONAL),
    ("rational_polynomial", [*RATIONAL, 1e-3, 0.0, 1e-3, 0.0]),
    ("rational_polynomial", [*RATIONAL, 1e-3, 0.0, 1e-3, 0.0, 0.01, 0.0]),
    ("", PLUMB_BOB),
    ("", RATIONAL),
    ("equidistant", EQUIDISTANT),
    ("fisheye", EQUIDISTANT),
    ("kannala_brandt", EQUIDISTANT),
    ("Equidistant", [*EQUIDISTANT, 0.0]),
]


def info(**fields):
    """Whose rectified images are of another camera."""
    p = np.array([150.0, 0, 150, 0, 0, 151, 110, 0, 0, 0, 1, 0])
    return planted_camera.info(**({"p": p} | fields))


def seen_at(point, of):
    """The raw pixel that a point in the camera's frame falls on, by OpenCV."""
    k, model, d = of.k.reshape(3, 3), of.distortion_model.lower(), np.array(of.d, float)
    point = np.array(point, float).reshape(1, 1, 3)
    still = np.zeros(3)
    if model in ("equidistant", "fisheye", "kannala_brandt"):
        return cv2.fisheye.projectPoints(point, still, still, k, d[:4])[0].ravel()
    d = d if len(d) != 7 else d[:5]
    return cv2.projectPoints(point, still, still, k, d)[0].ravel()


def planted(of, point):
    """A raw image and its depth that show one small thing."""
    u, v = seen_at(point, of).round().astype(int)
    image, depth = (
        np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        np.full((HEIGHT, WIDTH), 9.0, np.float32),
    )
    image[v - 2 : v + 3, u - 2 : u + 3] = 255
    depth[v - 2 : v + 3, u - 2 : u + 3] = point[2]
    return image, depth


def where_it_is(found, image, depth):
    """The place of the thing by the undistorted image, and by depth: [2, 3] metres."""
    places = []
    for mask in (found.image(image)[..., 0] > 127, found.depth(depth) < 5):
        v, u = (np.nonzero(mask)[axis].mean() for axis in (0, 1))
        places.append(found.camera.rays(np.array([u, v])))
    return np.array(places) * np.nanmin(found.depth(depth))


@pytest.mark.parametrize("point", [(1.9, 0.0, 3.0), (-1.7, -1.3, 3.0), (0.0, 1.4, 3.0)])
@pytest.mark.parametrize(("model", "d"), MODELS)
def test_a_thing_at_the_edge_of_a_raw_picture_is_where_it_is(model, d, point):
    of = info(distortion_model=model, d=np.array(d))
    u, v = seen_at(point, of)
    assert 3 < u < WIDTH - 4, "the test's point must be in view"
    assert 3 < v < HEIGHT - 4, "the test's point must be in view"
    found = calibration(of, (WIDTH, HEIGHT), raw=True)
    places = where_it_is(found, *planted(of, point))
    np.testing.assert_allclose(places, [point, point], atol=0.02)


def test_the_whole_border_of_a_raw_picture_stays_in_view():
    found = calibration(info(d=np.array(PLUMB_BOB)), (WIDTH, HEIGHT), raw=True)
    bright = np.zeros((HEIGHT, WIDTH), np.float32)
    bright[[0, -1]] = bright[:, [0, -1]] = 1.0
    bright[[1, 2, -2, -3]] = bright[:, [1, 2, -2, -3]] = 1.0
    sides = found.depth(np.where(bright > 0, 1.0, 2.0).astype(np.float32)) == 1.0
    for name, angle in (("left", np.pi), ("right", 0), ("top", -np.pi / 2), ("low", np.pi / 2)):
        along = np.arange(0, 400, 0.5)
        u = (found.camera.cx + along * np.cos(angle)).round().astype(int)
        v = (found.camera.cy + along * np.sin(angle)).round().astype(int)
        inside = (u >= 0) & (u < WIDTH) & (v >= 0) & (v < HEIGHT)
        assert sides[v[inside], u[inside]].any(), name


def test_depth_of_a_raw_picture_is_never_mixed_across_an_edge():
    found = calibration(info(d=np.array(PLUMB_BOB)), (WIDTH, HEIGHT), raw=True)
    depth = np.where(np.indices((HEIGHT, WIDTH)).sum(axis=0) // 8 % 2, 1.0, 4.0)
    values = found.depth(depth.astype(np.float32))
    assert set(np.unique(values[np.isfinite(values)])) == {1.0, 4.0}
    assert np.isnan(values).any()  # beyond the picture nothing is known


def test_a_polynomial_that_turns_back_shows_no_picture_twice():
    of = info(d=np.array([-0.45, 0.0, 0.0, 0.0, 0.0]))
    found = calibration(of, (WIDTH, HEIGHT), raw=True)
    x, y = found.maps
    rays = found.camera.rays(np.stack(np.meshgrid(range(WIDTH), range(HEIGHT)), -1).astype(float))
    beyond = np.hypot(rays[..., 0], rays[..., 1]) > 1 / np.sqrt(3 * 0.45) + 0.02
    assert beyond.any()
    assert (x[beyond] < 0).all()
    assert (y[beyond] < 0).all()


def test_a_raw_picture_of_a_stereo_camera_is_rectified_with_its_depth():
    """R turns the raw camera; image_proc's rectified image has the same frame_id."""
    turn = cv2.Rodrigues(np.radians([2.0, -5.0, 1.0]))[0]
    of = info(d=np.array(PLUMB_BOB), r=turn.ravel())
    point = np.array([-1.2, 0.8, 3.0])
    found = calibration(of, (WIDTH, HEIGHT), raw=True)
    places = where_it_is(found, *planted(of, point))
    np.testing.assert_allclose(places, [turn @ point] * 2, atol=0.02)
    again = calibration(info(r=turn.ravel()), (WIDTH, HEIGHT), raw=True)
    places = where_it_is(again, *planted(info(), point))
    np.testing.assert_allclose(places, [turn @ point] * 2, atol=0.02)


def test_k_is_used_with_raw_images_and_p_with_rectified_ones():
    raw = calibration(info(), raw=True).camera
    assert (raw.fx, raw.fy, raw.cx, raw.cy) == (190, 191, 163, 117)
    rectified = calibration(info(d=np.array(PLUMB_BOB)), raw=False)
    assert (rectified.camera.fx, rectified.camera.cy) == (150, 110)
    assert rectified.maps is None


@pytest.mark.parametrize(
    ("lacking", "raw", "focal"), [("p", False, 190.0), ("k", True, 150.0), ("k", False, 150.0)]
)
def test_of_k_and_p_the_one_that_is_set_is_used(lacking, raw, focal):
    of = info(**{lacking: np.zeros(9 if lacking == "k" else 12)})
    assert calibration(of, raw=raw).camera.fx == focal


@pytest.mark.parametrize(
    ("topic", "raw"),
    [
        ("/camera/image_raw", True),
        ("/camera/image_raw/compressed", True),
        ("/camera/color/image_raw", True),
        ("/camera/image_rect_color", False),
        ("/camera/image_rect/compressed", False),
        ("/camera/depth/image_rect_raw", False),
        ("/left_raw/image_rect", False),
        ("/zed/rgb/unrectified/image", True),
        ("/cam/undistorted/image", False),
        ("/cam/distorted/image", True),
        ("/image", None),
        ("/drawing/image_color", None),
        ("/direction/image", None),
    ],
)
def test_the_name_of_a_topic_tells_whether_its_images_are_raw(topic, raw):
    assert named_raw(topic) is raw


def test_zeros_are_no_distortion():
    assert not is_bent(info())
    assert not is_bent(info(d=[]))
    assert is_bent(info(d=np.array(PLUMB_BOB)))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"distortion_model": "ftheta", "d": [0.1] * 6}, "'ftheta' with a D of 6"),
        ({"distortion_model": "", "d": [0.1] * 4}, "'' with a D of 4"),
        ({"d": [0.1, 0.2]}, "D has 4, 5, 8, 12, 14 values, that of camera_info 2"),
        ({"distortion_model": "equidistant", "d": [0.1] * 5}, "D has 4 values"),
        ({"d": [0.1, np.nan, 0, 0, 0]}, "NaN"),
        ({"d": [5.0, 300.0, 0, 0, 0]}, "leaves"),
        ({"d": PLUMB_BOB, "k": np.zeros(9)}, "K is all zeros"),
        ({"d": PLUMB_BOB, "r": np.full(9, 2.0)}, "R of camera_info"),
    ],
)
def test_distortion_that_cannot_be_taken_out_is_refused_with_the_remedy(fields, said):
    with pytest.raises(ImageError, match="image_proc") as refusal:
        calibration(info(**fields), (WIDTH, HEIGHT), raw=True)
    assert said in str(refusal.value)


def test_region_of_interest_and_binning_are_applied():
    roi = SimpleNamespace(width=160, height=120, x_offset=100, y_offset=50)
    of = info(roi=roi, binning_x=2, binning_y=2)
    camera = calibration(of, (80, 60), raw=False).camera
    assert (camera.width, camera.height) == (80, 60)
    assert (camera.fx, camera.fy) == (75, 75.5)
    assert camera.cx == pytest.approx((150 - 100 + 0.5) / 2 - 0.5)
    assert camera.cy == pytest.approx((110 - 50 + 0.5) / 2 - 0.5)


@pytest.mark.parametrize(
    ("fields", "size", "principal", "note"),
    [
        ({"binning_x": 2, "binning_y": 2}, (WIDTH, HEIGHT), (150, 110), "binning 2x2"),
        ({"binning_x": 2, "binning_y": 2, "width": 640, "height": 480}, (WIDTH, HEIGHT),
         (150, 110), "binning 2x2"),
        ({"binning_x": 2, "binning_y": 2}, (160, 120), (74.75, 54.75), ""),
        ({"binning_x": 2, "binning_y": 1}, (160, 240), (74.75, 110), ""),
        ({"width": 0, "height": 0}, (WIDTH, HEIGHT), (150, 110), "no size"),
        ({"width": 0, "height": 0, "binning_x": 2, "binning_y": 2}, (160, 120), (74.75, 54.75),
         "no size"),
        ({"width": 0, "height": 0, "binning_x": 2, "binning_y": 2}, (WIDTH, HEIGHT), (150, 110),
         "binning 2x2"),
    ],
)  # fmt: skip
def test_binning_or_size_that_do_not_fit_the_image_are_noted(fields, size, principal, note):
    found = calibration(info(**fields), size, raw=False)
    assert (found.camera.width, found.camera.height) == size
    assert (found.camera.cx, found.camera.cy) == pytest.approx(principal)
    assert note in found.note
    assert bool(found.note) == bool(note)


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, (160, 120)),
        ({"width": 0, "height": 0}, (1280, 960)),
        ({"binning_x": 4, "binning_y": 4}, (160, 120)),
    ],
)
def test_a_calibration_of_another_size_is_refused(fields, size):
    with pytest.raises(ImageError, match=f"{size[0]}x{size[1]}"):
        calibration(info(**fields), size, raw=False)


def test_uncalibrated_cameras_are_refused():
    with pytest.raises(ImageError, match="calibrated"):
        calibration(info(p=np.zeros(12), k=np.zeros(9)), raw=False)
    with pytest.raises(FrameError, match="fx=nan"):
        calibration(info(p=np.full(12, np.nan), k=np.full(9, np.nan)), raw=False)


def test_a_calibration_is_made_once_also_where_it_is_refused():
    known = Calibrations()
    of = info(d=np.array(PLUMB_BOB))
    again = SimpleNamespace(**vars(of))
    size = (WIDTH, HEIGHT)
    assert known.of(of, size, raw=True) is known.of(again, size, raw=True)
    assert known.of(of, size, raw=True) is not known.of(of, size, raw=False)
    refused = info(d=[0.1])
    errors = []
    for _ in range(2):
        with pytest.raises(ImageError) as error:
            known.of(refused, size, raw=True)
        errors.append(error.value)
    assert errors[0] is errors[1]
    assert content(of) == content(again) != content(refused)
