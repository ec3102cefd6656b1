"""ONNX files are told apart, read and placed; what is neither network is refused by name."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.onnx_graphs import write_constant

from vega3d_ros.models.detectors import DetectorError, load_detector
from vega3d_ros.models.detectors.decoding import NANODET_STRIDES, YOLOX_STRIDES, grid_points
from vega3d_ros.models.detectors.letterbox import Letterbox
from vega3d_ros.models.detectors.onnx import OnnxDetector
from vega3d_ros.models.detectors.suppression import suppress

NAMES = ("chair", "couch", "bed")
SIZE = (320, 256)


def image(height=300, width=500):
    return np.zeros((height, width, 3), np.uint8)


def yolox_output(boxes, size=SIZE, names=NAMES):
    """Boxes (x0, y0, x1, y1, class, score) of the input, written into the first rows."""
    points, strides = grid_points(size, YOLOX_STRIDES)
    output = np.zeros((1, len(points), 5 + len(names)), np.float32)
    for row, (x0, y0, x1, y1, index, score) in enumerate(boxes):
        center = (np.array([x0 + x1, y0 + y1]) / 2 - points[row]) / strides[row]
        output[0, row, :5] = *center, *np.log(np.array([x1 - x0, y1 - y0]) / strides[row]), 1.0
        output[0, row, 5 + index] = score
    return output


def yolox(tmp_path, boxes, **options):
    file = write_constant(tmp_path / "a.onnx", yolox_output(boxes), (1, 3, *SIZE))
    return OnnxDetector(file, names=NAMES, **options)


def test_outputs_tell_the_networks_apart(tmp_path):
    points = len(grid_points(SIZE, NANODET_STRIDES)[0])
    nanodet = np.zeros((1, points, 32 + len(NAMES)), np.float32)
    files = [
        write_constant(tmp_path / "yolox_by_name.onnx", nanodet, (1, 3, *SIZE)),
        write_constant(tmp_path / "nanodet_by_name.onnx", yolox_output([]), (1, 3, *SIZE)),
    ]
    families = [OnnxDetector(file, names=NAMES).family for file in files]
    assert families == ["NanoDet-Plus", "YOLOX"]


@pytest.mark.parametrize(("height", "width"), [(300, 500), (500, 300), (101, 77), (1, 900)])
def test_a_planted_yolox_box_lies_in_pixels_of_the_image(tmp_path, height, width):
    place = Letterbox((height, width), SIZE, centered=False)
    rows, columns = place.resized
    detector = yolox(tmp_path, [(columns * 0.25, 0, columns * 0.75, rows, 1, 0.9)])
    ((found,),) = detector.detect([image(height, width)])
    assert found.box == pytest.approx((width * 0.25, 0, width * 0.75, height), abs=1e-3 * width)
    assert (found.label, found.score) == ("couch", pytest.approx(0.9))


def test_a_planted_nanodet_box_lies_in_pixels_of_the_image(tmp_path):
    points, strides = grid_points(SIZE, NANODET_STRIDES)
    output = np.zeros((1, len(points), len(NAMES) + 32), np.float32)
    row = int(np.flatnonzero((points == (128, 160)).all(axis=1) & (strides[:, 0] == 32))[0])
    output[0, row, 2] = 0.5
    for side, distance in enumerate((1, 2, 3, 1)):
        output[0, row, len(NAMES) + 8 * side + distance] = 100.0
    file = write_constant(tmp_path / "a.onnx", output, (1, 3, *SIZE))
    ((found,),) = OnnxDetector(file, names=NAMES).detect([image(320, 512)])
    # The image is 256 x 160 in the middle of the input, 80 rows down.
    expected = 2 * np.array([128 - 32, 160 - 64 - 80, 128 + 96, 160 + 32 - 80])
    assert found.box == pytest.approx(expected)
    assert found.label == "bed"


def test_boxes_are_clipped_and_those_in_the_border_dropped(tmp_path):
    detector = yolox(tmp_path, [(-50, -50, 60, 60, 0, 0.9), (100, 200, 200, 300, 1, 0.9)])
    ((found,),) = detector.detect([image(100, 256)])
    assert found.box == pytest.approx((0, 0, 60, 60), abs=1e-3)


def test_only_what_is_asked_for_is_found_and_the_rest_unchanged(tmp_path):
    detector = yolox(tmp_path, [(0, 0, 50, 50, 0, 0.9), (0, 0, 50, 50, 1, 0.8)])
    both, sofa, cabinet = (
        [(d.label, d.score) for d in detector.detect([image()], texts)[0]]
        for texts in ([], ["the blue sofa", "cabinet"], ["cabinet"])
    )
    assert both == [("chair", pytest.approx(0.9)), ("couch", pytest.approx(0.8))]
    assert sofa == both[1:]
    assert cabinet == []
    assert detector.known("the blue sofa") == "couch"
    assert detector.known("cabinet") is None


def test_each_image_of_a_batch_has_its_own_size(tmp_path):
    detector = yolox(tmp_path, [(0, 0, 128, 128, 0, 0.9)])
    small, large = detector.detect([image(320, 256), image(640, 512)])
    assert np.array(large[0].box) == pytest.approx(2 * np.array(small[0].box))
    assert detector.detect([]) == []


def test_the_threshold_can_be_chosen(tmp_path):
    boxes = [(0, 0, 50, 50, 0, 0.2), (100, 100, 150, 150, 0, 0.1)]
    assert yolox(tmp_path, boxes).detect([image()]) == [[]]
    assert len(yolox(tmp_path, boxes, threshold=0.15).detect([image()])[0]) == 1


@given(st.permutations(range(4)))
def test_the_best_of_overlapping_boxes_of_a_class_stays(order):
    boxes = np.array(
        [[0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10], [50, 50, 60, 60]], np.float64
    )[order]
    scores = np.array([[0.9, 0.0], [0.8, 0.0], [0.0, 0.7], [0.6, 0.0]], np.float32)[order]
    kept = suppress(boxes, scores, 0.5, 0.5)
    assert [(round(score, 3), index) for _, score, index in kept] == [(0.9, 0), (0.7, 1), (0.6, 0)]


@pytest.mark.parametrize("threads", [1, 2])
def test_opencv_gets_its_threads_back(tmp_path, monkeypatch, threads):
    detector = yolox(tmp_path, [], threads=threads)
    used = []
    net = detector._net
    monkeypatch.setattr(detector, "_net", lambda: None)
    monkeypatch.setattr(detector._net, "setInput", net.setInput, raising=False)
    monkeypatch.setattr(
        detector._net,
        "forward",
        lambda: used.append(cv2.getNumThreads()) or net.forward(),
        raising=False,
    )
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(3)
        detector.detect([image()])
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)
    assert used == [threads]


def test_detectors_may_be_asked_from_several_threads(tmp_path):
    detector = yolox(tmp_path, [(0, 0, 128, 128, 0, 0.9)])
    expected = detector.detect([image()])[0][0].box
    before, results = cv2.getNumThreads(), []

    def ask():
        results.extend(detector.detect([image()])[0][0].box for _ in range(10))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 40
    assert cv2.getNumThreads() == before


def test_weights_that_are_listed_as_inputs_are_none(tmp_path):
    file = write_constant(
        tmp_path / "a.onnx", yolox_output([]), (1, 3, *SIZE), weights_as_inputs=True
    )
    assert OnnxDetector(file, names=NAMES).family == "YOLOX"


@pytest.mark.parametrize(
    ("shape", "said"),
    [((1, 3, "height", "width"), "fixed size"), ((1, 77), "77"), ((4, 3, 320, 256), "4, 3")],
)
def test_another_input_is_refused(tmp_path, shape, said):
    file = write_constant(tmp_path / "other.onnx", yolox_output([]), shape)
    with pytest.raises(DetectorError, match=f"other.onnx is neither.*{said}"):
        OnnxDetector(file)


def test_another_output_is_refused(tmp_path):
    file = write_constant(tmp_path / "other.onnx", np.zeros((1, 10, 8), np.float32), (1, 3, *SIZE))
    with pytest.raises(DetectorError, match=r"other.onnx is neither.*\[1, 10, 8\]"):
        OnnxDetector(file)


def test_another_number_of_classes_asks_for_names(tmp_path):
    file = write_constant(tmp_path / "mine.onnx", yolox_output([]), (1, 3, *SIZE))
    with pytest.raises(DetectorError, match=r"mine.onnx is a YOLOX of 3 classes, but 80 names"):
        OnnxDetector(file)


def test_damaged_files_are_named(tmp_path):
    whole = write_constant(tmp_path / "a.onnx", yolox_output([]), (1, 3, *SIZE)).read_bytes()
    file = tmp_path / "damaged.onnx"
    for content in (b"", b"<html>not found</html>", whole[: len(whole) // 2], b"\xff" * 100):
        file.write_bytes(content)
        with pytest.raises(DetectorError, match=r"damaged.onnx is no ONNX file"):
            OnnxDetector(file)
    with pytest.raises(DetectorError, match=r"no detector at .*missing.onnx"):
        load_detector(tmp_path / "missing.onnx")


def test_what_is_no_image_is_refused(tmp_path):
    detector = yolox(tmp_path, [])
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(DetectorError, match="must be"):
            detector.detect([wrong])
