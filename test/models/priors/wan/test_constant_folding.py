"""Every exact speed-up of the prior against diffusers' modules as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from support.closeness import assert_close_to_magnitude
from torch.nn.functional import cosine_similarity

import vega3d_ros
from vega3d_ros.models.priors.base import PriorError
from vega3d_ros.models.priors.wan import acceleration
from vega3d_ros.models.priors.wan.config import WanPriorConfig
from vega3d_ros.models.priors.wan.constant_folding import ConstantText, embed_text
from vega3d_ros.models.priors.wan.files import fill
from vega3d_ros.models.priors.wan.prior import WanPrior
from vega3d_ros.models.priors.wan.single_frame_vae import frame_encoder

pytestmark = pytest.mark.numeric

SMALL = WanPriorConfig(width=64, height=32, text_length=16)
NANO = Path(vega3d_ros.__file__).parent / "weights" / "nano" / "prior"


def modules(*, words: int = 2, dtype: torch.dtype = torch.float32):
    """A random prior whose norms and biases matter too."""
    torch.manual_seed(0)
    vae = AutoencoderKLWan(
        base_dim=4, dim_mult=[1, 1, 2, 2], temperal_downsample=[False, True, True]
    )
    transformer = WanTransformer3DModel(
        num_attention_heads=3, attention_head_dim=24, text_dim=6, freq_dim=16, ffn_dim=96,
        num_layers=4, rope_max_seq_len=32,
    )  # fmt: skip
    for model in (vae, transformer):
        for parameter in model.parameters():
            if parameter.ndim < 2 or min(parameter.shape[:2]) == 1:
                parameter.data.add_(0.2 * torch.randn_like(parameter))
    prompt = torch.randn(words, 6)
    for model in (vae, transformer):
        fill(model, model.state_dict(), dtype)
    return vae, transformer, prompt


def both(config: WanPriorConfig = SMALL, **kind) -> tuple[WanPrior, WanPrior]:
    """A prior and its reference."""
    return WanPrior(*modules(**kind), config), WanPrior(*modules(**kind), config, reference=True)


def pictures(count: int = 3) -> torch.Tensor:
    coarse = torch.rand(count, 3, 6, 8, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(coarse, (48, 64), mode="bilinear")


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize(
    ("words", "length"), [(1, 16), (2, 16), (16, 16), (1, 1)], ids=["", "two", "full", "alone"]
)
@pytest.mark.parametrize("block", [0, 2, -1])
def test_fast_equals_reference(words: int, length: int, block: int) -> None:
    fast, reference = both(replace(SMALL, text_length=length, block=block), words=words)
    found, expected = (p.encode(pictures(), [1, 2, 3]) for p in (fast, reference))
    assert relative(found, expected) < 1e-5
    assert len(fast.tower.transformer.blocks) == block % 4 + 1
    assert len(reference.transformer.blocks) == 4


def test_the_reference_loops_the_autoencoder_and_batches_the_transformer() -> None:
    _, reference = both()
    encoded: list[int] = []
    read: list[int] = []
    encode = reference.vae.encode
    reference.vae.encode = lambda video: encoded.append(len(video)) or encode(video)
    reference.transformer.register_forward_pre_hook(lambda _, args: read.append(len(args[0])))
    reference.encode(pictures(), [1, 2, 3])
    assert (encoded, read) == ([1, 1, 1], [3])
    reference.frames_at_once = 1
    reference.encode(pictures(), [1, 2, 3])
    assert read == [3, 1, 1, 1]


def test_bfloat16_stays_close_to_the_float32_reference() -> None:
    fast, _ = both(dtype=torch.bfloat16)
    expected = both()[1].encode(pictures(), [1, 2, 3])
    found = fast.encode(pictures(), [1, 2, 3])
    assert fast.tower.transformer.blocks[0].qkv.weight.dtype == torch.bfloat16
    assert found.dtype == torch.float32
    assert cosine_similarity(found.flatten(1), expected.flatten(1)).min() > 0.9999


def test_collapsed_text_equals_attention_to_all_of_it() -> None:
    _, transformer, prompt = modules()
    block = transformer.blocks[0]
    text = embed_text(transformer, prompt, 512)
    assert text.counts.tolist() == [1, 1, 510]
    x = torch.randn(2, 7, 72)
    padded = torch.nn.functional.pad(prompt, (0, 0, 0, 510))
    words = transformer.condition_embedder.text_embedder(padded)[None].expand(2, -1, -1)
    with torch.no_grad():
        expected = block.attn2(block.norm2(x), words)
        plain = torch.nn.functional.layer_norm(x, (72,), eps=block.norm2.eps)
        found = ConstantText(block.attn2, block.norm2, text)(plain)
    assert_close_to_magnitude(found, expected, "layer")


def test_frame_encoder_equals_the_autoencoder_and_stays_channels_last() -> None:
    vae, _, _ = modules()
    video = pictures()[:, :, None] * 2 - 1
    encoder = frame_encoder(vae)
    seen = []
    encoder[0].mid_block.register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.no_grad():
        found = encoder(video.squeeze(2).contiguous(memory_format=torch.channels_last)[:, :, None])
        expected = vae.encode(video).latent_dist.parameters
        nothing = encoder(torch.zeros(1, 3, 1, 32, 32))
    assert_close_to_magnitude(found, expected, "network")
    assert seen[0].squeeze(2).is_contiguous(memory_format=torch.channels_last)
    assert torch.isfinite(nothing).all()


def test_the_number_of_frames_at_once_does_not_matter() -> None:
    prior, _ = both()
    together = prior.encode(pictures(5), range(5))
    for at_once in (1, 2):
        prior.frames_at_once = at_once
        assert_close_to_magnitude(prior.encode(pictures(5), range(5)), together, "network")
    noise = torch.randn(5, 16, 4, 8)
    assert prior.encode(pictures(5), range(5), noise=noise).shape == (5, 2, 4, 72)


@pytest.fixture
def dynamo(monkeypatch):
    """Compilation without a C++ compiler's minutes; any later one is an error."""
    monkeypatch.setattr(acceleration, "BACKEND", "eager")
    torch.compiler.reset()
    yield torch._dynamo.config
    torch.compiler.reset()


