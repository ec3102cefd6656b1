"""A checkpoint of other sizes, against diffusers and transformers used plainly."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers
from official_folder import TOWER, write_checkpoint
from safetensors.torch import save_file
from torch.nn import functional
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling

from vega3d_ros.bridge import Bridge
from vega3d_ros.encoding import Patches, encode
from vega3d_ros.official.forms import main_branch_bridge, main_branch_prior
from vega3d_ros.official.layout import OfficialError
from vega3d_ros.official.wan import load_prompt, load_wan_prior
from vega3d_ros.perceiver import Perceiver
from vega3d_ros.prior.base import PriorConfig

HIDDEN, DIM, HEADS, FFN, TEXT, FREQ, LAYERS = 32, 32, 2, 40, 24, 16, 3
SIZE = {"width": 96, "height": 64}
LEVEL = 0.299923837184906


def random(*shape, generator):
    return 0.2 * torch.randn(shape, generator=generator)


def wan_state(generator):
    """A WanModel's tensors by their official names."""

    def linear(name, out, into):
        return {
            f"{name}.weight": random(out, into, generator=generator),
            f"{name}.bias": random(out, generator=generator),
        }

    state = {
        "patch_embedding.weight": random(DIM, 16, 1, 2, 2, generator=generator),
        "patch_embedding.bias": random(DIM, generator=generator),
        "head.modulation": random(1, 2, DIM, generator=generator),
        **linear("text_embedding.0", DIM, TEXT),
        **linear("text_embedding.2", DIM, DIM),
        **linear("time_embedding.0", DIM, FREQ),
        **linear("time_embedding.2", DIM, DIM),
        **linear("time_projection.1", 6 * DIM, DIM),
        **linear("head.head", 64, DIM),
    }
    for i in range(LAYERS):
        block = f"blocks.{i}"
        state[f"{block}.modulation"] = random(1, 6, DIM, generator=generator)
        for attention in ("self_attn", "cross_attn"):
            for part in "qkvo":
                state |= linear(f"{block}.{attention}.{part}", DIM, DIM)
            for norm in ("norm_q", "norm_k"):
                state[f"{block}.{attention}.{norm}.weight"] = 1 + random(DIM, generator=generator)
        state[f"{block}.norm3.weight"] = 1 + random(DIM, generator=generator)
        state[f"{block}.norm3.bias"] = random(DIM, generator=generator)
        state |= linear(f"{block}.ffn.0", FFN, DIM) | linear(f"{block}.ffn.2", DIM, FFN)
    return state


def plain_transformer(state):
    model = WanTransformer3DModel(
        num_attention_heads=HEADS, attention_head_dim=DIM // HEADS, text_dim=TEXT, freq_dim=FREQ,
        ffn_dim=FFN, num_layers=LAYERS,
    )  # fmt: skip
    model.load_state_dict(convert_wan_transformer_to_diffusers(dict(state)))
    return model.eval()


def write_wan(folder, state, generator):
    """Wan in the original layout, but for the autoencoder in Diffusers'."""
    folder.mkdir(parents=True)
    config = {"_class_name": "WanModel", "num_heads": HEADS, "num_layers": LAYERS, "text_len": 64}
    (folder / "config.json").write_text(json.dumps(config))
    names = sorted(state)
    for i in range(2):
        part = {name: state[name] for name in names[i::2]}
        save_file(part, folder / f"diffusion_pytorch_model-0000{i + 1}-of-00002.safetensors")
    torch.manual_seed(3)
    AutoencoderKLWan(base_dim=8, dim_mult=[1, 2, 2, 4]).save_pretrained(folder / "vae")
    prompt = torch.randn(5, TEXT, generator=generator).bfloat16()
    torch.save({"context": prompt}, folder / "wan_prompt_embedding.pt")


