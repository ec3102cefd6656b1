"""Models of true sizes with random weights, built where they run; nothing is downloaded."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from torch import nn
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from vega3d_ros.models.checkpoints.modules import Modules
from vega3d_ros.models.fusion.fusion_module import FusionConfig, FusionModule, PositionEncoding
from vega3d_ros.models.grounders.token_head.head import GroundingHead
from vega3d_ros.models.mllms.qwen2_5_vl.language import PromptFormat, SceneLanguage
from vega3d_ros.models.priors.wan.config import WanPriorConfig
from vega3d_ros.models.priors.wan.files import drop_decoder, fill
from vega3d_ros.models.priors.wan.prior import WanPrior
from vega3d_ros.training.nano import mllm_config
from vega3d_ros.training.nano_prior import nano_vae
from vega3d_ros.training.tokenizer import special_ids, train_tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

QUESTION = (
    "You are standing by the door and facing the window. Is the red chair next to the table to "
    "your left, to your right or behind you? Answer with one of the three options, A, B or C."
)
WAN = {
    "num_attention_heads": 12, "attention_head_dim": 128, "in_channels": 16, "out_channels": 16,
    "text_dim": 4096, "freq_dim": 256, "ffn_dim": 8960, "num_layers": 30,
}  # fmt: skip
NANO = {
    "num_attention_heads": 4, "attention_head_dim": 48, "text_dim": 32, "freq_dim": 64,
    "ffn_dim": 512, "num_layers": 5, "rope_max_seq_len": 64,
}  # fmt: skip
TINY = {
    "num_attention_heads": 2, "attention_head_dim": 24, "text_dim": 8, "freq_dim": 16,
    "ffn_dim": 64, "num_layers": 3, "rope_max_seq_len": 32,
}  # fmt: skip
VISION = {
    "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "patch_size": 14,
    "spatial_merge_size": 2, "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31],
}  # fmt: skip
QWEN_7B = {
    "vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944,
    "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
    "tie_word_embeddings": False,
}  # fmt: skip
QWEN_3B = {
    "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 11008,
    "num_hidden_layers": 36, "num_attention_heads": 16, "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}  # fmt: skip


@dataclass(frozen=True)
class Size:
    """What is measured at a size.

    Attributes:
        transformer: Configuration of the prior's transformer.
        text: Tokens of the prompt and length to which it is padded.
        blocks: Hooked blocks.
        working: Working sizes of the prior, width and height; the first is the one of the goals.
        language: Configuration of the language model's text part; None: no language model here.
        image: Width and height that the vision tower is shown.
        frames: Frames of a clip.
    """

    transformer: dict[str, Any]
    text: tuple[int, int]
    blocks: tuple[int, ...]
    working: tuple[tuple[int, int], ...]
    language: dict[str, Any] | None
    image: tuple[int, int]
    frames: int


_TRUE = ((832, 480), (1280, 720), (448, 448), (480, 320))
_SR_IMAGE = (504, 392)  # what the published spatial-reasoning model is shown of a 4:3 frame
SIZES = {
    "tiny": Size(TINY, (1, 4), (1, 2), ((64, 32), (32, 32)), {}, (56, 56), 3),
    "nano": Size(NANO, (1, 1), (3,), ((128, 96), (224, 160)), {}, (224, 168), 8),
    "1.3b": Size(WAN, (1, 512), (20, 29), _TRUE, None, _SR_IMAGE, 32),
    "3b": Size(WAN, (1, 512), (29,), _TRUE[:1], QWEN_3B, _SR_IMAGE, 32),
    "7b": Size(WAN, (1, 512), (29,), _TRUE[:1], QWEN_7B, _SR_IMAGE, 32),
}


class PriorSource:
    """Random weights of a prior, from which priors of every setting are made.

    Args:
        size: Which.
        device: Where they are made.
        dtype: Of the weights.
    """

    def __init__(self, size: Size, device: str, dtype: torch.dtype) -> None:
        torch.manual_seed(0)
        with torch.device(device):
            vae = AutoencoderKLWan() if size.transformer is WAN else nano_vae()
            self.vae = drop_decoder(vae)
            self.transformer = WanTransformer3DModel(**size.transformer)
            self.prompt = torch.randn(size.text[0], size.transformer["text_dim"])
            for model in (self.vae, self.transformer):
                fill(model, model.state_dict(), dtype)
        self.size = size

    def prior(self, block: int, working: tuple[int, int], *, reference: bool = False) -> WanPrior:
        """A prior; the reference shares the weights, the fast one copies what it needs."""
        config = WanPriorConfig(
            block=block, width=working[0], height=working[1], text_length=self.size.text[1]
        )
        transformer = copy(self.transformer)
        transformer._modules = dict(self.transformer._modules)  # noqa: SLF001
        transformer.blocks = nn.ModuleList(self.transformer.blocks)
        prior = WanPrior(self.vae, transformer, self.prompt, config, reference=reference)
        if not reference:
            prior.forget_sources()
        return prior.to(self.prompt.device)


def build_modules(
    size: Size,
    prior: WanPrior,
    device: str,
    dtype: torch.dtype,
    words: Sequence[str] = (QUESTION,),
) -> Modules:
    """A whole model around a prior."""
    tokenizer = train_tokenizer(words, 400)
    special = special_ids(tokenizer)
    if size.language:
        config = Qwen2_5_VLConfig(
            vision_config={**VISION, "out_hidden_size": size.language["hidden_size"]},
            text_config={
                **size.language,
                "max_position_embeddings": 128000,
                "rope_parameters": {
                    "rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24],
                },
                "bos_token_id": None, "eos_token_id": special["end"],
                "pad_token_id": special["pad"],
            },
            image_token_id=special["image"], video_token_id=special["video"],
            vision_start_token_id=special["vision_start"],
            vision_end_token_id=special["vision_end"],
            tie_word_embeddings=size.language["tie_word_embeddings"],
        )  # fmt: skip
    else:
        config = mllm_config(len(tokenizer), special)
    with torch.device(device):
        model = Qwen2_5_VLForConditionalGeneration._from_config(config, dtype=dtype)  # noqa: SLF001
        dim = config.text_config.hidden_size
        fusion = FusionModule(FusionConfig("token_gated_residual", dim, prior.dim, "merger"))
        rest = (fusion, PositionEncoding(dim), GroundingHead(dim))
    modules = Modules(
        prior,
        SceneLanguage(model, tokenizer, PromptFormat(), size.image),
        *(module.to(dtype) for module in rest),  # type: ignore[arg-type]
        None,
        {"labels": []},
    )
    return modules.eval()
