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
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from vega3d_ros import __version__
from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.models.checkpoints.device_memory import require
from vega3d_ros.models.checkpoints.memory_estimate import (
    UNKNOWN,
    MemoryEstimate,
    Workload,
    estimate,
)
from vega3d_ros.models.checkpoints.model_config import (
    FORMAT,
    ModelConfig,
    ModelConfigError,
    read_model_config,
)
from vega3d_ros.models.checkpoints.model_paths import places, shipped
from vega3d_ros.models.checkpoints.official.layout import OfficialError, is_official
from vega3d_ros.models.checkpoints.official.load import load_official
from vega3d_ros.models.fusion.fusion_module import FusionModule, PositionEncoding
from vega3d_ros.models.fusion.gates import FusionError
from vega3d_ros.models.grounders.token_head.head import GroundingHead
from vega3d_ros.models.mllms.qwen2_5_vl.language import SceneLanguage
from vega3d_ros.models.mllms.qwen2_5_vl.object_tokens import ObjectTokens
from vega3d_ros.models.mllms.qwen2_5_vl.weights import (
    WeightsError,
    load_language_model,
    load_tokenizer,
)
from vega3d_ros.models.priors.base import PriorError
from vega3d_ros.models.priors.wan.prior import WanPrior

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Network = TypeVar("Network", bound=nn.Module)
_OBJECTS_FILE = "objects.safetensors"


class CheckpointError(Vega3dError, ValueError):
    """A model folder that cannot be used; the message names the file and the remedy."""


@dataclass(eq=False)
class Modules:
    """What a model is made of.

    Attributes:
        prior: The frozen generative model, or None for a model without one.
        language: Vision tower, language model, tokenizer and prompt.
        bridge: Projector and gate.
        positions: Position encoding of visual tokens; None in an official checkpoint.
        grounding: Token head; None in an official checkpoint, which answers questions only.
        objects: Tells the language model what was found, or None.
        settings: Everything else of ``model.json``: ``labels`` (the default queries), ``colors``
            (those with a name), thresholds and a ``card`` for people.
    """

    prior: WanPrior | None
    language: SceneLanguage
    bridge: FusionModule
    positions: PositionEncoding | None
    grounding: GroundingHead | None
    objects: ObjectTokens | None
    settings: dict[str, Any]

    def to(self, device: str) -> Modules:
        """Move all weights; returns itself."""
        for module in self.networks():
            module.to(device)
        return self

    def eval(self) -> Modules:
        """Switch all modules to inference; returns itself."""
        for module in self.networks():
            module.eval().requires_grad_(requires_grad=False)
        return self

    def train(self) -> Modules:
        """Switch all modules but the prior to training; returns itself."""
        for module in self.networks():
            if module is not self.prior:
                module.train().requires_grad_(requires_grad=True)
        return self

    def networks(self) -> list[nn.Module]:
        """All that has weights."""
        parts = (
            self.prior,
            self.language.model,
            self.bridge,
            self.positions,
            self.grounding,
            self.objects,
        )
        return [part for part in parts if part is not None]


