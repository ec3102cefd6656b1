"""Nano: the classes of the large models with a few million parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from vega3d_ros.models.checkpoints.modules import Modules
from vega3d_ros.models.fusion.fusion_module import (
    WITHOUT_PRIOR,
    FusionConfig,
    FusionModule,
    PositionEncoding,
)
from vega3d_ros.models.grounders.token_head.head import GroundingHead
from vega3d_ros.models.mllms.qwen2_5_vl.language import PromptFormat, SceneLanguage
from vega3d_ros.training.object_records import COLOR_NAMES
from vega3d_ros.training.tokenizer import special_ids

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

    from vega3d_ros.models.mllms.qwen2_5_vl.object_tokens import ObjectTokens
    from vega3d_ros.models.priors.base import Prior

IMAGE_SIZE = (224, 168)
ROWS, COLUMNS = 6, 8
# Keeps the initial scores of the next token small, although embeddings are large.
_OUTPUT_GAIN = 0.05
CARD = (
    "nano: trained on simulated rooms, a stand-in that shows the method whole, "
    "not VEGA-3D's numbers"
)
LICENSE = "apache-2.0"


def mllm_config(vocabulary: int, special: dict[str, int]) -> Qwen2_5_VLConfig:
    """Qwen2.5-VL for 224x168 images (48 tokens each); ``special`` are ids by name."""
    return Qwen2_5_VLConfig(
        vision_config={
            "depth": 6,
            "hidden_size": 192,
            "intermediate_size": 384,
            "num_heads": 3,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "window_size": 112,
            "out_hidden_size": 256,
            "fullatt_block_indexes": [0, 1, 2, 3, 4, 5],
        },
        text_config={
            "vocab_size": vocabulary,
            "hidden_size": 256,
            "intermediate_size": 704,
            "num_hidden_layers": 6,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "max_position_embeddings": 4096,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [4, 6, 6],
            },
            "bos_token_id": None,
            "eos_token_id": special["end"],
            "pad_token_id": special["pad"],
            "tie_word_embeddings": True,
        },
        image_token_id=special["image"],
        video_token_id=special["video"],
        vision_start_token_id=special["vision_start"],
        vision_end_token_id=special["vision_end"],
        tie_word_embeddings=True,
    )


def new_language(tokenizer: PreTrainedTokenizerFast) -> SceneLanguage:
    """Nano's language model with initial weights; ``assemble`` loads its vision tower."""
    special = special_ids(tokenizer)
    model = Qwen2_5_VLForConditionalGeneration(mllm_config(len(tokenizer), special))
    text: Any = model.model.language_model
    # Word embeddings as large as visual tokens, so that hundreds of these do not outweigh them in
    # attention. The output layer shares them, so that it can name a token that is copied.
    torch.nn.init.normal_(text.embed_tokens.weight)
    torch.nn.init.constant_(text.norm.weight, _OUTPUT_GAIN)
    for layer in text.layers:
        _init_mimetic(layer.self_attn)
    return SceneLanguage(model, tokenizer, PromptFormat(), IMAGE_SIZE)


@torch.no_grad()
def _init_mimetic(attention: Any) -> None:
    """Queries equal keys and outputs invert values: attention copies similar tokens.

    Trained language models are alike (mimetic initialisation, arXiv 2305.09828); from the usual
    random weights a small model takes long to get there.
    """
    config, width = attention.config, attention.q_proj.in_features
    groups = config.num_key_value_heads
    shared = config.num_attention_heads // groups
    key = torch.randn(groups, attention.head_dim, width) / width**0.5
    value = torch.randn(groups, attention.head_dim, width) / width**0.5
    attention.k_proj.weight.copy_(key.flatten(0, 1))
    attention.q_proj.weight.copy_(key.repeat_interleave(shared, dim=0).flatten(0, 1))
    attention.v_proj.weight.copy_(value.flatten(0, 1))
    attention.o_proj.weight.copy_(value.repeat_interleave(shared, dim=0).flatten(0, 1).T / 2)


def assemble(
    language: SceneLanguage,
    objects: ObjectTokens,
    tower: Mapping[str, Tensor],
    prior: Prior | None,
    method: str,
    labels: Sequence[str],
) -> Modules:
    """A nano whose projector, gate and grounding head have initial weights.

    ``tower`` are the weights of the trained vision tower; ``labels`` are searched by default.
    Without ``prior`` the model has no fusion.
    """
    language.model.model.visual.load_state_dict(tower)
    language.model.model.visual.requires_grad_(requires_grad=False).eval()
    dim = language.model.config.text_config.hidden_size
    fusion = FusionConfig(
        method if prior is not None else WITHOUT_PRIOR, dim, prior.dim if prior is not None else 0
    )
    return Modules(
        prior,
        language,
        FusionModule(fusion),
        PositionEncoding(dim),
        GroundingHead(dim),
        objects,
        {"labels": list(labels), "colors": list(COLOR_NAMES), "card": CARD, "license": LICENSE},
    )
