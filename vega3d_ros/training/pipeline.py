"""From the runs of the first two stages to a model folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file

from vega3d_ros.models.checkpoints.load import load_modules
from vega3d_ros.models.checkpoints.save import save_modules
from vega3d_ros.models.priors import load_prior
from vega3d_ros.simulation.dataset import ClipDataset
from vega3d_ros.training.calibrate import calibrate
from vega3d_ros.training.detection_cache import Findings, find
from vega3d_ros.training.loop import TrainingError
from vega3d_ros.training.nano import assemble, new_language
from vega3d_ros.training.token_cache import StoredTokens, store
from vega3d_ros.training.tokenizer import train_tokenizer
from vega3d_ros.training.train_fusion import train_fused
from vega3d_ros.training.train_language import LANGUAGE_FILE, load_language, train_language
from vega3d_ros.training.train_vision_tower import TOWER_FILE, read_labels

if TYPE_CHECKING:
    from pathlib import Path

    from vega3d_ros.models.checkpoints.modules import Modules
    from vega3d_ros.models.priors.base import Prior
    from vega3d_ros.training.train_fusion import FusedTraining
    from vega3d_ros.training.train_language import LanguageTraining

# The last clips of the training split choose the threshold; nothing is trained on them.
CALIBRATION_CLIPS = 100
_RANDOM_PRIOR_SEED = 1


def build_language(settings: LanguageTraining, *, data: str, out: Path, resume: bool) -> None:
    """Train the language stage: tokenizer and language model, from the truth of clips alone.

    Args:
        settings: What to train.
        data: Simulated clips.
        out: Folder of the run.
        resume: Go on where an earlier run stopped.

    Raises:
        TrainingError: If there are too few clips.
    """
    truths = training_truths(ClipDataset(data, "train"))
    torch.manual_seed(settings.seed)
    texts = (
        text
        for truth in truths
        for text in (
            *(q["question"] for q in truth["questions"]),
            *(q["answer"] for q in truth["questions"]),
            *(r["text"] for r in truth["referring"]),
        )
    )
    language = new_language(train_tokenizer(texts))
    language.model.to(settings.device)
    train_language(language, truths, settings, out, resume=resume)


def training_truths(clips: ClipDataset) -> list[dict[str, Any]]:
    """The truths of all clips that may be trained on.

    Raises:
        TrainingError: If there are too few clips.
    """
    if len(clips) <= CALIBRATION_CLIPS:
        msg = f"there are {len(clips)} training clips; more than {CALIBRATION_CLIPS} are needed"
        raise TrainingError(msg)
    return clips.truths[:-CALIBRATION_CLIPS]


def build_fused(
    settings: FusedTraining,
    *,
    data: str,
    out: Path,
    semantic: Path,
    language: Path,
    prior: Path | None,
    random_prior: bool,
    stored: Path,
    resume: bool,
) -> Path:
    """Train the fused stage and write a model folder.

    Args:
        settings: What to train.
        data: Simulated clips.
        out: Folder of the run; the model goes to ``out/model``.
        semantic: Run of the semantic stage.
        language: Run of the language stage.
        prior: Run of the prior stage, or None for a model without prior.
        random_prior: Replace the prior's transformer by an untrained one.
        stored: Folder of stored tokens; runs on the same data may share it.
        resume: Go on where an earlier run stopped.

    Returns:
        The model folder.

    Raises:
        TrainingError: If an earlier stage is missing.
    """
    for stage, folder, file in (
        ("semantic", semantic, TOWER_FILE),
        ("language", language, LANGUAGE_FILE),
    ):
        if not (folder / file).exists():
            msg = f"{folder / file} is missing; run `vega3d train {stage} --out {folder}` first"
            raise TrainingError(msg)
    clips = ClipDataset(data, "train")
    torch.manual_seed(settings.seed)
    modules = assemble(
        *load_language(language),
        load_file(semantic / TOWER_FILE),
        _prior(prior, random_prior=random_prior),
        settings.method,
        read_labels(semantic),
    ).to(settings.device)
    tokens = _stored_tokens(modules, clips, settings, stored, random_prior=random_prior)
    train_fused(modules, clips, tokens, settings, out, resume=resume)
    if settings.lesson.blind:
        modules.settings["blind"] = True
        save_modules(modules.eval(), out / "model")
        return out / "model"
    return _finish(modules, clips, out)


def build_answers(
    settings: FusedTraining,
    *,
    data: str,
    out: Path,
    model: Path,
    random_prior: bool,
    stored: Path,
    resume: bool,
) -> Path:
    """Train on what the model of the fused stage finds, and write a model folder.

    Args:
        settings: What to train.
        data: Simulated clips.
        out: Folder of the run; the model goes to ``out/model``.
        model: Model folder of the fused stage.
        random_prior: Whether its prior is the untrained one (its tokens are stored apart).
        stored: Folder of stored tokens.
        resume: Go on where an earlier run stopped.

    Returns:
        The model folder.
    """
    clips = ClipDataset(data, "train")
    modules = load_modules(model, device=settings.device)
    tokens = _stored_tokens(modules, clips, settings, stored, random_prior=random_prior)
    out.mkdir(parents=True, exist_ok=True)
    file = out / "findings.npz"
    if not (resume and file.exists()):
        find(modules, clips, tokens, settings.lesson, settings.seed).save(file)
    modules.train()
    train_fused(modules, clips, tokens, settings, out, found=Findings.load(file), resume=resume)
    return _finish(modules, clips, out)


def _finish(modules: Modules, clips: ClipDataset, out: Path) -> Path:
    calibrate(modules.eval(), clips, range(len(clips) - CALIBRATION_CLIPS, len(clips)))
    save_modules(modules, out / "model")
    return out / "model"


def _prior(folder: Path | None, *, random_prior: bool) -> Prior | None:
    if folder is None:
        return None
    prior = load_prior(folder)
    return prior.randomised(_RANDOM_PRIOR_SEED) if random_prior else prior


def _stored_tokens(
    modules: Modules,
    clips: ClipDataset,
    settings: FusedTraining,
    folder: Path,
    *,
    random_prior: bool,
) -> StoredTokens:
    count, device = min(settings.clips, len(training_truths(clips))), settings.device
    folder.mkdir(parents=True, exist_ok=True)
    semantic = folder / "semantic.npy"
    language = modules.language
    store(lambda images, _: language.semantic_tokens(images), clips, count, semantic, device)
    if modules.prior is None:
        return StoredTokens(semantic, None, count)
    generative = folder / ("random_prior.npy" if random_prior else "prior.npy")
    store(modules.prior.encode, clips, count, generative, device)
    return StoredTokens(semantic, generative, count)