def save_modules(modules: Modules, folder: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write a model folder.

    Args:
        modules: The model.
        folder: Created where missing.
        dtype: Of the weights on disk.

    Raises:
        CheckpointError: If it is an official checkpoint.
    """
    if modules.positions is None or modules.grounding is None:
        msg = "an official checkpoint is read but not written; copy its folder instead"
        raise CheckpointError(msg)
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
    """The folder of a path, or of the name of a shipped or downloaded model.

    Raises:
        CheckpointError: If there is no such folder.
    """
    for folder in places(name):
        if (folder / "model.json").is_file() or is_official(folder):
            return folder
    names = sorted(p.name for p in shipped().iterdir()) if shipped().is_dir() else []
    what = "is no model" if Path(name).is_dir() else "is no folder"
    msg = f"model {str(name)!r} {what}; give a model folder, or one of: {', '.join(names) or '-'}"
    raise CheckpointError(msg)


def load_modules(
    name: str | Path,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    prior: Mapping[str, Any] | None = None,
    reference: bool = False,
    inference_only: bool = False,
    workload: Workload | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Modules:
    """Read a model folder, or an official checkpoint.

    Args:
        name: A shipped or downloaded model's name, or a folder.
        device: Where the weights go.
        dtype: Of the weights in memory.
        prior: Settings of the prior instead of the model's own, as in
            :class:`vega3d_ros.models.priors.base.PriorConfig`.
        reference: Run the prior by the official protocol, to compare with.
        inference_only: Do not keep what is needed to save the model again.
        workload: What it must have memory for.
        progress: Told what is being loaded.

    Raises:
        CapacityError: If it does not fit the device; nothing was loaded then.
        CheckpointError: If something is missing, damaged, of another kind, or newer than this.
    """
    folder = locate(name)
    _check_memory(folder, device, dtype, workload, prior)
    if not (folder / "model.json").is_file():
        modules = _load_official(
            folder,
            dtype,
            prior,
            reference=reference,
            inference_only=inference_only,
            progress=progress,
        )
        progress(f"weights to {device}")
        return modules.to(device).eval()
    try:
        description = read_model_config(folder / "model.json", prior)
    except ModelConfigError as error:
        raise CheckpointError(str(error)) from error
    tower = None
    try:
        if description.prior is not None:
            progress("prior")
            tower = WanPrior.from_pretrained(
                folder / "prior", description.prior, dtype=dtype, reference=reference
            )
            if inference_only:
                tower.forget_sources()
        progress("language model")
        language = SceneLanguage(
            load_language_model(folder / "mllm", dtype),
            load_tokenizer(folder / "mllm"),
            description.prompt,
            description.image_size,
        )
    except (PriorError, WeightsError) as error:
        msg = f"model {folder}: {error}"
        raise CheckpointError(msg) from error
    modules = _with_heads(folder, description, tower, language, dtype)
    _require_finite(modules, folder)
    progress(f"weights to {device}")
    return modules.to(device).eval()


def _with_heads(
    folder: Path,
    description: ModelConfig,
    tower: WanPrior | None,
    language: SceneLanguage,
    dtype: torch.dtype,
) -> Modules:
    """The whole model, with what the package itself adds to prior and language model."""
    dim, settings = description.bridge.dim, description.settings
    file = folder / "bridge.safetensors"
    state = _read_tensors(file)
    bridge = _filled(lambda: FusionModule(description.bridge), _below(state, "bridge."), file)
    positions = _filled(lambda: PositionEncoding(dim), _below(state, "positions."), file)
    file = folder / "grounding.safetensors"
    grounding = _filled(lambda: GroundingHead(dim), _read_tensors(file), file)
    objects = None
    if settings.get("colors") is not None:  # a model that names none is not told of objects
        file = folder / _OBJECTS_FILE
        objects = _filled(
            lambda: ObjectTokens(dim, len(settings["colors"])), _read_tensors(file), file
        ).to(dtype)
    return Modules(
        tower,
        language,
        bridge.to(dtype),
        positions.to(dtype),
        grounding.to(dtype),
        objects,
        settings,
    )


def _load_official(
    folder: Path,
    dtype: torch.dtype,
    prior: Mapping[str, Any] | None,
    *,
    reference: bool,
    inference_only: bool,
    progress: Callable[[str], None],
) -> Modules:
    progress("official checkpoint")
    try:
        parts = load_official(folder, dtype=dtype, prior=prior, reference=reference)
    except (OfficialError, PriorError, FusionError) as error:
        raise CheckpointError(str(error)) from error
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{folder / 'config.json'} does not describe an official checkpoint: {error!r}"
        raise CheckpointError(msg) from error
    if inference_only:
        parts.prior.forget_sources()
    return Modules(parts.prior, parts.language, parts.bridge, None, None, None, parts.settings)


def _check_memory(
    folder: Path,
    device: str,
    dtype: torch.dtype,
    workload: Workload | None,
    prior: Mapping[str, Any] | None,
) -> None:
    """Refuse what does not fit the device, or the host, through which the weights go there."""
    try:
        footprint = estimate(folder, dtype, workload, prior)
    except UNKNOWN:
        return  # something is missing or damaged; reading it says what
    require(footprint, device, f"model {folder.name}")
    if torch.device(device).type != "cpu":
        weights = {"language model": footprint.parts["language model"]}
        require(MemoryEstimate(weights), "cpu", f"loading model {folder.name}")


def _read_tensors(file: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        msg = f"{file} is missing or damaged: {error}; copy the model folder again"
        raise CheckpointError(msg) from error


def _below(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)}


def _filled(make: Callable[[], Network], state: dict[str, torch.Tensor], file: Path) -> Network:
    """A network with its weights; it takes no memory unless they fit it."""
    try:
        with torch.device("meta"):
            wanted = {name: value.shape for name, value in make().state_dict().items()}
    except (RuntimeError, ValueError) as error:
        msg = f"{file.with_name('model.json')} does not describe a model of this package: {error}"
        raise CheckpointError(msg) from error
    found = {name: value.shape for name, value in state.items()}
    if found != wanted:
        name = min(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k))
        have, want = (list(s[name]) if name in s else "missing" for s in (found, wanted))
        msg = f"{file} does not fit model.json: {name} is {have} there, {want} here"
        raise CheckpointError(msg)
    network = make()
    network.load_state_dict(state)
    return network


def _require_finite(modules: Modules, folder: Path) -> None:
    """Refuse weights that would make every result NaN."""
    for network in modules.networks():
        for name, value in network.named_parameters():
            if not torch.isfinite(value).all():
                part = type(network).__name__
                msg = f"{folder} holds NaN or infinity ({name} of {part}); copy it again"
                raise CheckpointError(msg)
