"""Official checkpoint folders of any size with random weights, and what libraries make of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from diffusers.loaders.single_file_utils import (
    convert_wan_transformer_to_diffusers,
    convert_wan_vae_to_diffusers,
)
from safetensors.torch import save_file
from support.official_folder import TOWER, golden_vae, write_checkpoint
from torch.nn import functional
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration


@dataclass(frozen=True)
class Sizes:
    """Every size that a checkpoint and what it is asked may have of its own.

    Attributes:
        dim, heads, ffn, layers, freq, text: Of Wan's transformer.
        text_len: Length to which prompts are padded; None: not said in Wan's ``config.json``.
        describes_heads: Whether Wan's ``config.json`` says the number of heads.
        vae: Base width of the autoencoder.
        vae_official: Whether it is ``Wan2.1_VAE.pth``, not Diffusers' ``vae/``.
        prompt: Tokens of the prompt.
        language: Of the text part of Qwen2.5-VL.
        vision: Of its vision tower.
        merger: Inner width of the merger; None: the 4096 that an absent setting means.
        settings: More of ``config.json``.
        shards: Files of the checkpoint.
        frames: Frames, rows and columns of pixels.
        working: Width and height of the prior.
    """

    dim: int = 32
    heads: int = 2
    ffn: int = 40
    layers: int = 3
    freq: int = 16
    text: int = 24
    text_len: int | None = 64
    describes_heads: bool = True
    vae: int = 8
    vae_official: bool = False
    prompt: int = 5
    language: dict = field(default_factory=dict)
    vision: dict = field(default_factory=dict)
    merger: int | None = 20
    settings: dict = field(default_factory=dict)
    shards: int = 2
    frames: tuple[int, int, int] = (3, 84, 112)
    working: tuple[int, int] = (96, 64)

    @property
    def text_config(self):
        return {
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "num_hidden_layers": 3,
            "rope_scaling": {"mrope_section": [2, 3, 3], "rope_type": "default"},
            "vocab_size": 512,
            **self.language,
        }  # fmt: skip

    @property
    def vision_config(self):
        return {
            "depth": 1, "fullatt_block_indexes": [0], "hidden_act": "silu", "hidden_size": 16,
            "in_channels": 3, "intermediate_size": 24, "model_type": "qwen2_5_vl",
            "num_heads": 2, "out_hidden_size": self.text_config["hidden_size"], "patch_size": 14,
            "spatial_merge_size": 2, "temporal_patch_size": 2, "tokens_per_second": 4,
            "window_size": 112, **self.vision,
        }  # fmt: skip

    @property
    def asked(self):
        """Settings of the prior that ``config.json`` lacks."""
        width, height = self.working
        return {} if self.setting("size", None) else {"width": width, "height": height}

    def setting(self, name, default):
        return self.settings.get(f"generative_vision_tower_{name}", default)


def random(*shape, generator):
    return 0.2 * torch.randn(shape, generator=generator)


def wan_state(sizes, generator):
    """A WanModel's tensors by their official names."""
    dim = sizes.dim

    def linear(name, out, into):
        return {
            f"{name}.weight": torch.randn(out, into, generator=generator) / into**0.5,
            f"{name}.bias": random(out, generator=generator),
        }

    state = {
        "patch_embedding.weight": random(dim, 16, 1, 2, 2, generator=generator),
        "patch_embedding.bias": random(dim, generator=generator),
        "head.modulation": random(1, 2, dim, generator=generator),
        **linear("text_embedding.0", dim, sizes.text),
        **linear("text_embedding.2", dim, dim),
        **linear("time_embedding.0", dim, sizes.freq),
        **linear("time_embedding.2", dim, dim),
        **linear("time_projection.1", 6 * dim, dim),
        **linear("head.head", 64, dim),
    }
    for i in range(sizes.layers):
        block = f"blocks.{i}"
        state[f"{block}.modulation"] = random(1, 6, dim, generator=generator)
        for attention in ("self_attn", "cross_attn"):
            for part in "qkvo":
                state |= linear(f"{block}.{attention}.{part}", dim, dim)
            for norm in ("norm_q", "norm_k"):
                state[f"{block}.{attention}.{norm}.weight"] = 1 + random(dim, generator=generator)
        state[f"{block}.norm3.weight"] = 1 + random(dim, generator=generator)
        state[f"{block}.norm3.bias"] = random(dim, generator=generator)
        state |= linear(f"{block}.ffn.0", sizes.ffn, dim)
        state |= linear(f"{block}.ffn.2", dim, sizes.ffn)
    return state


