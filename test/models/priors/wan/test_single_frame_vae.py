"""The 2-D view of Wan's autoencoder is exact for single frames."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKLWan
from support.closeness import assert_close_to_magnitude

from vega3d_ros.models.priors.wan.single_frame_vae import LastTapConv2d, single_frame, write_back

pytestmark = pytest.mark.numeric


@pytest.fixture(scope="module", params=[True, False], ids=["temporal", "spatial"])
def vae(request: pytest.FixtureRequest) -> AutoencoderKLWan:
    torch.manual_seed(0)
    down = [False, True, True] if request.param else [False, False, False]
    model = AutoencoderKLWan(base_dim=8, dim_mult=[1, 2, 2, 3], temperal_downsample=down)
    return model.double().eval().requires_grad_(False)


def test_encoder_is_exact(vae: AutoencoderKLWan) -> None:
    frames = torch.randn(2, 3, 1, 32, 48, dtype=torch.float64)
    flat = single_frame(vae.quant_conv)(single_frame(vae.encoder)(frames))
    expected = vae.encode(frames).latent_dist.parameters
    assert_close_to_magnitude(flat, expected, "network", dtype=torch.float64)


def test_decoder_is_exact(vae: AutoencoderKLWan) -> None:
    latents = torch.randn(2, 16, 1, 4, 6, dtype=torch.float64)
    flat = single_frame(vae.decoder)(single_frame(vae.post_quant_conv)(latents))
    expected = vae.decode(latents).sample
    assert_close_to_magnitude(flat.clamp(-1, 1), expected, "network", dtype=torch.float64)


def test_only_last_tap_is_kept(vae: AutoencoderKLWan) -> None:
    flat = single_frame(vae.encoder)
    assert any(isinstance(module, LastTapConv2d) for module in flat.modules())
    assert not any(isinstance(module, torch.nn.Conv3d) for module in flat.modules())
    count = {m: sum(p.numel() for p in m.parameters()) for m in (flat, vae.encoder)}
    assert count[flat] < 0.4 * count[vae.encoder]
    assert any(isinstance(module, torch.nn.Conv3d) for module in vae.encoder.modules())


def test_trained_view_goes_back() -> None:
    torch.manual_seed(1)
    vae = AutoencoderKLWan(
        base_dim=8, dim_mult=[1, 1], temperal_downsample=[False], scale_factor_spatial=2
    ).requires_grad_(False)
    flat = single_frame(vae.encoder)
    for parameter in flat.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    write_back(flat, vae.encoder)
    projection = single_frame(vae.quant_conv)
    write_back(projection, vae.quant_conv)
    video = torch.randn(1, 3, 5, 16, 16)
    clip = vae.encode(video).latent_dist.parameters
    assert clip.shape[2] == 5
    # The other taps are zero, so the clip is encoded frame by frame.
    for t in range(5):
        single = projection(flat(video[:, :, t : t + 1]))
        assert_close_to_magnitude(clip[:, :, t : t + 1], single, "network")