def test_nothing_is_compiled_after_the_warm_up(dynamo) -> None:
    prior, _ = both()
    prior.frames_at_once = 2
    expected = prior.encode(pictures(5), range(5))
    prior.accelerate("compile")
    with dynamo.patch(error_on_recompile=True), torch.inference_mode():
        found = prior.encode(pictures(5), range(5))  # two, two and one
        resized = prior.encode(pictures(3)[:, :, ::2], range(3))
    assert_close_to_magnitude(found, expected, "network")
    assert resized.shape == (3, 2, 4, 72)


def test_acceleration_that_is_impossible_is_refused() -> None:
    fast, reference = both()
    for prior, how, word in (
        (fast, "graphs", "CUDA"),
        (fast, "compile_graphs", "CUDA"),
        (fast, "faster", "none, graphs"),
        (reference, "compile", "reference"),
        (WanPrior(*modules(), replace(SMALL, mode="clip")), "compile", "clip"),
    ):
        with pytest.raises(PriorError, match=word):
            prior.accelerate(how)
    with pytest.raises(PriorError, match="frames"):
        WanPrior(*modules(), replace(SMALL, mode="clip"), reference=True)


def test_image_to_video_is_refused() -> None:
    vae, _, prompt = modules()
    transformer = WanTransformer3DModel(
        num_attention_heads=1, attention_head_dim=12, text_dim=6, freq_dim=16, ffn_dim=16,
        num_layers=1, rope_max_seq_len=32, added_kv_proj_dim=12, image_dim=8,
    )  # fmt: skip
    with pytest.raises(PriorError, match="text-to-video"):
        WanPrior(vae, transformer, prompt, SMALL)


def test_sources_can_be_forgotten(tmp_path: Path) -> None:
    prior, _ = both()
    before = prior.encode(pictures(), range(3))
    prior.forget_sources()
    assert torch.equal(prior.encode(pictures(), range(3)), before)
    with pytest.raises(PriorError, match="inference only"):
        prior.save(tmp_path)


def test_nano_gives_the_tokens_it_was_trained_with() -> None:
    row = torch.linspace(0, 1, 96).view(1, 1, 96, 1).expand(1, 1, 96, 128)
    column = torch.linspace(0, 1, 128).view(1, 1, 1, 128).expand(1, 1, 96, 128)
    waves = (column * 9).sin() * (row * 7).cos() * 0.5 + 0.5
    image = torch.cat([column, row, waves], dim=1)
    images, stamps = torch.cat([image, 1 - image]), [1_700_000_000_000_000_000, 42]
    tokens = WanPrior.from_folder(NANO).encode(images, stamps)
    # Channel 7 of every third row and fourth column, by diffusers' modules when nano was trained.
    trained = torch.tensor(
        [[-0.20812, -0.95565, 0.11422, 0.50991], [-0.86064, 0.59522, -0.16794, -0.26596]]
    )
    found = tokens[:, ::3, ::4, 7].flatten(1)
    assert_close_to_magnitude(found, trained, "network", resolution=5e-6)
    reference = WanPrior.from_folder(NANO, reference=True).encode(images, stamps)
    assert relative(tokens, reference) < 1e-5
    half = WanPrior.from_folder(NANO, dtype=torch.bfloat16).encode(images, stamps)
    assert cosine_similarity(half.flatten(1), reference.flatten(1)).min() > 0.9999
