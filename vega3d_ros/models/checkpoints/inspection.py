"""``vega3d inspect``: what a checkpoint is, what it lacks, and what is odd about it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from vega3d_ros.core.console import give, results, track
from vega3d_ros.models.checkpoints.detector_files import needed_by
from vega3d_ros.models.checkpoints.device_memory import (
    DeviceError,
    available,
    pick_device,
    pick_dtype,
    require,
)
from vega3d_ros.models.checkpoints.memory_estimate import UNKNOWN, estimate, fitting
from vega3d_ros.models.checkpoints.model_config import ModelConfigError, read_model_config
from vega3d_ros.models.checkpoints.model_paths import places
from vega3d_ros.models.checkpoints.modules import CheckpointError
from vega3d_ros.models.checkpoints.official.images import FRAMES
from vega3d_ros.models.checkpoints.official.layout import (
    FUSION,
    LANGUAGE,
    MERGER,
    TOWER,
    Layout,
    OfficialError,
    is_official,
    read_json,
    read_layout,
)
from vega3d_ros.models.checkpoints.official.load import prompt_file, refuse_unsupported
from vega3d_ros.models.checkpoints.official.wan import (
    PROMPT_FILES,
    VAE_FILE,
    described,
    find_prompt,
    find_vae,
    wan_folders,
)
from vega3d_ros.models.checkpoints.save import FUSION_FILE, GROUNDER_FILE
from vega3d_ros.models.memory import GIB
from vega3d_ros.models.priors import PRIORS
from vega3d_ros.models.priors.wan.files import block_index
from vega3d_ros.models.priors.wan.noise import noise_level
from vega3d_ros.models.priors.wan.official_layout import official_sizes

if TYPE_CHECKING:
    import argparse

    from torch import Tensor

# What a linear layer looks like that transformers has drawn anew: biases zero, weights N(0, 0.02).
_FRESH_STD = (0.019, 0.021)

_PICKLED = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")


@dataclass
class Report:
    """What was found out about a folder.

    Attributes:
        kind: What it is.
        facts: Names and values, in order.
        missing: What must be added before it can be used.
        warnings: What is odd, but does not keep it from being used.
        loadable: Whether it is a whole model, once nothing is missing.
    """

    kind: str
    facts: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    loadable: bool = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the command line of ``vega3d inspect``."""
    parser.description = (
        "Say what a checkpoint folder is, what is missing and what it needs. Nothing is run or "
        "downloaded. Exits with 1 where something is missing."
    )
    parser.add_argument(
        "folder",
        type=Path,
        help="an official checkpoint, a model, Wan 2.1, or a name",
    )
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1, ...")
    parser.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="type of the weights in memory; auto (default): by device",
    )
    parser.add_argument(
        "--frames", type=int, default=FRAMES, help="frames of a clip (%(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Print the report.

    Raises:
        DeviceError: If there is no such device.
        OfficialError: If the folder is damaged, or of no known kind.
    """
    folder = next((place for place in places(args.folder) if place.is_dir()), args.folder)
    report = inspect_folder(folder)
    if report.loadable:
        add_memory(report, folder, args.device, args.dtype, args.frames)
    give(asdict(report))
    console = results()
    table = Table(title=report.kind, show_header=False, title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in report.facts.items():
        table.add_row(name, value)
    console.print(table)
    for word, lines in (("missing", report.missing), ("warning", report.warnings)):
        for line in lines:
            console.print(f"{word}: {line}", highlight=False, soft_wrap=True)
    if not report.missing:
        console.print("complete: it can be loaded")
    return 1 if report.missing else 0


def inspect_folder(folder: Path) -> Report:
    """Find out what a folder is.

    Raises:
        OfficialError: If it is damaged, or of no known kind.
    """
    if is_official(folder):
        report = _official(read_layout(folder))
    elif (folder / "model.json").is_file():
        report = _model(folder)
    elif find_vae([folder]) is not None or (folder / "transformer").is_dir():
        report = _wan(folder)
    else:
        msg = (
            f"{folder} is no official checkpoint (config.json with generative_* fields), no model "
            "of this package (model.json) and no Wan 2.1"
        )
        raise OfficialError(msg)
    report.warnings += [
        f"{file.relative_to(folder)} is pickled and is never read"
        for file in sorted(folder.rglob("*"))
        if file.suffix in _PICKLED and file.name not in (VAE_FILE, *PROMPT_FILES)
    ]
    return report


def add_memory(report: Report, folder: Path, device: str, dtype: str, frames: int) -> None:
    """Say what a model will take of a device's memory, and warn where that is not free.

    Args:
        report: Gets it.
        folder: The model.
        device: Of :func:`vega3d_ros.models.checkpoints.device_memory.pick_device`.
        dtype: "auto", "float32" or "bfloat16".
        frames: Of a clip.

    Raises:
        DeviceError: If there is no such device.
    """
    device = pick_device(device)
    kind = pick_dtype(dtype, device)
    workload = fitting(folder, device, kind, frames)
    try:
        needed = estimate(folder, kind, workload)
    except UNKNOWN as error:
        report.warnings.append(f"what it needs of memory cannot be told: {error}")
        return
    free, total = available(device)
    report.facts |= {
        "weights in memory": str(kind).removeprefix("torch."),
        "clips": f"{frames} frames, {workload.frames_at_once} encoded at once",
        "memory needed": str(needed),
        f"memory of {device}": f"{free / GIB:.2f} of {total / GIB:.2f} GiB free",
    }
    try:
        require(needed, device, "it")
    except DeviceError as error:
        report.warnings.append(str(error))


def _official(layout: Layout) -> Report:
    report = Report("VEGA-3D spatial reasoning, an official checkpoint")
    refuse_unsupported(layout)
    config = layout.prior_config()
    folders = wan_folders(layout)
    sizes = official_sizes(layout.below(TOWER), described(folders))
    block = block_index(config.block, sizes["num_layers"])
    level = noise_level(config.timestep, config.shift)
    language = layout.config
    named = layout.setting("feat_block_idx", None) is not None
    report.facts = {
        "files": f"{len(set(layout.files.values()))} safetensors, {len(layout.shapes)} tensors",
        "language model": _language_facts(language),
        "prior": _tower_facts(sizes),
        "hooked block": f"{block} ({'from' if named else 'the last, as it is not set in'} "
        "config.json)",
        "noise": f"asked {config.timestep}, told {level.timestep}, sigma {level.sigma:.4f}",
        "working size": f"{config.width}x{config.height}, cut to cover it (align: official)",
        "fusion": f"{language.get('generative_fusion_method', 'token_gated_residual')}, merger "
        f"{language.get('generative_merger_type', 'mlp')}",
        "answers": "questions; no objects, as it has no grounding head",
    }
    vae, prompt = find_vae(folders), prompt_file(layout)
    report.facts |= _found(vae, prompt)
    if vae is None:
        report.missing.append(f"Wan2.1_VAE.pth (or a Diffusers vae/) in {layout.folder / 'wan'}")
    if prompt is None:
        report.missing.append(
            f"wan_prompt_embedding.pt in {layout.folder / 'wan'} (or run `vega3d prompt`)"
        )
    if not any((layout.folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        report.missing.append("the tokenizer: nothing can be asked in words without it")
    if not (layout.folder / "preprocessor_config.json").is_file():
        report.warnings.append("no preprocessor_config.json; Qwen2.5-VL's own values are taken")
    known = (TOWER, MERGER, FUSION, *LANGUAGE)
    unknown = [key for key in layout.shapes if not key.startswith(known)]
    if unknown:
        report.warnings.append(f"{len(unknown)} unknown tensors, {unknown[0]} first; not used")
    if _looks_fresh(layout):
        report.warnings.append(
            "the prior looks re-initialised: all biases of its linear layers are 0 and its "
            "weights have a spread near 0.02, as transformers draws them. It is not Wan 2.1"
        )
    return report


def _found(vae: Path | None, prompt: Path | None) -> dict[str, str]:
    named = {"autoencoder": vae, "prompt embedding": prompt}
    return {k: "missing" if path is None else str(path.resolve()) for k, path in named.items()}


def _language_facts(config: Any) -> str:
    text = config.get("text_config", config)
    return (
        f"{config.get('model_type', '?')}, width {text.get('hidden_size', '?')}, "
        f"{text.get('num_hidden_layers', '?')} layers"
    )


def _tower_facts(sizes: dict[str, Any]) -> str:
    return (
        f"Wan 2.1 text-to-video, width {sizes['dim']}, {sizes['num_heads']} heads, "
        f"{sizes['num_layers']} blocks"
    )


def _gib(count: float) -> str:
    return f"{count / GIB:.1f} GiB" if count > GIB else f"{count / 2**20:.1f} MiB"


def _looks_fresh(layout: Layout) -> bool:
    """Whether a tower's linear layers are as transformers initialises them.

    The official training code draws them anew, see ``docs/official.md``.
    """
    shapes = layout.below(TOWER)
    linear = [
        key.removesuffix(".weight")
        for key, shape in shapes.items()
        if key.endswith(".weight")
        and len(shape) == 2
        and f"{key.removesuffix('weight')}bias" in shapes
    ]
    biases = layout.tensors(TOWER, {f"{name}.bias" for name in linear}.__contains__)
    if any(bool(bias.any()) for bias in biases.values()):
        return False
    for name in track(linear, "reading the prior's weights", len(linear)):
        found: dict[str, Tensor] = layout.tensors(TOWER, f"{name}.weight".__eq__)
        spread = float(found[f"{name}.weight"].float().std())
        if not _FRESH_STD[0] < spread < _FRESH_STD[1]:
            return False
    return bool(linear)


def _model(folder: Path) -> Report:
    report = Report("a model of this package")
    description = read_json(folder / "model.json")
    prior = description.get("prior")
    old = description.get("format") == 1
    if not old and description.get("language") is None:
        return _without_networks(folder, description)
    fusion = description.get("bridge" if old else "fusion", {})
    report.facts = {
        "written by": f"vega3d_ros {description.get('package', '?')}",
        "prior": "none" if prior is None else json.dumps(prior),
        "fusion": f"{fusion.get('method', '?')}, {fusion.get('projector', '?')}",
        "language model": _language_facts(read_json(folder / "mllm" / "config.json")),
        "looks for": ", ".join(description.get("labels", [])),
        "card": str(description.get("card", "")),
    }
    files = ["mllm/config.json", "bridge.safetensors" if old else FUSION_FILE]
    if old or description.get("grounder") is not None:
        files.append(GROUNDER_FILE)
    if prior is not None:
        family = PRIORS.get(prior.get("type", "wan"))  # format 1 names none
        files += [f"prior/{name}" for name in family.files]
    report.missing = [name for name in files if not (folder / name).is_file()]
    size = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
    report.facts["weights on disk"] = _gib(size)
    return report


def _without_networks(folder: Path, description: Any) -> Report:
    """Of a model of a detector and geometry alone."""
    report = Report("a model of this package, without networks of its own")
    try:
        config = read_model_config(folder / "model.json")
    except ModelConfigError as error:
        raise OfficialError(str(error)) from error
    report.facts = {
        "written by": f"vega3d_ros {description.get('package', '?')}",
        "answers": "what can be measured; there is no language model",
        "card": str(description.get("card", "")),
    }
    if config.networks is not None:
        report.facts["answers"] = f"what can be measured, and other questions by {config.networks}"
    if config.grounder is not None:
        report.facts["grounder"] = config.grounder.type
    for what, find in needed_by(config, folder).items():
        try:
            found = find()
        except CheckpointError as error:
            report.missing.append(str(error))
            report.loadable = False
            continue
        if found is not None:
            report.facts[what] = str(found)
    return report


def _wan(folder: Path) -> Report:
    diffusers = (folder / "transformer").is_dir()
    layout = "Diffusers" if diffusers else "original"
    report = Report(f"Wan 2.1, {layout} layout", loadable=False)
    vae, prompt = find_vae([folder]), find_prompt([folder])
    report.facts = _found(vae, prompt)
    weights = folder / "transformer" if diffusers else folder
    if not any(weights.glob("diffusion_pytorch_model*.safetensors")):
        report.missing.append(
            f"diffusion_pytorch_model*.safetensors in {weights} (needed to train on top of it; an "
            "official checkpoint brings its own)"
        )
    if vae is None:
        report.missing.append("the autoencoder: Wan2.1_VAE.pth or vae/")
    if prompt is None:
        report.missing.append("wan_prompt_embedding.pt (or run `vega3d prompt`)")
    return report
