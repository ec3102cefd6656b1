"""``vega3d prompt``: the prompt embedding that a Wan prior is given, computed once and kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from transformers import AutoTokenizer, UMT5EncoderModel

from vega3d_ros.core.console import remarks
from vega3d_ros.models.checkpoints.official.layout import OfficialError
from vega3d_ros.models.priors.wan.files import save_prompt

if TYPE_CHECKING:
    import argparse

    from torch import Tensor

LENGTH = 512
"""Tokens of a prompt at most; shorter ones are padded by the prior."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the command line of ``vega3d prompt``."""
    parser.description = (
        "Compute the embedding of a prompt with UMT5, once. Priors look at frames under a fixed "
        "prompt; the official one is the empty prompt."
    )
    parser.add_argument(
        "encoder", type=Path, help="Wan 2.1 in Diffusers' layout (text_encoder/ and tokenizer/)"
    )
    parser.add_argument("out", type=Path, help="folder that gets prompt.safetensors")
    parser.add_argument("--text", default="", help="the prompt (default: empty)")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")


def run(args: argparse.Namespace) -> int:
    """Compute and write the embedding.

    Raises:
        OfficialError: If the text encoder cannot be loaded.
    """
    embedding = embed_prompt(args.encoder, args.text, device=args.device)
    save_prompt(embedding, args.out)
    remarks().print(f"{len(embedding)} tokens of {args.text!r} are in {args.out}")
    return 0


def embed_prompt(folder: Path, text: str = "", *, device: str = "cpu") -> Tensor:
    """The embedding of a text, [L, text_dim], of its real tokens only.

    Source: ``export_wan_prompt_embedding.py`` (main branch), with the text encoder of
    transformers.

    Args:
        folder: With ``text_encoder/`` and ``tokenizer/``.
        text: The prompt.
        device: Where to compute.

    Raises:
        OfficialError: If the text encoder or its tokenizer cannot be loaded.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder / "tokenizer", local_files_only=True, trust_remote_code=False
        )
        encoder, report = UMT5EncoderModel.from_pretrained(
            folder / "text_encoder",
            local_files_only=True,
            use_safetensors=True,
            dtype="auto",
            output_loading_info=True,
        )
    except (OSError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        msg = f"{folder} has no text_encoder/ and tokenizer/ that can be read: {error}"
        raise OfficialError(msg) from error
    if report["missing_keys"]:
        msg = f"{folder / 'text_encoder'} is incomplete; download it again"
        raise OfficialError(msg)
    words = " ".join(text.split())
    ids = tokenizer(words, max_length=LENGTH, truncation=True, return_tensors="pt").input_ids
    with torch.inference_mode():
        embedding: Tensor = encoder.to(device).eval()(ids.to(device)).last_hidden_state[0]
    return embedding.cpu()