LANGUAGE = {
    "hidden_size": HIDDEN,
    "intermediate_size": 48,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "num_hidden_layers": 3,
    "rope_scaling": {"mrope_section": [2, 3, 3], "rope_type": "default", "type": "default"},
    "vocab_size": 512,
}
VISION = {
    "depth": 1, "fullatt_block_indexes": [0], "hidden_act": "silu", "hidden_size": 16,
    "in_channels": 3, "intermediate_size": 24, "model_type": "qwen2_5_vl", "num_heads": 2,
    "out_hidden_size": HIDDEN, "patch_size": 14, "spatial_merge_size": 2,
    "temporal_patch_size": 2, "tokens_per_second": 4, "window_size": 112,
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("other")
    generator = torch.Generator().manual_seed(5)
    tower = wan_state(generator)
    write_wan(root / "wan", tower, generator)
    torch.manual_seed(7)
    settings = {**LANGUAGE, "vision_config": VISION, "generative_merger_hidden_dim": 20}
    config = Qwen2_5_VLConfig(**settings)
    stock = Qwen2_5_VLForConditionalGeneration(config)
    state = {}
    for name, value in stock.state_dict().items():  # the keys that transformers 4.50 wrote
        old = name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")
        state[old] = value.clone() + random(*value.shape, generator=generator)
    state |= {TOWER + name: value for name, value in tower.items()}
    for name, shape in {
        "merger.ln_q.weight": (DIM,), "merger.mlp.0.bias": (20,),
        "merger.mlp.0.weight": (20, 4 * DIM),
        "merger.mlp.2.weight": (HIDDEN, 20), "merger.mlp.2.bias": (HIDDEN,),
        "fusion.norm1.weight": (HIDDEN,), "fusion.norm1.bias": (HIDDEN,),
        "fusion.norm2.weight": (HIDDEN,), "fusion.norm2.bias": (HIDDEN,),
        "fusion.gate_projection.0.weight": (1, 2 * HIDDEN), "fusion.gate_projection.0.bias": (1,),
        "fusion.residual_scale": (),
    }.items():  # fmt: skip
        state[f"generative_{name}"] = 0.5 + random(*shape, generator=generator)
    folder = write_checkpoint(root, state=state, shards=2, **settings)
    return folder, state, tower, generator


def plain_tokens(folder, state, tower, frames, noise, patches, block):
    """Tower, semantic, merged and fused tokens without anything of this package."""
    vae = AutoencoderKLWan.from_pretrained(folder.parent / "wan" / "vae").eval()
    height, width = frames.shape[2:]
    scale = max(SIZE["height"] / height, SIZE["width"] / width)
    rows, columns = round(height * scale), round(width * scale)
    x = functional.interpolate(frames, (rows, columns), mode="bilinear", align_corners=False)
    top, left = (rows - SIZE["height"]) // 2, (columns - SIZE["width"]) // 2
    x = x[:, :, top : top + SIZE["height"], left : left + SIZE["width"]] * 2 - 1
    latents = torch.cat([vae.encode(one[None, :, None]).latent_dist.mean for one in x])
    mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1)
    std = torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1)
    noisy = (1 - LEVEL) * (latents - mean) / std + LEVEL * noise[:, :, None]
    transformer = plain_transformer(tower)
    seen = []
    transformer.blocks[block].register_forward_hook(lambda *call: seen.append(call[2]))
    prompt = torch.load(folder.parent / "wan/wan_prompt_embedding.pt")["context"].float()
    text = functional.pad(prompt, (0, 0, 0, 64 - len(prompt))).expand(len(frames), -1, -1)
    transformer(noisy, torch.full((len(frames),), 299), text)
    grid = SIZE["height"] // 16, SIZE["width"] // 16
    hooked = seen[0].unflatten(1, grid).permute(0, 3, 1, 2)

    stock = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder).eval()
    features = stock.model.get_image_features(*patches, return_dict=True).pooler_output
    h, w = patches.image_grid_thw[0, 1:].tolist()
    semantic = torch.stack(list(features))
    y = functional.interpolate(hooked, (h, w), mode="bilinear", align_corners=False)
    y = y.permute(0, 2, 3, 1)
    y = (
        y
        * (y.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt()
        * state["generative_merger.ln_q.weight"]
    )
    y = torch.cat([y[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], dim=-1).flatten(1, 2)

    def mlp(name, value):
        name = f"generative_merger.mlp.{name}"
        return functional.linear(value, state[f"{name}.weight"], state[f"{name}.bias"])

    merged = mlp(2, functional.gelu(mlp(0, y)))
    fusion = {k.removeprefix("generative_fusion."): v for k, v in state.items()}
    norms = [
        functional.layer_norm(v, (HIDDEN,), fusion[f"norm{i}.weight"], fusion[f"norm{i}.bias"])
        for i, v in ((1, semantic), (2, merged))
    ]
    gate = functional.linear(
        torch.cat(norms, -1), fusion["gate_projection.0.weight"], fusion["gate_projection.0.bias"]
    ).sigmoid()
    fused = semantic + fusion["residual_scale"] * (1 - gate) * (merged - semantic)
    return stock, hooked, semantic, merged, fused


@pytest.mark.parametrize("block", [None, 0, 1])
@torch.no_grad()
def test_every_stage_equals_the_plain_libraries(made, block):
    folder, state, tower, generator = made
    file = folder / "config.json"
    config = json.loads(file.read_text())
    config["generative_vision_tower_feat_block_idx"] = block
    file.write_text(json.dumps(config))
    frames = torch.rand(3, 3, 84, 112, generator=generator)
    noise = torch.randn(3, 16, 8, 12, generator=generator)
    processed = Qwen2VLImageProcessorPil()(list(frames), return_tensors="pt", do_rescale=False)
    patches = Patches(processed["pixel_values"], processed["image_grid_thw"])
    assert patches.image_grid_thw.tolist() == [[1, 6, 8]] * 3
    stock, *expected = plain_tokens(
        folder, state, tower, frames, noise, patches, LAYERS - 1 if block is None else block
    )

    perceiver = Perceiver.from_pretrained(folder, prior=SIZE)
    encoded = encode(perceiver.modules, frames, [1, 2, 3], noise=noise, patches=patches)
    found = [
        encoded.generative.permute(0, 3, 1, 2),
        *(t.flatten(1, 2) for t in (encoded.semantic, encoded.projected, encoded.tokens)),
    ]
    for one, other in zip(found, expected, strict=True):
        assert other.std() > 0.01
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)

    image = [502, *[500] * 12, 503]
    ids = torch.tensor([[9, 4, *image, *image, *image, 17, 33, 8]])
    given = BaseModelOutputWithPooling(pooler_output=tuple(expected[-1]))
    logits = stock(
        input_ids=ids,
        mm_token_type_ids=(ids == 500).int(),
        image_grid_thw=patches.image_grid_thw,
        mm_encoder_outputs={"image": given},
    ).logits
    ours = perceiver.modules.language.on_grid(3, 4).logits(encoded.tokens, ids)
    torch.testing.assert_close(ours, logits, rtol=1e-5, atol=1e-5)


def test_original_and_diffusers_layout_give_one_prior(made, tmp_path):
    folder, _, tower, _ = made
    original, other = folder.parent / "wan", tmp_path / "diffusers"
    plain_transformer(tower).save_pretrained(other / "transformer")
    AutoencoderKLWan.from_pretrained(original / "vae").save_pretrained(other / "vae")
    save_file({"prompt": load_prompt(original / "wan_prompt_embedding.pt")},
              other / "prompt.safetensors")  # fmt: skip
    images = torch.rand(2, 3, 40, 60)
    for block in (0, -1):
        config = PriorConfig(**SIZE, block=block)
        tokens = [load_wan_prior(f, config).encode(images, [1, 2]) for f in (original, other)]
        assert torch.equal(*tokens)
        assert tokens[0].std() > 0.1


def test_a_folder_that_is_no_wan_is_refused(tmp_path):
    with pytest.raises(OfficialError, match=r"Wan2\.1_VAE\.pth nor vae"):
        load_wan_prior(tmp_path, PriorConfig())
    AutoencoderKLWan(base_dim=4).save_pretrained(tmp_path / "vae")
    with pytest.raises(OfficialError, match="vega3d prompt"):
        load_wan_prior(tmp_path, PriorConfig())


def test_the_main_branch_form_pools_to_14_by_14_and_gates_each_token():
    prior = main_branch_prior()
    assert (prior.block, prior.width, prior.height, prior.align) == (20, 1280, 720, "official")
    small = main_branch_prior(small=True, align="full")
    assert (small.block, small.width, small.height, small.align) == (20, 832, 480, "full")
    torch.manual_seed(0)
    bridge = Bridge(main_branch_bridge(8, 6))
    assert set(bridge.state_dict()) == {
        *(f"projector.{i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")),
        *(f"fusion.{part}.{kind}" for part in ("norm1", "norm2", "gate_projection.0")
          for kind in ("weight", "bias")),
    }  # fmt: skip
    semantic, tower = torch.randn(2, 14, 14, 8), torch.randn(2, 45, 80, 6)
    pooled = functional.adaptive_avg_pool2d(tower.permute(0, 3, 1, 2), (14, 14))
    wanted = bridge.fusion(semantic, bridge.projector(pooled.permute(0, 2, 3, 1)))
    fused = bridge(semantic, tower)
    assert torch.equal(fused.tokens, wanted.tokens)
    assert fused.gate.shape == (2, 14, 14)
