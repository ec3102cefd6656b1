"""The prior's training: it learns, resumes exactly, and leaves a folder that loads."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from support.closeness import assert_close_to_magnitude

import vega3d_ros.training
from vega3d_ros.models.priors.wan.config import WanPriorConfig
from vega3d_ros.models.priors.wan.prior import WanPrior
from vega3d_ros.simulation.dataset import ClipDataset, ClipRecord, write_shard
from vega3d_ros.training.loop import Schedule
from vega3d_ros.training.nano_prior import nano_vae
from vega3d_ros.training.settings import load_settings
from vega3d_ros.training.train_prior import (
    CodecLoss,
    FrameCodec,
    FrameSource,
    PriorTrainingConfig,
    flow_error,
    normal,
    psnr,
    train_prior,
)

pytestmark = pytest.mark.numeric


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips of two frames with a few coloured rectangles."""
    rng = np.random.default_rng(0)
    clips = []
    for _ in range(3):
        rgb = np.empty((2, 48, 64, 3), np.uint8)
        for image in rgb:
            image[:] = rng.integers(0, 255, 3)
            for _ in range(3):
                top, left = rng.integers(0, 40, 2)
                image[top : top + 16, left : left + 24] = rng.integers(0, 255, 3)
        empty = np.zeros((2, 24, 32), np.float16)
        clips.append(ClipRecord(rgb, empty, empty.astype(np.uint8), {}))
    folder = tmp_path_factory.mktemp("clips")
    write_shard(folder, "train", 0, clips)
    return folder


@pytest.fixture
def config(data: Path) -> PriorTrainingConfig:
    quick = Schedule(3, 2e-3, 1, 0.0)
    return PriorTrainingConfig(
        str(data), vae=quick, vae_batch=2, crop=16, flow=quick, flow_batch=2, flow_frames=4,
        heldout_frames=2, prior=WanPriorConfig(width=32, height=32, text_length=1),
    )  # fmt: skip


def weights(folder: Path) -> dict[str, torch.Tensor]:
    prior = WanPrior.from_folder(folder)
    return {**prior.vae.state_dict(), **prior.transformer.state_dict()}


def test_result_loads_and_reports(config: PriorTrainingConfig, tmp_path: Path) -> None:
    folder = train_prior(config, tmp_path, resume=False)
    prior = WanPrior.from_folder(folder)
    tokens = prior.encode(torch.rand(2, 3, 48, 64), [1, 2])
    assert tokens.shape == (2, 2, 2, 192)
    assert torch.isfinite(tokens).all()
    report = json.loads((tmp_path / "report.json").read_text())
    assert {"psnr", "psnr_grey", "flow_0.3"} <= set(report)
    # Latents are normalised with the data's own statistics.
    assert prior.vae.config.latents_std != [1.0] * 16
    pictures = prior._pictures(
        torch.from_numpy(
            np.stack([np.array(ClipDataset(config.data, "train")[0].rgb[0])])
        ).permute(0, 3, 1, 2)
        / 255
    )
    latents = prior.tower.normalised(prior.tower.moments(pictures))
    assert 0.2 < latents.std() < 5


def test_interrupted_run_ends_like_an_uninterrupted_one(
    config: PriorTrainingConfig, tmp_path: Path
) -> None:
    whole = weights(train_prior(config, tmp_path / "whole", resume=False))

    class StoppedError(Exception):
        pass

    calls = []
    original = CodecLoss.__call__

    def interrupt(self: CodecLoss, step: int) -> dict[str, torch.Tensor]:
        calls.append(step)
        if calls == [0, 1, 2]:
            raise StoppedError
        return original(self, step)

    eager = replace(config, vae=replace(config.vae, checkpoint_s=0.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CodecLoss, "__call__", interrupt)
        with pytest.raises(StoppedError):
            train_prior(eager, tmp_path / "parts", resume=False)
        resumed = weights(train_prior(eager, tmp_path / "parts", resume=True))
    assert calls == [0, 1, 2, 2]
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_codec_leaves_grey(config: PriorTrainingConfig) -> None:
    config = replace(config, whole_frames=1.0)
    frames = FrameSource(ClipDataset(config.data, "train"), config)
    torch.manual_seed(0)
    codec = FrameCodec(nano_vae())
    loss = CodecLoss(codec, frames, config)
    optimizer = torch.optim.AdamW(codec.parameters(), 2e-3)
    gains = []
    for _ in range(60):
        found = loss(0)
        optimizer.zero_grad()
        found["loss"].backward()
        optimizer.step()
        gains.append(float(found["psnr"] - found["psnr_grey"]))
    assert gains[0] < 0
    assert np.mean(gains[-5:]) > 2


def test_view_is_written_back_exactly() -> None:
    torch.manual_seed(0)
    vae = nano_vae().requires_grad_(requires_grad=False)
    codec = FrameCodec(vae).requires_grad_(requires_grad=False)
    codec.write_back(vae)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    posterior = vae.encode(images.unsqueeze(2)).latent_dist
    mean, log_variance = codec.moments(images)
    assert_close_to_magnitude(posterior.mean.squeeze(2), mean, "network")
    assert_close_to_magnitude(posterior.logvar.squeeze(2), log_variance, "network")
    decoded = vae.decode(mean.unsqueeze(2)).sample.squeeze(2)
    assert_close_to_magnitude(decoded, codec.decode(mean).clamp(-1, 1), "network")


def test_velocity_target(config: PriorTrainingConfig) -> None:
    class Perfect(torch.nn.Module):
        def forward(self, noisy, timestep, prompt, return_dict):
            sigma = (timestep / 1000).view(-1, 1, 1, 1, 1)
            seen.append(timestep)
            # The clean latents are zero here, so that noisy = sigma eps.
            return (noisy / sigma,)

    seen: list[torch.Tensor] = []
    clean = torch.zeros(2, 16, 4, 4)
    eps = normal(np.random.default_rng(0), clean.shape)
    error = flow_error(Perfect(), clean, eps, torch.tensor([0.3, 0.9]), config)
    assert error.max() < 1e-9
    assert_close_to_magnitude(seen[0], torch.tensor([300.0, 900.0]), "elementwise")


def test_heldout_frames_are_never_trained_on(config: PriorTrainingConfig) -> None:
    frames = FrameSource(ClipDataset(config.data, "train"), config)
    assert list(frames.heldout) == [4, 5]
    assert max(frames.first(100)) < 4
    assert len(frames.first(3)) <= 3
    assert frames.load([5, 0]).shape == (2, 3, 32, 32)


def test_shipped_recipe_is_the_default() -> None:
    recipe = Path(vega3d_ros.training.__file__).parent / "recipes" / "prior.yaml"
    settings = load_settings(PriorTrainingConfig, recipe, {"data": "clips"})
    assert settings == PriorTrainingConfig("clips")
    assert sorted(yaml.safe_load(recipe.read_text())) == sorted(
        field.name for field in fields(PriorTrainingConfig) if field.name != "data"
    )


def test_psnr() -> None:
    image = torch.zeros(1, 3, 4, 4)
    assert float(psnr(image + 0.2, image)) == pytest.approx(20.0, abs=1e-4)
