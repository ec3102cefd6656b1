"""A model folder and the modules in it.

A folder holds ``model.json`` (versions and settings), ``prior/{transformer,vae}/``,
``prior/prompt.safetensors``, ``mllm/`` (Qwen2.5-VL and its tokenizer), ``bridge.safetensors``
(projector, gate, position encoding), ``grounding.safetensors`` and, where the language model is
told what was found, ``objects.safetensors``. Weights are safetensors; nothing in a folder is ever
executed.
"""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass
from importlib import resources
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from vega3d_ros import __version__
from vega3d_ros.bridge import Bridge, BridgeConfig, PositionEncoding
from vega3d_ros.capacity import Workload, estimate, require
from vega3d_ros.fusion import FusionError
from vega3d_ros.grounding.head import GroundingHead
from vega3d_ros.mllm.language import PromptFormat, SceneLanguage
from vega3d_ros.mllm.object_tokens import ObjectTokens
from vega3d_ros.prior.base import PriorConfig, PriorError
from vega3d_ros.prior.wan import WanPrior

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

FORMAT = 1
_OBJECTS_FILE = "objects.safetensors"


class CheckpointError(ValueError):
    """A model folder that cannot be used; the message names the file and the remedy."""


@dataclass(eq=False)
class Modules:
    """What a model is made of.

    Attributes:
        prior: The frozen generative model, or None for a model without one.
        language: Vision tower, language model, tokenizer and prompt.
        bridge: Projector and gate.
        positions: Position encoding of visual tokens.
        grounding: Token head.
        objects: Tells the language model what was found, or None.
        settings: Everything else of ``model.json``: ``labels`` (the default queries), ``colors``
            (those with a name), thresholds and a ``card`` for people.
    """

    prior: WanPrior | None
    language: SceneLanguage
    bridge: Bridge
    positions: PositionEncoding
    grounding: GroundingHead
    objects: ObjectTokens | None
    settings: dict[str, Any]

    def to(self, device: str) -> Modules:
        """Move all weights; returns itself."""
        for module in self._networks():
            module.to(device)
        return self

    def eval(self) -> Modules:
        """Switch all modules to inference; returns itself."""
        for module in self._networks():
            module.eval().requires_grad_(requires_grad=False)
        return self

    def train(self) -> Modules:
        """Switch all modules but the prior to training; returns itself."""
        for module in self._networks():
            if module is not self.prior:
                module.train().requires_grad_(requires_grad=True)
        return self

    def _networks(self) -> list[nn.Module]:
        rest = [self.language.model, self.bridge, self.positions, self.grounding]
        return [*rest, *(part for part in (self.prior, self.objects) if part is not None)]


