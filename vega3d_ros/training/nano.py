"""The sizes of nano: the same classes as the large models, a few million parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from vega3d_ros.bridge import WITHOUT_PRIOR, Bridge, BridgeConfig, PositionEncoding
from vega3d_ros.checkpoint import Modules
from vega3d_ros.grounding.head import GroundingHead
from vega3d_ros.mllm.language import PromptFormat, SceneLanguage
from vega3d_ros.training.tokenizer import special_ids

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor
    from transformers import PreTrainedTokenizerFast

    from vega3d_ros.prior.wan import WanPrior

IMAGE_SIZE = (224, 168)
ROWS, COLUMNS = 6, 8
CARD = (
    "nano: trained on simulated rooms, a stand-in that shows the method whole, "
    "not VEGA-3D's numbers"
)


def mllm_config(vocabulary: int, special: dict[str, int]) -> Qwen2_5_VLConfig:
    """Qwen2.5-VL for 224x168 images (48 tokens each).

    Args:
        vocabulary: Number of tokens.
        special: Ids by name (``tokenizer.SPECIAL``).
    """
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
            "num_hidden_layers": 4,
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
            "tie_word_embeddings": False,
        },
        image_token_id=special["image"],
        video_token_id=special["video"],
        vision_start_token_id=special["vision_start"],
        vision_end_token_id=special["vision_end"],
        tie_word_embeddings=False,
    )


def assemble(
    tower: Mapping[str, Tensor],
    tokenizer: PreTrainedTokenizerFast,
    prior: WanPrior | None,
    method: str,
    labels: Sequence[str],
) -> Modules:
    """A nano whose language model, bridge and head are new.

    Args:
        tower: Weights of the trained vision tower.
        tokenizer: Its words.
        prior: The frozen prior, or None for the model without one.
        method: Fusion method.
        labels: What the model looks for by default.
    """
    special = special_ids(tokenizer)
    config = mllm_config(len(tokenizer), special)
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.model.visual.load_state_dict(tower)
    model.model.visual.requires_grad_(requires_grad=False).eval()
    # Words as large as visual tokens: small ones drown in what attention brings from hundreds.
    torch.nn.init.normal_(model.model.language_model.embed_tokens.weight)
    dim = config.text_config.hidden_size
    bridge = BridgeConfig(
        method if prior is not None else WITHOUT_PRIOR, dim, prior.dim if prior is not None else 0
    )
    return Modules(
        prior,
        SceneLanguage(model, tokenizer, PromptFormat(), IMAGE_SIZE),
        Bridge(bridge),
        PositionEncoding(dim),
        GroundingHead(dim),
        {"labels": list(labels), "card": CARD},
    )