def plain_transformer(sizes, state):
    model = WanTransformer3DModel(
        num_attention_heads=sizes.heads, attention_head_dim=sizes.dim // sizes.heads,
        text_dim=sizes.text, freq_dim=sizes.freq, ffn_dim=sizes.ffn, num_layers=sizes.layers,
    )  # fmt: skip
    model.load_state_dict(convert_wan_transformer_to_diffusers(dict(state)))
    return model.eval()


@cache
def _vae_names():
    """Diffusers' name of each official tensor of the autoencoder's encoder."""
    names = sorted(golden_vae())
    tagged = {name: torch.tensor(i) for i, name in enumerate(names)}
    return {names[int(i)]: theirs for theirs, i in convert_wan_vae_to_diffusers(tagged).items()}


def plain_vae(sizes):
    torch.manual_seed(3)
    return AutoencoderKLWan(base_dim=sizes.vae).eval()


def write_wan(folder, sizes, state, generator):
    """Wan in the original layout; the autoencoder in either."""
    folder.mkdir(parents=True)
    config = {"_class_name": "WanModel", "num_layers": sizes.layers}
    config |= {"text_len": sizes.text_len} if sizes.text_len else {}
    config |= {"num_heads": sizes.heads} if sizes.describes_heads else {}
    (folder / "config.json").write_text(json.dumps(config))
    names = sorted(state)
    for i in range(2):
        part = {name: state[name] for name in names[i::2]}
        save_file(part, folder / f"diffusion_pytorch_model-0000{i + 1}-of-00002.safetensors")
    vae = plain_vae(sizes)
    if sizes.vae_official:
        tensors = vae.state_dict()
        official = {name: tensors[theirs] for name, theirs in _vae_names().items()}
        torch.save(official, folder / "Wan2.1_VAE.pth")
    else:
        vae.save_pretrained(folder / "vae")
    prompt = torch.randn(sizes.prompt, sizes.text, generator=generator).bfloat16()
    torch.save({"context": prompt}, folder / "wan_prompt_embedding.pt")


def fusion_state(sizes, generator):
    """Merger and fusion by their official names."""
    kind = sizes.settings.get("generative_merger_type", "mlp")
    method = sizes.settings.get("generative_fusion_method", "token_gated_residual")
    hidden, inner = sizes.text_config["hidden_size"], sizes.merger or 4096
    shapes = {
        "merger.mlp.0.weight": (inner, sizes.dim * (4 if kind == "mlp" else 1)),
        "merger.mlp.0.bias": (inner,),
        "merger.mlp.2.weight": (hidden, inner), "merger.mlp.2.bias": (hidden,),
        "fusion.norm1.weight": (hidden,), "fusion.norm1.bias": (hidden,),
        "fusion.norm2.weight": (hidden,), "fusion.norm2.bias": (hidden,),
        "fusion.gate_projection.0.weight": (1, 2 * hidden), "fusion.gate_projection.0.bias": (1,),
    }  # fmt: skip
    if kind == "mlp":
        shapes["merger.ln_q.weight"] = (sizes.dim,)
    if method == "token_gated_residual":
        shapes["fusion.residual_scale"] = ()
    state = {}
    for name, shape in shapes.items():
        value = random(*shape, generator=generator)
        # Wide sums are kept small, so that tolerances mean the same at every width.
        narrow = max(1.0, (shape[-1] / 128) ** 0.5) if len(shape) == 2 else 1.0
        state[f"generative_{name}"] = (0.5 * (len(shape) < 2) + value) / narrow
    return state


