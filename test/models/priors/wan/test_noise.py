"""Noise level and noise of a prior."""

from __future__ import annotations

import pytest
import torch

from vega3d_ros.models.priors.wan.noise import frame_noise, noise_level

pytestmark = pytest.mark.numeric


@pytest.mark.parametrize(
    ("asked", "fed"),
    [
        (50, 52), (100, 101), (200, 201), (250, 251), (300, 299), (400, 400), (500, 500),
        (700, 700), (900, 900),
    ],
)  # fmt: skip
def test_official_schedule(asked: int, fed: int) -> None:
    level = noise_level(asked, 5.0)
    assert level.timestep == fed
    assert fed <= 1000 * level.sigma < fed + 1


def test_official_sigma() -> None:
    assert noise_level(300, 5.0).sigma == 0.299923837184906


def test_ends_of_the_schedule() -> None:
    assert noise_level(0, 5.0).timestep == 4
    assert noise_level(1000, 5.0).timestep == 999


def test_noise_depends_on_seed_and_stamp_only() -> None:
    together = frame_noise((16, 1, 12, 16), 3, [10, 11, 12])
    assert together.shape == (3, 16, 1, 12, 16)
    assert torch.equal(together[1:2], frame_noise((16, 1, 12, 16), 3, [11]))
    assert torch.equal(together.flip(0), frame_noise((16, 1, 12, 16), 3, [12, 11, 10]))
    other = frame_noise((16, 1, 12, 16), 4, [11])[0]
    for different in (other, together[0]):
        correlation = torch.corrcoef(torch.stack([different.flatten(), together[1].flatten()]))
        assert abs(correlation[0, 1]) < 0.1


def test_noise_is_standard_normal() -> None:
    noise = frame_noise(
        (64, 64), 0, list(range(1_700_000_000_000_000_000, 1_700_000_000_000_000_020))
    )
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02


def test_stamps_before_the_epoch() -> None:
    assert torch.isfinite(frame_noise((4,), 0, [-1, 0])).all()
