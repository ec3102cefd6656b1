"""Pictures: boxes land where they project, nothing is drawn where nothing is seen."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vega3d_ros.core.frames import Camera, Frame
from vega3d_ros.core.geometry import SE3, Box3D
from vega3d_ros.core.objects import SceneObject
from vega3d_ros.viz.drawing import (
    DrawingError,
    Rect,
    contact_sheet,
    draw_gate,
    draw_label,
    draw_objects,
    enlarged,
    label_color,
    project_box,
)
from vega3d_ros.viz.floor_plan import TrueObject, top_down_map

CAMERA = Camera(width=200, height=150, fx=180.0, fy=180.0, cx=99.5, cy=74.5)
IDENTITY = np.eye(3)
MAP_FROM_CAMERA = SE3(
    np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), np.array([1.0, 2.0, 1.5])
)


def box(center, size=(0.4, 0.4, 0.4)):
    return Box3D(np.asarray(center, float), np.asarray(size, float), IDENTITY)


def found(center, label="chair", frame_id="camera", score=0.9, size=(0.4, 0.4, 0.4)):
    return SceneObject(
        label=label,
        query=label,
        score=score,
        box=box(center, size),
        frame_id=frame_id,
        stamp_ns=1,
        covariance=np.eye(6),
        orientation_estimated=True,
        observations=2,
        depth_coverage=1.0,
    )


def frame(camera=CAMERA, pose=None):
    image = np.full((150, 200, 3), 60, np.uint8)
    return Frame(
        1, image, "camera", camera, depth_m=None, pose=pose, fixed_frame="map" if pose else ""
    )


def drawn_area(before, after):
    rows, columns = np.nonzero((before != after).any(axis=2))
    return columns.min(), rows.min(), columns.max(), rows.max()


@given(width=st.integers(1, 40), height=st.integers(1, 40))
@settings(deadline=None)
def test_no_picture_is_too_small_to_draw_on(width, height):
    """Where OpenCV colours an empty array, it ends the whole process."""
    image = np.zeros((height, width, 3), np.uint8)
    tiny = Frame(
        1,
        image,
        "camera",
        Camera(width=width, height=height, fx=9.0, fy=9.0, cx=width / 2, cy=height / 2),
    )
    assert draw_gate(image, np.full((3, 4), 0.5)).shape == image.shape
    assert draw_objects(image, [found((0.0, 0.0, 2.0))], tiny).shape == image.shape


def test_edges_join_projected_corners():
    lines = project_box(box((0.2, 0.1, 2.0)), CAMERA)
    assert len(lines) == 12
    corners = CAMERA.project(box((0.2, 0.1, 2.0)).corners)
    for line in lines:
        for end in line:
            assert np.abs(corners - end).max(axis=1).min() < 1e-9


def test_box_that_reaches_behind_the_camera_is_clipped_not_mirrored():
    # Below the camera, from 1 m behind to 3 m before it: it must stay in the lower half.
    lines = project_box(box((0.0, 0.5, 1.0), (0.4, 0.2, 4.0)), CAMERA)
    assert lines
    assert min(line[:, 1].min() for line in lines) > CAMERA.cy


@pytest.mark.parametrize("center", [(0.0, 0.0, -2.0), (50.0, 0.0, 2.0)])
def test_box_out_of_sight_has_no_edges_and_no_label(center):
    assert project_box(box(center), CAMERA) == []
    picture = frame()
    assert (draw_objects(picture.image, [found(center)], picture) == picture.image).all()


def test_object_in_the_map_is_drawn_where_the_camera_sees_it():
    view = frame(pose=MAP_FROM_CAMERA)
    center = MAP_FROM_CAMERA.apply([0.2, 0.3, 2.0])
    from_map = draw_objects(view.image, [found(center, frame_id="map")], view)
    left, top, right, bottom = drawn_area(view.image, from_map)
    u, v = CAMERA.project(np.array([0.2, 0.3, 2.0]))
    assert left < u < right
    assert top < v < bottom
    corners = CAMERA.project(box((0.2, 0.3, 2.0)).corners)
    assert bottom == pytest.approx(corners[:, 1].max(), abs=3)
    assert right >= corners[:, 0].max() - 1


def test_enlarged_picture_scales_the_boxes_with_it():
    view = frame()
    item = found((0.3, 0.2, 2.0), size=(0.2, 0.2, 0.2), label="a")
    small = drawn_area(view.image, draw_objects(view.image, [item], view))
    big_image = enlarged(view.image, 600)
    assert big_image.shape == (450, 600, 3)
    big = drawn_area(big_image, draw_objects(big_image, [item], view))
    assert big[3] / 3 == pytest.approx(small[3], abs=2)


@pytest.mark.parametrize(
    ("view", "frame_id"),
    [(frame(camera=None), "camera"), (frame(), "map"), (frame(), "elsewhere")],
)
def test_what_cannot_be_placed_is_left_out(view, frame_id):
    picture = draw_objects(view.image, [found((0, 0, 2), frame_id=frame_id)], view)
    assert (picture == view.image).all()
    assert picture is not view.image


def test_colors_are_the_same_in_every_process_and_differ_between_labels():
    code = "from vega3d_ros.viz.drawing import label_color; print(label_color('chair'))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == str(label_color("chair"))
    assert len({label_color(name) for name in ("chair", "table", "sofa", "bed", "tv")}) == 5


def test_labels_of_one_place_do_not_hide_each_other():
    image = np.zeros((300, 400, 3), np.uint8)
    plates: list[Rect] = []
    for i in range(6):
        plates.append(draw_label(image, f"chair {i}", (150, 150), (0, 200, 0), 12, plates))
    for i, plate in enumerate(plates):
        assert plate.left >= 0
        assert plate.right <= 400
        assert all(plate.overlap(other) == 0 for other in plates[:i])


def test_gate_is_hot_where_the_generator_is_listened_to():
    image = np.full((120, 160, 3), 90, np.uint8)
    gate = np.zeros((3, 4))
    gate[0, 3] = 1.0
    picture = draw_gate(image, gate)
    assert picture.shape == image.shape
    assert picture[8, 150].sum() > picture[8, 8].sum() + 150


def test_gate_limits_set_the_ends_of_the_colors():
    image = np.full((120, 160, 3), 90, np.uint8)
    narrow = draw_gate(image, np.full((3, 4), 0.6), limits=(0.4, 0.6))
    full = draw_gate(image, np.full((3, 4), 1.0))
    assert (narrow[:60] == full[:60]).all()


@pytest.mark.parametrize(
    ("gate", "limits"),
    [(np.zeros(4), (0, 1)), (np.full((2, 2), np.nan), (0, 1)), (np.zeros((2, 2)), (1, 1))],
)
def test_unusable_gate_is_refused(gate, limits):
    with pytest.raises(DrawingError):
        draw_gate(np.zeros((20, 20, 3), np.uint8), gate, limits)


def test_gate_on_a_tiny_image_still_works():
    assert draw_gate(np.zeros((24, 32, 3), np.uint8), np.ones((2, 2))).shape == (24, 32, 3)


def test_contact_sheet_holds_every_image_in_its_place():
    images = [np.full((40, 60, 3), value, np.uint8) for value in (10, 20, 30)]
    sheet = contact_sheet(images, 2, gap_px=4)
    assert sheet.shape == (2 * 44 + 4, 2 * 64 + 4, 3)
    assert (sheet[4:44, 68:128] == 20).all()
    assert (sheet[48:88, 4:64] == 30).all()


@pytest.mark.parametrize(
    ("images", "captions"),
    [
        ([], ()),
        ([np.zeros((2, 2, 3), np.uint8), np.zeros((2, 3, 3), np.uint8)], ()),
        ([np.zeros((2, 2, 3), np.uint8)], ("a", "b")),
    ],
)
def test_contact_sheet_refuses_what_does_not_fit(images, captions):
    with pytest.raises(DrawingError):
        contact_sheet(images, 2, captions)


def test_map_shows_found_true_and_path_at_their_metres():
    item = found((0.0, 0.0, 0.5), frame_id="map", size=(1.0, 1.0, 1.0))
    truth = [
        TrueObject("table", Box3D.upright([3.0, 2.0, 0.4], [1.0, 1.0, 0.8], 0.0)),
        TrueObject("chair", Box3D.upright([0.1, 0.1, 0.4], [0.4, 0.4, 0.8], 0.0)),
    ]
    path = [SE3(MAP_FROM_CAMERA.rotation, np.array([x, -1.0, 1.0])) for x in (0.0, 1.0, 2.0)]
    empty = top_down_map([], truth, path, width_px=600)
    full = top_down_map([item], truth, path, width_px=600)
    assert full.shape[1] == 600
    # What was found lies left of and below the true table: x grows to the right, y upwards.
    bare = top_down_map([item], [], path, width_px=600)
    assert empty.shape[1] == bare.shape[1] == 600
    fill = (full == (222, 225, 228)).all(axis=2)
    rows, columns = np.nonzero(fill[: full.shape[0] - 40])
    found_rows, found_columns = np.nonzero(chair_lines(full))
    assert columns.mean() > found_columns.mean() + 100
    assert rows.mean() < found_rows.mean() - 50


def test_map_draws_what_is_not_there_in_thin_lines():
    item = found((0.0, 0.0, 0.5), frame_id="map", size=(1.0, 1.0, 1.0))
    box = Box3D.upright([0.0, 0.0, 0.5], [1.0, 1.0, 1.0], 0.0)
    right = chair_lines(top_down_map([item], [TrueObject("chair", box)], []))
    wrong = chair_lines(top_down_map([item], [TrueObject("table", box)], []))
    assert 0 < wrong.sum() < right.sum() / 2


def chair_lines(picture):
    """Where the map, without its legend, has the colour of found chairs."""
    color = tuple(round(channel * 0.82) for channel in label_color("chair"))
    return (picture == color).all(axis=2)[:-40]


def test_map_of_nothing_is_a_picture_too():
    assert top_down_map([], [], [], width_px=300).shape[1] == 300
