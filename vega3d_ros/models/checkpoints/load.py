"""A model folder, or an official checkpoint, to the modules in it.

A folder holds ``model.json`` (versions, types and settings), ``prior/`` (as its family writes it),
``mllm/`` (Qwen2.5-VL and its tokenizer), ``fusion.safetensors`` (projector, gate, position
encoding) and, where the model has them, ``grounding.safetensors`` and ``objects.safetensors``.
Weights are safetensors; nothing in a folder is ever executed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from vega3d_ros.core.settings import SettingsError
from vega3d_ros.models.checkpoints.auto_model import AUTO, automatic
from vega3d_ros.models.checkpoints.device_memory import require
from vega3d_ros.models.checkpoints.hub import hub_folder, is_hub_id
from vega3d_ros.models.checkpoints.memory_estimate import UNKNOWN, estimate
from vega3d_ros.models.checkpoints.model_config import (
    TOKEN_HEAD,
    ModelConfig,
    ModelConfigError,
    read_model_config,
)
from vega3d_ros.models.checkpoints.model_names import installed_names, why_missing
from vega3d_ros.models.checkpoints.model_paths import places
from vega3d_ros.models.checkpoints.modules import CheckpointError, Modules
from vega3d_ros.models.checkpoints.official.layout import OfficialError, is_official
from vega3d_ros.models.checkpoints.official.load import load_official
from vega3d_ros.models.checkpoints.save import FUSION_FILE, GROUNDER_FILE, OBJECTS_FILE
from vega3d_ros.models.fusion.fusion_module import FusionModule, PositionEncoding
from vega3d_ros.models.fusion.gates import FusionError
from vega3d_ros.models.grounders.token_head.head import GroundingHead
from vega3d_ros.models.memory import MemoryEstimate, Workload
from vega3d_ros.models.mllms.qwen2_5_vl.blind import BlindLanguage
from vega3d_ros.models.mllms.qwen2_5_vl.language import SceneLanguage
from vega3d_ros.models.mllms.qwen2_5_vl.object_tokens import ObjectTokens
from vega3d_ros.models.mllms.qwen2_5_vl.weights import (
    WeightsError,
    load_language_model,
    load_tokenizer,
)
from vega3d_ros.models.priors import PRIORS
from vega3d_ros.models.priors.base import PriorError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vega3d_ros.models.fusion.fusion_module import FusionConfig
    from vega3d_ros.models.priors.base import Prior

Network = TypeVar("Network", bound=nn.Module)

# Format 1: the file of projector, gate and positions, and how its keys begin now.
_OLD_FUSION_FILE = "bridge.safetensors"
_OLD_KEYS = {"bridge.projector.": "projector.", "bridge.fusion.": "gate."}


def locate(
    name: str | Path,
    *,
    revision: str | None = None,
    download: bool = False,
    device: str = "auto",
) -> Path:
    """The folder of a path, of a shipped or downloaded model's name, or of an id on the hub.

    Args:
        name: The path, name or id; "auto" for what ``auto_model.automatic`` chooses.
        revision: Of a model on the hub: branch, tag or commit.
        download: Whether a model on the hub may be downloaded.
        device: Where it will run; what "auto" means depends on it.

    Raises:
        CheckpointError: If there is no such folder.
    """
    name = automatic(device)[0] if name == AUTO else name
    for folder in places(name):
        if (folder / "model.json").is_file() or is_official(folder):
            return folder
    if is_hub_id(name) and not Path(name).exists():
        return hub_folder(str(name), revision=revision, download=download)
    msg = why_missing(str(name)) or (
        f"model {str(name)!r} is no model; give a model folder, or one of: "
        f"{', '.join(installed_names())}"
    )
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
        prior: Settings of the prior instead of the model's own, as in its family's ``Config``.
        reference: Run the prior by the official protocol, to compare with.
        inference_only: Do not keep what is needed to save the model again.
        workload: What it must have memory for.
        progress: Told what is being loaded.

    Raises:
        DeviceError: If it does not fit the device; nothing was loaded then.
        CheckpointError: If something is missing, damaged, of another kind, or newer than this.
    """
    folder = locate(name, device=device)
    check_memory(folder, device, dtype, workload, prior)
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
        config = read_model_config(folder / "model.json", prior)
    except ModelConfigError as error:
        raise CheckpointError(str(error)) from error
    if config.language is None or config.fusion is None:
        msg = (
            f"model {folder} has no networks of this package, only a grounder; load it with "
            "Perceiver.from_pretrained"
        )
        raise CheckpointError(msg)
    loaded = None
    try:
        if config.prior is not None:
            progress("prior")
            loaded = PRIORS.get(config.prior.type).from_folder(
                folder / "prior", config.prior, dtype=dtype, reference=reference
            )
            if inference_only:
                loaded.forget_sources()
        progress("language model")
        kind = BlindLanguage if config.settings.get("blind") else SceneLanguage
        language = kind(
            load_language_model(folder / "mllm", dtype),
            load_tokenizer(folder / "mllm"),
            config.language.prompt,
            config.language.image_size,
        )
    except (PriorError, WeightsError) as error:
        msg = f"model {folder}: {error}"
        raise CheckpointError(msg) from error
    modules = _with_heads(folder, config, config.fusion, loaded, language, dtype)
    _require_finite(modules, folder)
    progress(f"weights to {device}")
    return modules.to(device).eval()


