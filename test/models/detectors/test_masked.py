"""A detector of boxes with masks: boxes, names and order are the detector's own."""

from __future__ import annotations

import numpy as np
import pytest
from support.planted_masks import PlantedMasks

from vega3d_ros.models.detectors import Detection2D
from vega3d_ros.models.detectors.masked import MaskedDetector

BOXES = [
    Detection2D((0.0, 0.0, 50.0, 60.0), 0.9, "chair"),
    Detection2D((40.0, 0.0, 100.0, 60.0), 0.8, "couch"),
]


class Boxes:
    vocabulary = ("chair", "couch")

    def known(self, text):
        return text if text in self.vocabulary else None

    def detect(self, images, texts=()):
        return [[one for one in BOXES if not texts or one.label in texts] for _ in images]


@pytest.fixture
def image():
    """A red and a blue half."""
    image = np.zeros((60, 100, 3), np.uint8)
    image[:, :45] = 200, 30, 30
    image[:, 45:] = 30, 60, 200
    return image


@pytest.fixture
def detector(image):
    masks = PlantedMasks()
    masks.plant(image, np.where(np.arange(100) < 45, 1, 2)[None].repeat(60, axis=0))
    return MaskedDetector(Boxes(), masks)


def test_boxes_names_and_order_are_those_of_the_detector(detector, image):
    assert detector.vocabulary == Boxes.vocabulary
    assert detector.known("couch") == "couch"
    assert detector.known("tv") is None
    found = detector.detect([image, image])
    for each in found:
        assert [(d.box, d.score, d.label) for d in each] == [
            (d.box, d.score, d.label) for d in BOXES
        ]
    assert [d.label for d in detector.detect([image], ["couch"])[0]] == ["couch"]
    assert detector.detect([]) == []


def test_each_has_its_pixels_and_their_colour(detector, image):
    ((chair, couch),) = detector.detect([image])
    np.testing.assert_array_equal(chair.mask.pixels(), np.tile(np.arange(100) < 45, (60, 1)))
    assert chair.colors == (("red", 1.0),)
    assert couch.colors == (("blue", 1.0),)
