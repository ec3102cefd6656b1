"""Masks lie where the things are, and belong to the boxes that were given."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.tiny_detectors import write_detector, write_sam2, write_sam2_video

from vega3d_ros.models.detectors import Detection2D, DetectorError
from vega3d_ros.models.detectors.hub.masks import BoxMasks

SHAPES = [(240, 135), (135, 240), (97, 203), (400, 80), (40, 51), (128, 128)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_sam2(tmp_path_factory.mktemp("sam2"))


def plant(masks):
    """A network that takes as the thing what is red inside a box."""

    def forward(image_embeddings, input_boxes, multimask_output):
        assert not multimask_output
        (pixels,) = image_embeddings
        low = torch.full((1, input_boxes.shape[1], 1, 128, 128), -5.0)
        red = pixels[0, 0] - pixels[0, 2]
        seen = red > (red.min() + red.max()) / 2
        at = torch.arange(128) + 0.5
        for index, (x0, y0, x1, y1) in enumerate(input_boxes[0]):
            inside = ((at > y0) & (at < y1))[:, None] & ((at > x0) & (at < x1))
            low[0, index, 0][seen & inside] = 5.0
        return SimpleNamespace(pred_masks=low)

    masks._network.get_image_embeddings = lambda pixels: [pixels]
    masks._network.forward = forward
    return masks


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_a_mask_covers_the_red_square_in_its_box(folder, height, width):
    masks = plant(BoxMasks(folder))
    image = np.zeros((height, width, 3), np.uint8)
    truth = np.zeros((2, height, width), bool)
    truth[0, height // 8 : height // 2, width // 8 : width // 2] = True
    truth[1, height // 2 : 7 * height // 8, 5 * width // 8 : width] = True
    image[truth.any(axis=0), 0] = 255
    detections = [
        Detection2D((0.0, 0.0, width * 0.55, height * 0.55), 0.9, "chair"),
        Detection2D((width * 0.6, height * 0.45, float(width), float(height)), 0.8, "couch"),
    ]
    found = masks.segment(image, detections)
    assert [d.label for d in found] == ["chair", "couch"]
    for detection, expected in zip(found, truth, strict=True):
        pixels = detection.mask.pixels()
        assert pixels.shape == (height, width)
        assert (pixels & expected).sum() / (pixels | expected).sum() > 0.85


def test_the_true_network_gives_a_mask_for_each_box(folder):
    masks = BoxMasks(folder)
    image = np.random.default_rng(0).integers(0, 255, (97, 203, 3), np.uint8)
    detections = [
        Detection2D((10.0, 10.0, 60.0, 50.0), 0.5, "a"),
        Detection2D((0, 0, 9, 9), 1, "b"),
    ]
    found = masks.segment(image, detections)
    assert [d.box for d in found] == [d.box for d in detections]
    assert all(d.mask.shape == (97, 203) for d in found)
    alone = masks.segment(image, detections[1:])
    assert (alone[0].mask.pixels() != found[1].mask.pixels()).mean() < 0.01
    assert masks.segment(image, []) == []


def test_each_of_many_boxes_has_the_mask_that_it_has_alone(folder):
    masks = BoxMasks(folder)
    image = np.random.default_rng(0).integers(0, 255, (97, 203, 3), np.uint8)
    many = [Detection2D((float(i), 5.0, i + 50.0, 60.0 + i), 1, str(i)) for i in range(35)]
    found = masks.segment(image, many)
    for index in (0, 20, 34):
        alone = masks.segment(image, [many[index]])[0].mask.pixels()
        assert (alone != found[index].mask.pixels()).mean() < 0.01


def test_the_published_folder_of_sam2_holds_more_than_is_needed(tmp_path):
    """Its weights are those of the network for videos."""
    masks = BoxMasks(write_sam2_video(tmp_path))
    image = np.zeros((97, 203, 3), np.uint8)
    (found,) = masks.segment(image, [Detection2D((10.0, 10.0, 60.0, 50.0), 0.5, "a")])
    assert found.mask.shape == (97, 203)


def test_another_kind_of_folder_is_refused(tmp_path):
    with pytest.raises(DetectorError, match="cannot be loaded"):
        BoxMasks(write_detector(tmp_path / "d_fine", "d_fine"))