def _with_heads(
    folder: Path,
    config: ModelConfig,
    fusion: FusionConfig,
    prior: Prior | None,
    language: SceneLanguage,
    dtype: torch.dtype,
) -> Modules:
    """The whole model, with what the package itself adds to prior and language model."""
    dim, settings = fusion.dim, config.settings
    if prior is not None and prior.dim != fusion.prior_dim:
        msg = (
            f"{folder / 'model.json'}: fusion.prior_dim is {fusion.prior_dim}, but the "
            f"prior's tokens have {prior.dim} channels; this gate was not trained on this prior"
        )
        raise CheckpointError(msg)
    state, file = _read_fusion(folder, config.format)
    positions = {k: state.pop(k) for k in list(state) if k.startswith("positions.")}
    positions = {key.removeprefix("positions."): value for key, value in positions.items()}
    modules = Modules(
        prior,
        language,
        _filled(lambda: FusionModule(fusion), state, file).to(dtype),
        _filled(lambda: PositionEncoding(dim), positions, file).to(dtype),
        None,
        None,
        settings,
    )
    if config.grounder is not None and config.grounder.type == TOKEN_HEAD:
        file = folder / GROUNDER_FILE
        head = _filled(lambda: GroundingHead(dim), _read_tensors(file), file)
        modules.grounding = head.to(dtype)
    # A model that names no colours reads no objects, and one that is shown nothing neither.
    if settings.get("colors") is not None and not settings.get("blind"):
        file = folder / OBJECTS_FILE
        modules.objects = _filled(
            lambda: ObjectTokens(dim, len(settings["colors"])), _read_tensors(file), file
        ).to(dtype)
    return modules


def _read_fusion(folder: Path, version: int) -> tuple[dict[str, torch.Tensor], Path]:
    """Tensors of projector, gate and positions by their names of today, and their file."""
    if version > 1:
        return _read_tensors(folder / FUSION_FILE), folder / FUSION_FILE
    old, state = folder / _OLD_FUSION_FILE, {}
    for key, value in _read_tensors(old).items():
        prefix = next((prefix for prefix in _OLD_KEYS if key.startswith(prefix)), "")
        state[_OLD_KEYS.get(prefix, "") + key.removeprefix(prefix)] = value
    return state, old


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
    except (OfficialError, PriorError, FusionError, SettingsError) as error:
        raise CheckpointError(str(error)) from error
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{folder / 'config.json'} does not describe an official checkpoint: {error!r}"
        raise CheckpointError(msg) from error
    if inference_only:
        parts.prior.forget_sources()
    return Modules(parts.prior, parts.language, parts.fusion, None, None, None, parts.settings)


def check_memory(
    folder: Path,
    device: str,
    dtype: torch.dtype,
    workload: Workload | None,
    prior: Mapping[str, Any] | None,
) -> None:
    """Refuse what does not fit the device, or the host, through which the weights go there.

    Raises:
        DeviceError: With the numbers.
    """
    try:
        needed = estimate(folder, dtype, workload, prior)
    except UNKNOWN:
        return  # something is missing or damaged; reading it says what
    require(needed, device, f"model {folder.name}")
    if torch.device(device).type != "cpu" and "language model" in needed.parts:
        weights = {"language model": needed.parts["language model"]}
        require(MemoryEstimate(weights), "cpu", f"loading model {folder.name}")


def _read_tensors(file: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        msg = f"{file} is missing or damaged: {error}; copy the model folder again"
        raise CheckpointError(msg) from error


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
