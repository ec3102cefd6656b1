"""The Wan prior: equal to the official tower, deterministic, and honest about its files."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from models.priors.contract import PriorContract
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.closeness import assert_close_to_magnitude

from vega3d_ros.models.fusion.gates import GenerativeMerger, build_fusion, resample_grid
from vega3d_ros.models.priors.base import PriorError
from vega3d_ros.models.priors.wan.config import WanPriorConfig
from vega3d_ros.models.priors.wan.noise import frame_noise
from vega3d_ros.models.priors.wan.official_layout import (
    transformer_from_official,
    vae_from_official,
)
from vega3d_ros.models.priors.wan.prior import WanPrior

pytestmark = pytest.mark.numeric

GOLDEN = Path(__file__).parents[3] / "data" / "official_wan.safetensors"
SMALL = WanPriorConfig(width=32, height=16, text_length=4)


def part(values: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k[len(prefix) :]: v for k, v in values.items() if k.startswith(prefix)}


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN)


@pytest.fixture(scope="module")
def official(golden: dict[str, torch.Tensor]) -> WanPrior:
    with safe_open(GOLDEN, "pt") as file:
        config = json.loads(file.metadata()["config"])
    return WanPrior(
        vae_from_official(part(golden, "vae.")),
        transformer_from_official(part(golden, "dit."), config),
        golden["prompt"].float(),
        WanPriorConfig(width=208, height=128, align="official"),
    )


def small_modules(
    *, temporal: bool = False
) -> tuple[AutoencoderKLWan, WanTransformer3DModel, torch.Tensor]:
    torch.manual_seed(0)
    vae = AutoencoderKLWan(
        base_dim=4, dim_mult=[1, 1, 2, 2], temperal_downsample=[False, temporal, temporal]
    )
    transformer = WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, text_dim=6, freq_dim=16, ffn_dim=32,
        num_layers=3, rope_max_seq_len=32,
    )  # fmt: skip
    return vae, transformer, torch.randn(2, 6)


class TestContract(PriorContract):
    """Wan keeps what every prior must."""

    type = "wan"

    def make(self) -> WanPrior:
        return WanPrior(*small_modules(), SMALL)

    def clip_prior(self) -> WanPrior:
        return WanPrior(*small_modules(), replace(SMALL, mode="clip"))


@pytest.fixture(scope="module")
def prior() -> WanPrior:
    return WanPrior(*small_modules(), SMALL)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(5, 3, 24, 40, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def folder(prior: WanPrior, tmp_path: Path) -> Path:
    prior.save(tmp_path / "prior")
    return tmp_path / "prior"


def test_tower_equals_official(official: WanPrior, golden: dict[str, torch.Tensor]) -> None:
    tokens = official.encode(golden["frames"], [1, 2], noise=golden["noise"].squeeze(2))
    assert tokens.shape == (2, *official.grid, official.dim) == (2, 8, 13, 48)
    expected = golden["tower"].permute(0, 2, 3, 1)
    assert_close_to_magnitude(tokens, expected, "network")


def test_merger_and_gate_equal_official(
    official: WanPrior, golden: dict[str, torch.Tensor]
) -> None:
    tokens = official.encode(golden["frames"], [1, 2], noise=golden["noise"].squeeze(2))
    merger = GenerativeMerger(48, 64, 128)
    merger.load_state_dict(part(golden, "merger."))
    merged = merger(resample_grid(tokens, 4, 6))
    assert_close_to_magnitude(merged, golden["merged"], "network")
    fusion = build_fusion("token_gated_residual", 64)
    fusion.load_state_dict(part(golden, "fusion."))
    fused = fusion(golden["semantic"], merged).tokens
    assert_close_to_magnitude(fused, golden["fused"], "network")


def test_noise_and_alignment_matter(official: WanPrior, golden: dict[str, torch.Tensor]) -> None:
    seeded = official.encode(golden["frames"], [1, 2])
    expected = golden["tower"].permute(0, 2, 3, 1)
    assert (seeded - expected).abs().max() > 0.05


def test_stamp_and_seed_choose_the_noise(prior: WanPrior, images: torch.Tensor) -> None:
    first = prior.encode(images[:1], [7])
    assert (first - prior.encode(images[:1], [8])).abs().max() > 1e-3
    other = WanPrior(*small_modules(), replace(SMALL, seed=1))
    assert (first - other.encode(images[:1], [7])).abs().max() > 1e-3


@pytest.mark.parametrize("block", [0, 1, -1])
def test_hooked_block(images: torch.Tensor, block: int) -> None:
    vae, transformer, prompt = small_modules()
    seen = []
    transformer.blocks[block].register_forward_hook(lambda *call: seen.append(call[2]))
    prior = WanPrior(*small_modules(), replace(SMALL, block=block))
    assert len(prior.transformer.blocks) == block % 3 + 1
    noise = torch.randn(5, 16, 2, 4)
    found = prior.encode(images, range(5), noise=noise)
    level_300 = 0.299923837184906
    frames = prior._pictures(images)[:, :, None]
    latents = vae.encode(frames).latent_dist.mean
    mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1)
    std = torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1)
    noisy = (1 - level_300) * (latents - mean) / std + level_300 * noise[:, :, None]
    text = torch.cat([prompt, torch.zeros(2, 6)]).expand(5, -1, -1)
    with torch.no_grad():
        transformer(noisy, torch.full((5,), 299), text)
    assert_close_to_magnitude(found.flatten(1, 2), seen[0], "network")


def test_clip_of_one_frame_is_that_frame(prior: WanPrior, images: torch.Tensor) -> None:
    for temporal in (False, True):
        modules = small_modules(temporal=temporal)
        alone = WanPrior(*small_modules(temporal=temporal), SMALL).encode(images[:1], [3])
        clip = WanPrior(*modules, replace(SMALL, mode="clip")).encode(images[:1], [3])
        assert_close_to_magnitude(clip, alone, "network")


def test_clip_frames_see_each_other(images: torch.Tensor) -> None:
    prior = WanPrior(*small_modules(), replace(SMALL, mode="clip"))
    tokens = prior.encode(images[:4], range(4))
    assert tokens.shape == (4, 1, 2, 24)
    changed = images[:4].clone()
    changed[3] = 1 - changed[3]
    assert (prior.encode(changed, range(4))[0] - tokens[0]).abs().max() > 1e-4


def test_clip_with_temporal_reduction(images: torch.Tensor) -> None:
    prior = WanPrior(*small_modules(temporal=True), replace(SMALL, mode="clip"))
    tokens = prior.encode(images, range(5))  # latents of frame 0 and of frames 1..4
    assert tokens.shape == (5, 1, 2, 24)
    # Centres 0 and 2.5: frames 3 and 4 take the second latent, frame 1 two fifths of the way.
    assert_close_to_magnitude(tokens[3], tokens[4], "elementwise")
    assert_close_to_magnitude(tokens[1], tokens[0].lerp(tokens[3], 0.4), "elementwise")
    longer = torch.cat([images, images[:2]])
    assert prior.encode(longer, range(7)).shape == (7, 1, 2, 24)
    with pytest.raises(PriorError, match="noise"):
        prior.encode(images, range(5), noise=torch.zeros(5, 16, 2, 4))
    noise = torch.zeros(2, 16, 2, 4)
    assert prior.encode(images, range(5), noise=noise).shape == (5, 1, 2, 24)


@pytest.mark.parametrize(("temporal", "last"), [(False, [7, 8, 9, 10, 11]), (True, [7, 11])])
def test_each_latent_of_a_clip_has_the_noise_of_the_last_frame_it_stands_for(
    images: torch.Tensor, temporal: bool, last: list[int]
) -> None:
    prior = WanPrior(*small_modules(temporal=temporal), replace(SMALL, mode="clip"))
    noise = frame_noise((16, 2, 4), SMALL.seed, last)
    expected = prior.encode(images, range(7, 12), noise=noise)
    assert torch.equal(prior.encode(images, range(7, 12)), expected)


def test_only_what_features_need_is_saved_and_read(
    prior: WanPrior, folder: Path, images: torch.Tensor
) -> None:
    loaded = WanPrior.from_folder(folder)
    assert not any(key.startswith("decoder") for key in loaded.vae.state_dict())
    early = WanPrior.from_folder(folder, replace(SMALL, block=0))
    assert len(early.transformer.blocks) == 1
    early.save(folder.with_name("early"))
    again = WanPrior.from_folder(folder.with_name("early"))
    assert torch.equal(early.encode(images, range(5)), again.encode(images, range(5)))


def test_modules_that_do_not_fit_are_refused() -> None:
    vae, transformer, prompt = small_modules()
    for config, given, message in (
        (replace(SMALL, block=3), prompt, "blocks 0..2"),
        (replace(SMALL, block=-4), prompt, "blocks 0..2"),
        (replace(SMALL, width=40), prompt, "multiple of 16"),
        (SMALL, torch.zeros(5, 6), "prompt"),
        (SMALL, torch.zeros(1, 7), "prompt"),
    ):
        with pytest.raises(PriorError, match=message):
            WanPrior(vae, transformer, given, config)
    prior = WanPrior(vae, transformer, prompt, SMALL)
    with pytest.raises(PriorError, match=r"noise must be .* set the prior's width and height"):
        prior.encode(torch.rand(1, 3, 8, 8), [0], noise=torch.zeros(1, 16, 2, 5))


def test_damaged_folders_give_one_clear_error(folder: Path) -> None:
    def damaged(name: str, content: bytes | None) -> str:
        copy = folder.with_name("copy")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        if content is None:
            (copy / name).unlink()
        else:
            (copy / name).write_bytes(content)
        with pytest.raises(PriorError) as error:
            WanPrior.from_folder(copy)
        return str(error.value)

    weights = "transformer/diffusion_pytorch_model.safetensors"
    half = (folder / weights).read_bytes()[:5000]
    for name in ("prior.json", "prompt.safetensors", "vae/config.json", "transformer/config.json"):
        assert name in damaged(name, None)
        assert name.split("/")[0] in damaged(name, b"{")
        assert name.split("/")[0] in damaged(name, b"[]")
    assert "transformer" in damaged(weights, None)
    assert "damaged" in damaged(weights, half)
    assert "damaged" in damaged(weights, b"")
    assert "vae" in damaged("vae/diffusion_pytorch_model.safetensors", half)
    config = json.loads((folder / "transformer/config.json").read_text())
    wrong = json.dumps({**config, "ffn_dim": 48}).encode()
    assert "not those of one Wan transformer" in damaged("transformer/config.json", wrong)
    with pytest.raises(PriorError, match=r"prior\.json"):
        WanPrior.from_folder(folder.with_name("nowhere"))


def test_prompt_file_without_prompt(folder: Path) -> None:
    save_file({"text": torch.zeros(1, 6)}, folder / "prompt.safetensors")
    with pytest.raises(PriorError, match="prompt"):
        WanPrior.from_folder(folder)


def test_sizes_of_an_official_autoencoder_are_read_from_its_weights() -> None:
    """Levels of other widths, depth and temporal reduction, by their official names."""
    made = AutoencoderKLWan(
        base_dim=4, dim_mult=[1, 3, 2], num_res_blocks=1, temperal_downsample=[True, False]
    )
    inner = {
        "norm1.": "residual.0.", "conv1.": "residual.2.", "norm2.": "residual.3.",
        "conv2.": "residual.6.", "conv_shortcut.": "shortcut.",
    }  # fmt: skip
    outer = {
        "encoder.conv_in.": "encoder.conv1.", "encoder.norm_out.": "encoder.head.0.",
        "encoder.conv_out.": "encoder.head.2.", "quant_conv.": "conv1.",
        "encoder.down_blocks.": "encoder.downsamples.",
        "encoder.mid_block.resnets.0.": "encoder.middle.0.",
        "encoder.mid_block.attentions.0.": "encoder.middle.1.",
        "encoder.mid_block.resnets.1.": "encoder.middle.2.",
    }  # fmt: skip
    state = {}
    for name, value in made.state_dict().items():
        if name.startswith(("encoder.", "quant_conv.")):
            official = name
            for ours, theirs in (inner | outer).items():
                official = official.replace(ours, theirs)
            state[official] = value
    read = vae_from_official(state)
    assert read.config.dim_mult == [1, 3, 2]
    assert (read.config.num_res_blocks, read.config.temperal_downsample) == (1, [True, False])
    assert all(torch.equal(made.state_dict()[k], v) for k, v in read.state_dict().items())


def test_foreign_official_weights_are_refused(golden: dict[str, torch.Tensor]) -> None:
    with pytest.raises(PriorError, match="autoencoder"):
        vae_from_official(part(golden, "dit."))
    with pytest.raises(PriorError, match=r"config\.json"):
        transformer_from_official(part(golden, "dit."), {"dim": 48})
