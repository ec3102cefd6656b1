"""A language model with random weights that says something else with every token."""

from __future__ import annotations

import json

import torch
from support.tiny_models import WORDS
from transformers import Qwen2_5_VLForConditionalGeneration

from vega3d_ros.models.mllms.qwen2_5_vl.language import PromptFormat, SceneLanguage
from vega3d_ros.models.mllms.qwen2_5_vl.weights import load_language_model
from vega3d_ros.training.nano import mllm_config
from vega3d_ros.training.tokenizer import special_ids, train_tokenizer

IMAGE_SIZE = (84, 56)
# A sixth of the vocabulary, so that a penalty on what the clip's prompt says is noticed.
BEFORE = "A frame: 0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def write_varied(folder, seed, **generation):
    """Write a checkpoint, with ``generation`` in its generation config."""
    torch.manual_seed(seed)
    tokenizer = train_tokenizer(WORDS, 400)
    config = mllm_config(len(tokenizer), special_ids(tokenizer))
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = False
    config.text_config.num_hidden_layers = config.vision_config.depth = 2
    config.text_config.layer_types = config.text_config.layer_types[:2]
    model = Qwen2_5_VLForConditionalGeneration(config)
    for name, weight in model.named_parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=1.0 if "embed_tokens" in name else 0.08)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    file = folder / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | generation))
    return folder


def read_varied(folder):
    """The language model of such a folder."""
    tokenizer = train_tokenizer(WORDS, 400)
    model = load_language_model(folder).eval()
    return SceneLanguage(model, tokenizer, PromptFormat(before=BEFORE), IMAGE_SIZE)
