"""Official checkpoint folders: the one whose numbers the official code gave, and random ones."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

DATA = Path(__file__).parents[1] / "data"
TOWER = "generative_encoder.tower.model."
VOCABULARY = 512
# The working size of the reference numbers; the official code had it patched in, so that the
# checkpoint does not name it.
SIZE = {"width": 208, "height": 128}

# Qwen2.5-VL's chat template without the parts for videos.
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for content in message['content'] %}{% if content['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% elif 'text' in content %}"
    "{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def golden():
    """Reference numbers for three frames: inputs, and outputs of the official forward."""
    wan = load_file(DATA / "official_wan.safetensors")
    language = load_file(DATA / "official_language.safetensors")
    both = {k: torch.cat([wan[k], language[k]]) for k in ("noise", "semantic", "merged", "fused")}
    return {
        "frames": torch.cat([wan["frames"], language["frame"]]),
        "tower": wan["tower"],
        **both,
        **{k: language[k] for k in ("input_ids", "pixel_values", "image_grid_thw", "logits")},
    }


def _metadata(name):
    with safe_open(DATA / name, "pt") as file:
        return json.loads(file.metadata()["config"])


def golden_state():
    """The checkpoint's tensors by their official names."""
    wan = load_file(DATA / "official_wan.safetensors")
    language = load_file(DATA / "official_language.safetensors")
    state = {k.removeprefix("qwen."): v for k, v in language.items() if k.startswith("qwen.")}
    words = torch.zeros(VOCABULARY, language["embedded"].shape[1])
    words[language["embedded_ids"]] = language["embedded"]
    state["model.embed_tokens.weight"] = words
    head = state["lm_head.weight"]  # its first rows only; the other logits are zero
    rest = torch.zeros(VOCABULARY - len(head), head.shape[1])
    state["lm_head.weight"] = torch.cat([head, rest])
    for ours, official in (
        ("dit.", TOWER),
        ("merger.", "generative_merger."),
        ("fusion.", "generative_fusion."),
    ):
        state |= {official + k.removeprefix(ours): v for k, v in wan.items() if k.startswith(ours)}
    return state


def golden_vae():
    """The autoencoder's tensors by their official names, those of its encoder."""
    wan = load_file(DATA / "official_wan.safetensors")
    return {k.removeprefix("vae."): v for k, v in wan.items() if k.startswith("vae.")}


def golden_wan(folder):
    """The Wan folder that the checkpoint points to: configuration, autoencoder, prompt."""
    folder.mkdir(parents=True)
    wan = load_file(DATA / "official_wan.safetensors")
    (folder / "config.json").write_text(json.dumps(_metadata("official_wan.safetensors")))
    torch.save(golden_vae(), folder / "Wan2.1_VAE.pth")
    torch.save(wan["prompt"], folder / "wan_prompt_embedding.pt")
    return folder


def write_checkpoint(root, *, state=None, shards=1, words=True, **config):
    """An official folder ``root/checkpoint`` beside ``root/wan``; returns the first."""
    folder = root / "checkpoint"
    folder.mkdir(parents=True)
    state = golden_state() if state is None else state
    described = _metadata("official_language.safetensors") | config
    (folder / "config.json").write_text(json.dumps(described))
    if shards == 1:
        save_file(state, folder / "model.safetensors", {"format": "pt"})
    else:
        names = sorted(state)
        index = {}
        for i in range(shards):
            file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
            part = {name: state[name] for name in names[i::shards]}
            save_file(part, folder / file, {"format": "pt"})
            index |= dict.fromkeys(part, file)
        described = {"metadata": {}, "weight_map": index}
        (folder / "model.safetensors.index.json").write_text(json.dumps(described))
    if words:
        write_tokenizer(folder)
        (folder / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    if not (root / "wan").exists():
        golden_wan(root / "wan")
    return folder


def write_tokenizer(folder, *, ends=False):
    """A tokenizer of bytes with the marks of Qwen's chats, which may end each text with one."""
    marks = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {word: i for i, word in enumerate([*letters, *marks])}
    tokenizer = Tokenizer(models.BPE(words, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if ends:
        mark = ("<|im_end|>", words["<|im_end|>"])
        tokenizer.post_processor = processors.TemplateProcessing("$A <|im_end|>", None, [mark])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>")
    fast.add_special_tokens({"additional_special_tokens": marks})
    fast.save_pretrained(folder)
