"""What a prior is without a family's own code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vega3d_ros.models.priors.base import Prior, PriorConfig, PriorError


class Brightness(Prior):
    """Only what a family must have."""

    Config = PriorConfig
    dim, grid = 1, (1, 1)

    def encode(self, images, stamps_ns, *, noise=None):
        return images.mean((1, 2, 3)).view(-1, 1, 1, 1)


def test_what_a_family_leaves_out_is_refused_in_a_sentence():
    prior = Brightness()
    assert prior.encode(torch.ones(2, 3, 4, 4), [1, 2]).shape == (2, 1, 1, 1)
    prior.accelerate("none")
    prior.forget_sources()
    settings = PriorConfig(type="brightness", width=4, height=4)
    for call, said in (
        (lambda: prior.accelerate("graphs"), "runs as it is; set acceleration none, not graphs"),
        (lambda: Brightness.from_folder(Path()), "cannot be read from a folder"),
        (lambda: prior.save(Path()), "cannot be saved"),
        (lambda: Brightness.memory(Path(), settings, torch.float32, 1), "what memory it needs"),
        (lambda: prior.randomised(0), "has no untrained control"),
    ):
        with pytest.raises(PriorError, match=f"Brightness .*{said}"):
            call()
