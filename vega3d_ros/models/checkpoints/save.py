"""A model written as a folder."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from vega3d_ros import __version__
from vega3d_ros.models.checkpoints.model_card import model_card
from vega3d_ros.models.checkpoints.model_config import FORMAT, GrounderConfig, LanguageConfig
from vega3d_ros.models.checkpoints.modules import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

    from vega3d_ros.models.checkpoints.modules import Modules

FUSION_FILE = "fusion.safetensors"
GROUNDER_FILE = "grounding.safetensors"
OBJECTS_FILE = "objects.safetensors"


def save_modules(
    modules: Modules, folder: Path, dtype: torch.dtype = torch.bfloat16, *, name: str = ""
) -> None:
    """Write a model folder, with a card for people (``README.md``).

    Args:
        modules: The model.
        folder: Created where missing.
        dtype: Of the weights on disk.
        name: As its card calls it; by default as the folder is called.

    Raises:
        CheckpointError: If it is an official checkpoint.
    """
    if modules.positions is None:
        msg = "an official checkpoint is read but not written; copy its folder instead"
        raise CheckpointError(msg)
    folder.mkdir(parents=True, exist_ok=True)
    language = modules.language
    description: dict[str, Any] = {
        "format": FORMAT,
        "package": __version__,
        "prior": modules.prior.config.to_dict() if modules.prior is not None else None,
        "fusion": modules.fusion.config.to_dict(),
        "language": asdict(LanguageConfig(prompt=language.prompt, image_size=language.image_size)),
        "grounder": GrounderConfig().to_dict() if modules.grounding is not None else None,
        **modules.settings,
    }
    (folder / "model.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    card = model_card(name or folder.name, description)
    (folder / "README.md").write_text(card, encoding="utf-8")
    if modules.prior is not None:
        modules.prior.save(folder / "prior", dtype)
    deepcopy(language.model).to(dtype).save_pretrained(folder / "mllm")
    language.tokenizer.save_pretrained(folder / "mllm")
    positions = {f"positions.{k}": v for k, v in modules.positions.state_dict().items()}
    _save({**modules.fusion.state_dict(), **positions}, folder / FUSION_FILE, dtype)
    if modules.grounding is not None:
        _save(modules.grounding.state_dict(), folder / GROUNDER_FILE, dtype)
    if modules.objects is not None:
        _save(modules.objects.state_dict(), folder / OBJECTS_FILE, dtype)


def _save(state: dict[str, torch.Tensor], file: Path, dtype: torch.dtype) -> None:
    save_file({k: v.detach().to("cpu", dtype).contiguous() for k, v in state.items()}, file)
