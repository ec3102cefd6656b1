"""The latents of an autoencoder as a prior."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderKLWan
from models.priors.contract import PriorContract
from support.closeness import assert_close_to_magnitude

from vega3d_ros.models.priors import load_prior
from vega3d_ros.models.priors.base import PriorError
from vega3d_ros.models.priors.vae import VaePrior, VaePriorConfig

pytestmark = pytest.mark.numeric

SMALL = VaePriorConfig(width=32, height=16)


def wan_vae() -> AutoencoderKLWan:
    torch.manual_seed(0)
    return AutoencoderKLWan(
        base_dim=4, dim_mult=[1, 1, 2, 2], temperal_downsample=[False, True, True]
    )


def image_vae(**changes) -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        block_out_channels=[4, 4, 8],
        norm_num_groups=2,
        latent_channels=4,
        **changes,
    )


class TestWanVae(PriorContract):
    """Wan's autoencoder on single frames."""

    type = "vae"

    def make(self) -> VaePrior:
        return VaePrior(wan_vae(), SMALL)


class TestImageVae(PriorContract):
    """An autoencoder of Stable Diffusion's class."""

    type = "vae"

    def make(self) -> VaePrior:
        return VaePrior(image_vae(), SMALL)


def pictures() -> torch.Tensor:
    return torch.rand(2, 3, 16, 32, generator=torch.Generator().manual_seed(1))


def test_tokens_are_wan_s_normalised_posterior_means():
    vae = wan_vae()
    with torch.no_grad():
        latents = vae.encode(pictures()[:, :, None] * 2 - 1).latent_dist.mean.squeeze(2)
    mean, std = (
        torch.tensor(values).view(1, -1, 1, 1)
        for values in (vae.config.latents_mean, vae.config.latents_std)
    )
    prior = VaePrior(wan_vae(), SMALL)
    assert (prior.grid, prior.dim) == ((2, 4), 16)
    expected = ((latents - mean) / std).permute(0, 2, 3, 1)
    assert_close_to_magnitude(prior.encode(pictures(), [1, 2]), expected, "network")


@pytest.mark.parametrize("shift", [None, 0.3])
def test_tokens_are_stable_diffusion_s_scaled_posterior_means(shift):
    vae = image_vae(scaling_factor=0.2, shift_factor=shift)
    with torch.no_grad():
        latents = vae.encode(pictures() * 2 - 1).latent_dist.mean
    prior = VaePrior(image_vae(scaling_factor=0.2, shift_factor=shift), SMALL)
    assert (prior.grid, prior.dim) == ((4, 8), 4)
    expected = ((latents - (shift or 0.0)) * 0.2).permute(0, 2, 3, 1)
    assert_close_to_magnitude(prior.encode(pictures(), [1, 2]), expected, "network")


def test_the_folder_of_diffusers_itself_is_read(tmp_path):
    image_vae().save_pretrained(tmp_path / "vae")  # with its decoder
    prior = VaePrior.from_folder(tmp_path, replace(SMALL, align="official"))
    assert prior.vae.decoder is None
    assert prior.encode(pictures(), [1, 2]).shape == (2, 4, 8, 4)


def test_other_autoencoders_and_references_are_refused(tmp_path):
    VaePrior(image_vae(), SMALL).save(tmp_path)
    with pytest.raises(PriorError, match="is its own reference"):
        VaePrior.from_folder(tmp_path, reference=True)
    file = tmp_path / "vae" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "_class_name": "VQModel"}))
    with pytest.raises(PriorError, match="kind 'VQModel'; AutoencoderKL and AutoencoderKLWan"):
        load_prior(tmp_path)


def test_what_runs_only_is_not_saved(tmp_path):
    prior = VaePrior(wan_vae(), SMALL)
    expected = prior.encode(pictures(), [1, 2])
    prior.forget_sources()
    assert torch.equal(prior.encode(pictures(), [1, 2]), expected)
    with pytest.raises(PriorError, match="inference only"):
        prior.save(tmp_path)
