import numpy as np
import pytest
import torch
from support.closeness import assert_close_to_magnitude
from support.tiny_models import shared_modules
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from vega3d_ros.models.mllms.qwen2_5_vl.patches import patchify, resize

pytestmark = pytest.mark.numeric


def test_patches_are_those_of_the_official_processor():
    images = np.random.default_rng(0).integers(0, 255, (2, 56, 84, 3)).astype(np.uint8)
    processor = Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=10**6)
    wanted = processor(images=list(images), return_tensors="pt")
    config = shared_modules().language.model.config.vision_config
    patches, grid = patchify(torch.from_numpy(images).permute(0, 3, 1, 2) / 255, config)
    assert torch.equal(grid, wanted["image_grid_thw"])
    assert_close_to_magnitude(patches, wanted["pixel_values"], "elementwise")


def test_sizes_that_do_not_fit_are_refused():
    config = shared_modules().language.model.config.vision_config
    with pytest.raises(ValueError, match="multiple of 28"):
        patchify(torch.zeros(1, 3, 56, 90), config)


def test_resize_keeps_the_whole_frame_and_its_range():
    image = torch.zeros(1, 3, 40, 40)
    image[..., :, 20:] = 1.0
    small = resize(image, 28, 14)
    assert small.shape == (1, 3, 14, 28)
    assert small[..., 0].max() < 0.01
    assert small[..., -1].min() > 0.99
    assert resize(image, 40, 40) is image
