"""The planted detector errs as often as it is told to, and alike whenever it is asked."""

from __future__ import annotations

import numpy as np
import pytest

from vega3d_ros.simulation.planted_detector import PlantedDetector, PlantedErrors

NONE = PlantedErrors(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, least_pixels=10)
NAMES = ("chair", "lamp", "sofa")


def picture(number):
    image = np.zeros((60, 80, 3), np.uint8)
    image[0, 0] = number % 256, number // 256, 0
    instance = np.zeros((60, 80), np.uint8)
    instance[10:30, 20:50] = 1
    instance[35:55, 5:15] = 2
    return image, instance


def planted(errors, count=1, seed=0):
    detector = PlantedDetector(NAMES, errors, seed)
    images = []
    for number in range(count):
        image, instance = picture(number)
        detector.plant(image, instance, ["sofa", "chair"])
        images.append(image)
    return detector, images


def test_without_errors_it_gives_the_visible_boxes():
    detector, images = planted(NONE)
    found = {one.label: one.box for one in detector.detect(images)[0]}
    assert found == {"sofa": (20.0, 10.0, 50.0, 30.0), "chair": (5.0, 35.0, 15.0, 55.0)}
    assert [one.label for one in detector.detect(images, ["chair"])[0]] == ["chair"]


def test_the_same_image_gets_the_same_answer_in_any_order():
    errors = PlantedErrors(least_pixels=10)
    detector, images = planted(errors, 5)
    other, _ = planted(errors, 5)
    once = [[(d.label, d.box, d.score) for d in found] for found in detector.detect(images)]
    again = [[(d.label, d.box, d.score) for d in found] for found in other.detect(images[::-1])]
    assert once == again[::-1]


@pytest.mark.parametrize(
    ("error", "per_image"),
    [
        ("missed", lambda found: 2 - len(found)),
        ("doubled", lambda found: len(found) - 2),
        ("renamed", lambda found: len(found) - 2),
        ("invented", lambda found: len(found) - 2),
        ("misnamed", lambda found: sum(d.label == "lamp" for d in found)),
    ],
)
def test_errors_come_at_their_rate(error, per_image):
    detector, images = planted(PlantedErrors(**{**vars(NONE), error: 0.25}), 400)
    rate = np.mean([per_image(found) for found in detector.detect(images)]) / 2
    assert rate == pytest.approx(0.25, abs=0.06) if error != "misnamed" else rate > 0.05


def test_an_image_that_was_never_planted_is_an_error():
    detector, _ = planted(NONE)
    with pytest.raises(KeyError):
        detector.detect([np.ones((60, 80, 3), np.uint8)])