def write_random(root, sizes, seed=5):
    """An official folder of these sizes; returns it, its tensors and the tower's."""
    generator = torch.Generator().manual_seed(seed)
    tower = wan_state(sizes, generator)
    write_wan(root / "wan", sizes, tower, generator)
    torch.manual_seed(7)
    settings = {**sizes.text_config, "vision_config": sizes.vision_config, **sizes.settings}
    settings["generative_merger_hidden_dim"] = sizes.merger
    stock = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**settings))
    state = {}
    for name, value in stock.state_dict().items():  # the keys that transformers 4.50 wrote
        old = name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")
        state[old] = value.clone() + random(*value.shape, generator=generator)
    if settings.get("tie_word_embeddings"):
        del state["lm_head.weight"]
    state |= {TOWER + name: value for name, value in tower.items()}
    state |= fusion_state(sizes, generator)
    folder = write_checkpoint(root, state=state, shards=sizes.shards, **settings)
    return folder, state, tower


def plain_tower(folder, sizes, tower, frames, noise, level):
    """Tokens of the hooked block, [N, dim, rows, columns], by diffusers alone.

    Args:
        level: Timestep that is told, and share of noise.
    """
    vae = plain_vae(sizes)
    told, sigma = level
    width, height = sizes.working
    scale = max(height / frames.shape[2], width / frames.shape[3])
    covered = round(frames.shape[2] * scale), round(frames.shape[3] * scale)
    x = functional.interpolate(frames, covered, mode="bilinear", align_corners=False)
    top, left = (covered[0] - height) // 2, (covered[1] - width) // 2
    x = x[:, :, top : top + height, left : left + width] * 2 - 1
    latents = torch.cat([vae.encode(one[None, :, None]).latent_dist.mean for one in x])
    mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1)
    std = torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1)
    noisy = (1 - sigma) * (latents - mean) / std + sigma * noise[:, :, None]
    transformer = plain_transformer(sizes, tower)
    seen = []
    block = sizes.setting("feat_block_idx", -1)
    transformer.blocks[block].register_forward_hook(lambda *call: seen.append(call[2]))
    prompt = torch.load(folder.parent / "wan/wan_prompt_embedding.pt")["context"].float()
    text = functional.pad(prompt, (0, 0, 0, (sizes.text_len or 512) - len(prompt)))
    transformer(noisy, torch.full((len(frames),), told), text.expand(len(frames), -1, -1))
    return seen[0].unflatten(1, (height // 16, width // 16)).permute(0, 3, 1, 2)


def plain_merger(sizes, state, hooked, rows, columns):
    """The merger's tokens [N, T, hidden] of the tower's, on a grid of patches."""
    y = functional.interpolate(hooked, (rows, columns), mode="bilinear", align_corners=False)
    y = y.permute(0, 2, 3, 1)
    parts = [(i, j) for i in (0, 1) for j in (0, 1)]
    if sizes.settings.get("generative_merger_type", "mlp") == "mlp":
        scale = (y.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt()
        y = y * scale * state["generative_merger.ln_q.weight"]
        y = torch.cat([y[:, i::2, j::2] for i, j in parts], dim=-1)
    else:
        y = sum(y[:, i::2, j::2] for i, j in parts) / 4

    def mlp(name, value):
        name = f"generative_merger.mlp.{name}"
        return functional.linear(value, state[f"{name}.weight"], state[f"{name}.bias"])

    return mlp(2, functional.gelu(mlp(0, y.flatten(1, 2))))


def plain_fusion(sizes, state, semantic, merged):
    """Fused tokens [N, T, hidden]."""
    fusion = {k.removeprefix("generative_fusion."): v for k, v in state.items()}
    width = semantic.shape[-1:]
    one, two = (
        functional.layer_norm(v, width, fusion[f"norm{i}.weight"], fusion[f"norm{i}.bias"])
        for i, v in ((1, semantic), (2, merged))
    )
    gate = functional.linear(
        torch.cat([one, two], -1),
        fusion["gate_projection.0.weight"],
        fusion["gate_projection.0.bias"],
    ).sigmoid()
    if sizes.settings.get("generative_fusion_method", "") == "token_gated":
        return gate * one + (1 - gate) * two
    return semantic + fusion["residual_scale"] * (1 - gate) * (merged - semantic)
