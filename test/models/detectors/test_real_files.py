"""The published networks on a real recording, where both are there."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from vega3d_ros.models.detectors import load_detector
from vega3d_ros.sensing.bags.reader import open_bag, read_frames

_DATA = os.environ.get("VEGA3D_TEST_DATA", "")
DATA = Path(_DATA) if _DATA else Path(__file__).parents[4] / "shared/data"
NANODET = DATA / "detectors/nanodet-plus-m_416.onnx"
YOLOX = DATA / "detectors/yolox_nano.onnx"
BAG = DATA / "hololens_office_bag"


def need(*paths):
    if missing := [str(path) for path in paths if not path.exists()]:
        pytest.skip(f"not there: {', '.join(missing)} (set VEGA3D_TEST_DATA to the folder)")


def iou(a, b):
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    inside = np.prod(np.clip(high - low, 0, None))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return inside / (sum(areas) - inside)


@pytest.mark.parametrize(
    ("file", "family"), [(NANODET, "NanoDet-Plus"), (YOLOX, "YOLOX")], ids=["nanodet", "yolox"]
)
def test_the_published_files_are_told_apart(file, family):
    need(file)
    assert load_detector(file).family == family


def test_both_networks_agree_on_the_furniture_of_a_real_room():
    need(NANODET, YOLOX, BAG)
    with open_bag(BAG) as bag:
        topics = bag.find_topics()
        images = [frame.image for frame in read_frames(bag, topics)][::6]
    detectors = [load_detector(file) for file in (NANODET, YOLOX)]
    for label in ("couch", "dining table"):
        found = [detector.detect(images, [label]) for detector in detectors]
        pairs = [(a[0], b[0]) for a, b in zip(*found, strict=True) if a and b]
        assert pairs, label
        ious = [iou(a.box, b.box) for a, b in pairs]
        assert np.median(ious) > 0.5, label


@pytest.mark.parametrize("file", [NANODET, YOLOX], ids=["nanodet", "yolox"])
def test_a_picture_turned_about_its_vertical_turns_the_boxes(file):
    need(file, BAG)
    with open_bag(BAG) as bag:
        topics = bag.find_topics()
        images = [frame.image for frame in read_frames(bag, topics)][::16]
    detector = load_detector(file)
    width = images[0].shape[1]
    turned = [np.ascontiguousarray(image[:, ::-1]) for image in images]
    pairs = [
        (a[0].box, (width - b[0].box[2], b[0].box[1], width - b[0].box[0], b[0].box[3]))
        for a, b in zip(
            detector.detect(images, ["table"]), detector.detect(turned, ["table"]), strict=True
        )
        if a and b
    ]
    assert pairs
    assert np.median([iou(a, b) for a, b in pairs]) > 0.7


def running_threads():
    return sum(1 for _ in Path("/proc/self/task").iterdir())


class Counted:
    """A network that counts the process's threads when it has just run."""

    def __init__(self, net):
        self.net, self.threads = net, []

    def __getattr__(self, name):
        return getattr(self.net, name)

    def forward(self):
        output = self.net.forward()
        self.threads.append(running_threads())
        return output


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="no /proc to count threads in")
@pytest.mark.parametrize("threads", [1, 3])
def test_a_network_has_its_own_threads_while_it_runs_and_none_afterwards(threads, monkeypatch):
    need(YOLOX)
    detector = load_detector(YOLOX, threads=threads)
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)  # as the node has it
        idle = running_threads()
        counted = Counted(detector._net)
        monkeypatch.setattr(detector, "_net", counted)
        detector.detect([np.zeros((480, 640, 3), np.uint8)] * 2)
        assert counted.threads == [idle + threads - 1] * 2
        assert running_threads() == idle
        assert cv2.getNumThreads() == 1
    finally:
        cv2.setNumThreads(before)
