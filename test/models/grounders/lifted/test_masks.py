"""With masks, a thing is what its pixels show, not what its boxes hold."""

from __future__ import annotations

import numpy as np
import pytest
from support.box_scenes import BoxScene, around, chair_like
from support.planted_masks import PlantedMasks

from vega3d_ros.core.geometry import iou_oriented
from vega3d_ros.models.detectors.base import Detection2D
from vega3d_ros.models.detectors.masked import MaskedDetector
from vega3d_ros.models.grounders.lifted import LiftedGrounder
from vega3d_ros.perception.object_map import ObjectMap
from vega3d_ros.perception.perceiver import Perceiver

# Two blocks that touch, their fronts in one plane: no depth edge tells them apart.
CABINET = ("cabinet", chair_like(0.0, 0.0, 0.0, (0.6, 0.8, 0.9)))
SHELF = ("shelf", chair_like(0.0, 0.8, 0.0, (0.6, 0.8, 0.9)))
BLUE, GREEN = (30, 60, 200), (40, 150, 50)


class WideBoxes:
    """Finds the cabinet in a box that reaches over half of the shelf."""

    vocabulary = ("cabinet",)

    def __init__(self, room):
        self.room = room

    def known(self, text):
        return text if text == "cabinet" else None

    def detect(self, images, texts=()):
        found = []
        for image in images:
            blue = (image == BLUE).all(axis=2)
            rows, columns = np.nonzero(blue)
            shelf = np.nonzero((image == GREEN).all(axis=2))[1]
            x0, x1 = min(columns.min(), np.median(shelf)), max(columns.max(), np.median(shelf))
            box = (float(x0), float(rows.min()), float(x1 + 1), float(rows.max() + 1))
            found.append([Detection2D(box, 0.9, "cabinet")])
        return found


@pytest.fixture(scope="module")
def room():
    """Seen from in front, blue and green; with its masks."""
    views = around((0.0, 0.4, 0.45), 4, radius=2.4, height=2.2, start=-0.5, sweep=1.0)
    room = BoxScene([CABINET, SHELF], views, colors=[BLUE, GREEN])
    masks = PlantedMasks()
    for frame, instance in zip(room.clip.frames, room.instances, strict=True):
        masks.plant(frame.image, instance)
    return room, masks


def find(room, detector):
    grounder = LiftedGrounder(detector)
    evidence = [grounder.look(frame) for frame in room.clip.frames]
    ((found,),) = grounder.find(room.clip, evidence, ["cabinet"], 0.0)
    return found


def test_what_lies_in_the_box_beside_the_mask_is_no_part_of_the_thing(room):
    room, masks = room
    boxes = WideBoxes(room)
    without, masked = find(room, boxes), find(room, MaskedDetector(boxes, masks))
    assert iou_oriented(masked.box, CABINET[1]) > 0.8
    assert iou_oriented(without.box, CABINET[1]) < 0.7
    np.testing.assert_allclose(masked.box.center, CABINET[1].center, atol=0.06)
    for view in masked.views:
        instance = room.instances[view.frame]
        assert (instance[view.pixels[:, 1], view.pixels[:, 0]] == 1).mean() > 0.97


def test_a_view_knows_its_depth_by_the_mask_alone(room):
    room, masks = room
    detector = MaskedDetector(WideBoxes(room), masks)
    holes = [
        np.where(instance == 2, np.nan, frame.depth_m)
        for frame, instance in zip(room.clip.frames, room.instances, strict=True)
    ]
    room = BoxScene(room.things, room.views, colors=[BLUE, GREEN], spoil=lambda *_: holes.pop(0))
    assert find(room, detector).depth_coverage > 0.9


def test_its_colour_is_that_of_its_pixels(room):
    room, masks = room
    boxes = WideBoxes(room)
    scene = Perceiver(grounder=LiftedGrounder(MaskedDetector(boxes, masks))).observe(room.clip)
    (cabinet,) = scene.objects
    assert cabinet.colors[0] == ("blue", pytest.approx(1.0))
    answer = scene.ask("What colour is the cabinet?")
    assert (answer.text, answer.source) == ("blue", "measured")
    assert answer.confidence == pytest.approx(cabinet.score)
    assert scene.ask("Is the cabinet green?").text == "no"
    kept = ObjectMap().update([cabinet], room.clip.stamp_ns)
    assert [item.colors for item in kept] == [cabinet.colors]
    assert find(room, boxes).colors == ()