def save_modules(modules: Modules, folder: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write a model folder.

    Args:
        modules: The model.
        folder: Created where missing.
        dtype: Of the weights on disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    language = modules.language
    description = {
        "format": FORMAT,
        "package": __version__,
        "prior": modules.prior.config.to_dict() if modules.prior is not None else None,
        "bridge": modules.bridge.config.to_dict(),
        "prompt": language.prompt.to_dict(),
        "image_size": list(language.image_size),
        **modules.settings,
    }
    (folder / "model.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    if modules.prior is not None:
        modules.prior.save_pretrained(folder / "prior", dtype)
    deepcopy(language.model).to(dtype).save_pretrained(folder / "mllm")
    language.tokenizer.save_pretrained(folder / "mllm")
    bridge = {f"bridge.{k}": v for k, v in modules.bridge.state_dict().items()}
    bridge |= {f"positions.{k}": v for k, v in modules.positions.state_dict().items()}
    _save(bridge, folder / "bridge.safetensors", dtype)
    _save(modules.grounding.state_dict(), folder / "grounding.safetensors", dtype)
    if modules.objects is not None:
        _save(modules.objects.state_dict(), folder / _OBJECTS_FILE, dtype)


def _save(state: dict[str, torch.Tensor], file: Path, dtype: torch.dtype) -> None:
    save_file({k: v.detach().to("cpu", dtype).contiguous() for k, v in state.items()}, file)


def locate(name: str | Path) -> Path:
    """The folder of a shipped model's name or of a path.

    Raises:
        CheckpointError: If there is no such folder.
    """
    shipped = Path(str(resources.files("vega3d_ros"))) / "models"
    for folder in (Path(name), shipped / name):
        if (folder / "model.json").is_file():
            return folder
    names = sorted(p.name for p in shipped.iterdir()) if shipped.is_dir() else []
    what = "has no model.json" if Path(name).is_dir() else "is no folder"
    msg = f"model {str(name)!r} {what}; give a model folder, or one of: {', '.join(names) or '-'}"
    raise CheckpointError(msg)


def load_modules(
    name: str | Path,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    reference: bool = False,
    inference_only: bool = False,
    workload: Workload | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Modules:
    """Read a model folder.

    Args:
        name: A shipped model's name or a folder.
        device: Where the weights go.
        dtype: Of the weights in memory.
        reference: Run the prior by the official protocol, to compare with.
        inference_only: Do not keep what is needed to save the model again.
        workload: What it must have memory for.
        progress: Told what is being loaded.

    Raises:
        CapacityError: If it does not fit the device; nothing was loaded then.
        CheckpointError: If something is missing, damaged, of another kind, or newer than this.
    """
    folder = locate(name)
    description = _read_description(folder)
    _check_memory(folder, device, dtype, workload)
    try:
        prior = None
        if description["prior"] is not None:
            progress("prior")
            config = PriorConfig.from_dict(description["prior"])
            prior = WanPrior.from_pretrained(
                folder / "prior", config, dtype=dtype, reference=reference
            )
            if inference_only:
                prior.forget_sources()
        progress("language model")
        language = _load_language(folder, description, dtype)
        bridge = Bridge(BridgeConfig(**description["bridge"]))
        positions = PositionEncoding(bridge.config.dim)
        grounding = GroundingHead(bridge.config.dim)
    except (KeyError, TypeError, FusionError, PriorError) as error:
        msg = f"{folder / 'model.json'} does not describe a model of this package: {error}"
        raise CheckpointError(msg) from error
    state = _read_tensors(folder / "bridge.safetensors")
    _fill(bridge, _below(state, "bridge."), folder / "bridge.safetensors")
    _fill(positions, _below(state, "positions."), folder / "bridge.safetensors")
    file = folder / "grounding.safetensors"
    _fill(grounding, _read_tensors(file), file)
    objects = _load_objects(folder / _OBJECTS_FILE, bridge.config.dim, description)
    known = {"format", "package", "prior", "bridge", "prompt", "image_size"}
    settings = {key: value for key, value in description.items() if key not in known}
    modules = Modules(
        prior,
        language,
        bridge.to(dtype),
        positions.to(dtype),
        grounding.to(dtype),
        objects.to(dtype) if objects is not None else None,
        settings,
    )
    progress(f"weights to {device}")
    return modules.to(device).eval()


def _check_memory(
    folder: Path, device: str, dtype: torch.dtype, workload: Workload | None
) -> None:
    try:
        footprint = estimate(folder, dtype, workload)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return  # something is missing or damaged; reading it says what
    require(footprint, device, f"model {folder.name}")


def _load_objects(file: Path, dim: int, description: dict[str, Any]) -> ObjectTokens | None:
    """The object tokens of a model that names ``colors``; others have none."""
    colors = description.get("colors")
    if colors is None:
        return None
    objects = ObjectTokens(dim, len(colors))
    _fill(objects, _read_tensors(file), file)
    return objects


def _read_description(folder: Path) -> dict[str, Any]:
    file = folder / "model.json"
    try:
        description = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{file} cannot be read: {error}; copy the model folder again"
        raise CheckpointError(msg) from error
    if not isinstance(description, dict) or "format" not in description:
        msg = f"{file} is not a description of a vega3d model (no 'format' field)"
        raise CheckpointError(msg)
    if description["format"] != FORMAT:
        found = description["format"]
        msg = f"{file} has format {found}, this package reads {FORMAT}; update vega3d_ros"
        raise CheckpointError(msg)
    return description


def _load_language(folder: Path, description: dict[str, Any], dtype: torch.dtype) -> SceneLanguage:
    weights = folder / "mllm"
    try:
        config = Qwen2_5_VLConfig.from_pretrained(weights, local_files_only=True)
        _check_size(config, weights)
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            weights, config=config, dtype=dtype, local_files_only=True, use_safetensors=True
        )
        tokenizer = AutoTokenizer.from_pretrained(
            weights, local_files_only=True, trust_remote_code=False
        )
    except (OSError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        msg = f"{weights} cannot be loaded as Qwen2.5-VL: {error}; copy the model folder again"
        raise CheckpointError(msg) from error
    size = description["image_size"]
    if not (isinstance(size, list) and len(size) == 2 and all(isinstance(x, int) for x in size)):
        msg = f"image_size must be [width, height], not {size!r}"
        raise TypeError(msg)
    return SceneLanguage(
        model, tokenizer, PromptFormat(**description["prompt"]), (size[0], size[1])
    )


def _check_size(config: Qwen2_5_VLConfig, folder: Path) -> None:
    """Refuse a configuration that asks for more weights than the files hold.

    transformers would make up what is missing, however large: a configuration without sizes means
    the 72 B model, and would take all memory before anything is said.
    """
    with torch.device("meta"):
        wanted = sum(p.numel() for p in Qwen2_5_VLForConditionalGeneration(config).parameters())
    held = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            held += sum(prod(tensors.get_slice(key).get_shape()) for key in tensors.keys())  # noqa: SIM118
    if held < wanted:
        msg = f"config.json asks for {wanted} weights, the files hold {held}"
        raise ValueError(msg)


def _read_tensors(file: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        msg = f"{file} is missing or damaged: {error}; copy the model folder again"
        raise CheckpointError(msg) from error


def _below(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)}


def _fill(module: nn.Module, state: dict[str, torch.Tensor], file: Path) -> None:
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        msg = f"{file} does not fit model.json: {error}"
        raise CheckpointError(msg) from error
