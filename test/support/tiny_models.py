"""Small models with random weights, and clips to show them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from vega3d_ros.core.frames import Camera, Clip, Frame
from vega3d_ros.core.geometry import SE3
from vega3d_ros.models.mllms.qwen2_5_vl.object_tokens import ObjectTokens
from vega3d_ros.models.priors.wan.prior import WanPrior
from vega3d_ros.training.nano import assemble, new_language
from vega3d_ros.training.nano_prior import (
    nano_prior_config,
    nano_prompt,
    nano_transformer,
    nano_vae,
)
from vega3d_ros.training.object_records import COLOR_NAMES
from vega3d_ros.training.tokenizer import train_tokenizer
from vega3d_ros.training.train_vision_tower import new_vision_tower

LABELS = ["bed", "chair", "table"]
WORDS = [
    "Is there a chair in the video? yes no",
    "How far is the table from the bed in metres?",
    "How many chairs can you see?",
    "the red chair nearest to the bed",
]
LOOKS_ALONG_X = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def random_modules(*, with_prior=True, seed=0):
    """A nano with random weights."""
    torch.manual_seed(seed)
    prior = None
    if with_prior:
        prior = WanPrior(nano_vae(), nano_transformer(), nano_prompt(), nano_prior_config())
    tower = new_vision_tower(seed).state_dict()
    language = new_language(train_tokenizer(WORDS, 400))
    objects = ObjectTokens(language.model.config.text_config.hidden_size, len(COLOR_NAMES))
    modules = assemble(language, objects, tower, prior, "token_gated", LABELS)
    return modules.eval()


@lru_cache(maxsize=1)
def shared_modules():
    """One random nano for tests that do not change it."""
    return random_modules()


def make_frame(index, *, camera=True, depth=True, pose=True, size=(80, 60), stamp_ns=None):
    """A random picture seen by a camera that drives along x of the map."""
    width, height = size
    rng = np.random.default_rng(index)
    place = SE3(LOOKS_ALONG_X, np.array([0.3 * index, 0.1, 1.1]))
    return Frame(
        stamp_ns=stamp_ns if stamp_ns is not None else 10**9 + index * 5 * 10**8,
        image=rng.integers(0, 255, (height, width, 3)).astype(np.uint8),
        frame_id="camera_optical",
        camera=Camera(
            width=width, height=height, fx=70.0, fy=70.0, cx=width / 2 - 0.5, cy=height / 2 - 0.5
        )
        if camera
        else None,
        depth_m=rng.uniform(1, 4, (height, width)).astype(np.float32) if depth else None,
        pose=place if pose else None,
        fixed_frame="map" if pose else "",
    )


def make_clip(count=3, first=0, **known):
    """A clip of ``make_frame``."""
    return Clip(tuple(make_frame(first + i, **known) for i in range(count)))
