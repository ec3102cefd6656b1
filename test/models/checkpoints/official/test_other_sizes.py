"""Checkpoints of other sizes, against diffusers and transformers used plainly."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import save_file
from support.closeness import assert_close_to_magnitude
from support.official_random import (
    Sizes,
    plain_fusion,
    plain_merger,
    plain_tower,
    plain_transformer,
    plain_vae,
    write_random,
)
from support.tiny_models import make_clip
from torch.nn import functional
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2VLImageProcessorPil
from transformers.modeling_outputs import BaseModelOutputWithPooling

from vega3d_ros.core.frames import Clip, Frame
from vega3d_ros.models.checkpoints.official.branch_presets import (
    main_branch_fusion,
    main_branch_prior,
)
from vega3d_ros.models.checkpoints.official.layout import OfficialError
from vega3d_ros.models.checkpoints.official.wan import load_prompt, load_wan_prior
from vega3d_ros.models.fusion.fusion_module import FusionModule
from vega3d_ros.models.priors.wan.config import WanPriorConfig
from vega3d_ros.models.priors.wan.noise import noise_level
from vega3d_ros.perception.keyframe_encoder import Patches
from vega3d_ros.perception.perceiver import Perceiver

pytestmark = pytest.mark.numeric

TOWER = "generative_vision_tower_"
VARIANTS = {
    "as absent settings say": Sizes(),
    "first block, one file, more noise": Sizes(
        shards=1,
        vae_official=True,
        settings={f"{TOWER}feat_block_idx": 0, f"{TOWER}timestep": 500},
    ),
    "other widths everywhere": Sizes(
        dim=48, heads=4, ffn=104, layers=4, freq=32, text=40, text_len=20, vae=4,
        vae_official=True, prompt=1, merger=52, frames=(2, 112, 56), working=(48, 80),
        language={
            "hidden_size": 48, "intermediate_size": 80, "num_attention_heads": 4,
            "num_key_value_heads": 2, "num_hidden_layers": 2, "vocab_size": 600,
            "rope_scaling": {"mrope_section": [2, 2, 2], "rope_type": "default"},
        },
        vision={
            "depth": 3, "hidden_size": 24, "num_heads": 3, "intermediate_size": 20,
            "fullatt_block_indexes": [1], "window_size": 56,
        },
        settings={f"{TOWER}feat_block_idx": 2, f"{TOWER}shift": 1.0},
        shards=5,
    ),
    "heads of 128, nothing said of them": Sizes(
        dim=256, heads=2, ffn=40, layers=2, describes_heads=False, text_len=None, merger=None,
        settings={
            f"{TOWER}size": "112*48", f"{TOWER}feat_block_idx": -1,
            "generative_fusion_method": "token_gated",
        },
        frames=(1, 56, 140), working=(112, 48),
    ),
    "averaging merger, tied words": Sizes(
        heads=4, layers=1, merger=12, prompt=64,
        language={"tie_word_embeddings": True},
        settings={"generative_merger_type": "avg"},
        frames=(4, 56, 56),
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=VARIANTS)
def made(request, tmp_path_factory):
    sizes = VARIANTS[request.param]
    return sizes, *write_random(tmp_path_factory.mktemp("other"), sizes)


@torch.no_grad()
def test_every_stage_equals_the_plain_libraries(made):
    sizes, folder, state, tower = made
    generator = torch.Generator().manual_seed(11)
    count, height, width = sizes.frames
    frames = torch.rand(count, 3, height, width, generator=generator)
    latents = sizes.working[1] // 8, sizes.working[0] // 8
    noise = torch.randn(count, 16, *latents, generator=generator)
    processor = Qwen2VLImageProcessorPil(min_pixels=28 * 28)
    processed = processor(list(frames), return_tensors="pt", do_rescale=False)
    patches = Patches(processed["pixel_values"], processed["image_grid_thw"])
    rows, columns = height // 14, width // 14
    assert patches.image_grid_thw.tolist() == [[1, rows, columns]] * count

    level = noise_level(sizes.setting("timestep", 300), sizes.setting("shift", 5.0))
    hooked = plain_tower(folder, sizes, tower, frames, noise, level)
    stock = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder).eval()
    features = stock.model.get_image_features(*patches, return_dict=True).pooler_output
    semantic = torch.stack(list(features))
    merged = plain_merger(sizes, state, hooked, rows, columns)
    fused = plain_fusion(sizes, state, semantic, merged)

    given = {"noise": noise, "patches": patches}
    clip = Clip(
        tuple(Frame(i, f.permute(1, 2, 0).numpy(), "camera") for i, f in enumerate(frames))
    )
    vocabulary = sizes.text_config["vocab_size"]
    cells = rows * columns // 4
    image = [502, *[500] * cells, 503]
    ids = torch.tensor([[9, 4, *image * count, 17, 33, 8]])
    logits = stock(
        input_ids=ids,
        mm_token_type_ids=(ids == 500).int(),
        image_grid_thw=patches.image_grid_thw,
        mm_encoder_outputs={"image": BaseModelOutputWithPooling(pooler_output=tuple(fused))},
    ).logits
    assert logits.shape[2] == vocabulary
    for reference in (False, True):
        perceiver = Perceiver.from_pretrained(folder, prior=sizes.asked, reference=reference)
        prior = perceiver.modules.prior
        run = sizes.layers if reference else prior.config.block + 1
        assert len(prior.transformer.blocks) == run
        encoded = perceiver.encode(frames, range(count), **given)
        found = [
            encoded.generative.permute(0, 3, 1, 2),
            *(t.flatten(1, 2) for t in (encoded.semantic, encoded.projected, encoded.tokens)),
        ]
        for one, other in zip(found, (hooked, semantic, merged, fused), strict=True):
            assert other.std() > 0.01
            assert_close_to_magnitude(one, other, "network")
        scene = perceiver.observe(clip, **given)
        assert_close_to_magnitude(scene.reading.logits(ids), logits, "network")


def test_a_camera_s_frames_are_answered_about(made):
    """Nothing is given but frames: they are loaded, and noise is drawn, as in the node."""
    sizes, folder, *_ = made
    fast, reference = (
        Perceiver.from_pretrained(folder, prior=sizes.asked, reference=which)
        for which in (False, True)
    )
    clip = make_clip(2, size=(80, 60))
    scenes = [perceiver.observe(clip) for perceiver in (fast, reference)]
    assert_close_to_magnitude(*(scene.reading.visual for scene in scenes), "network")
    texts = [scene.ask("How many chairs are there?").text for scene in scenes]
    assert texts[0] == texts[1]


def test_original_and_diffusers_layout_give_one_prior(tmp_path):
    sizes = Sizes()
    folder, _, tower = write_random(tmp_path, sizes)
    original, other = folder.parent / "wan", tmp_path / "diffusers"
    plain_transformer(sizes, tower).save_pretrained(other / "transformer")
    plain_vae(sizes).save_pretrained(other / "vae")
    save_file({"prompt": load_prompt(original / "wan_prompt_embedding.pt")},
              other / "prompt.safetensors")  # fmt: skip
    images = torch.rand(2, 3, 40, 60)
    for block in (0, -1):
        config = WanPriorConfig(width=96, height=64, block=block)
        tokens = [load_wan_prior(f, config).encode(images, [1, 2]) for f in (original, other)]
        assert torch.equal(*tokens)
        assert tokens[0].std() > 0.1


def test_a_folder_that_is_no_wan_is_refused(tmp_path):
    with pytest.raises(OfficialError, match=r"Wan2\.1_VAE\.pth nor vae"):
        load_wan_prior(tmp_path, WanPriorConfig())
    AutoencoderKLWan(base_dim=4).save_pretrained(tmp_path / "vae")
    with pytest.raises(OfficialError, match="vega3d prompt"):
        load_wan_prior(tmp_path, WanPriorConfig())


def test_the_main_branch_form_pools_to_14_by_14_and_gates_each_token():
    prior = main_branch_prior()
    assert (prior.block, prior.width, prior.height, prior.align) == (20, 1280, 720, "official")
    small = main_branch_prior(small=True, align="full")
    assert (small.block, small.width, small.height, small.align) == (20, 832, 480, "full")
    torch.manual_seed(0)
    fusion = FusionModule(main_branch_fusion(8, 6))
    assert set(fusion.state_dict()) == {
        *(f"projector.{i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")),
        *(f"gate.{part}.{kind}" for part in ("norm1", "norm2", "gate_projection.0")
          for kind in ("weight", "bias")),
    }  # fmt: skip
    semantic, tower = torch.randn(2, 14, 14, 8), torch.randn(2, 45, 80, 6)
    pooled = functional.adaptive_avg_pool2d(tower.permute(0, 3, 1, 2), (14, 14))
    wanted = fusion.gate(semantic, fusion.projector(pooled.permute(0, 2, 3, 1)))
    fused = fusion(semantic, tower)
    assert_close_to_magnitude(fused.tokens, wanted.tokens, "layer")
    assert fused.gate.shape == (2, 14, 14)
