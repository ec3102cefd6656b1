"""The stages that build on the runs of earlier ones, up to a model folder."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file

from vega3d_ros.models.checkpoints.load import load_modules
from vega3d_ros.models.checkpoints.save import save_modules
from vega3d_ros.models.priors import load_prior
from vega3d_ros.simulation.dataset import ClipDataset
from vega3d_ros.training.calibrate import calibrate
from vega3d_ros.training.detection_cache import StoredDetections, detect_objects
from vega3d_ros.training.loop import TrainingError
from vega3d_ros.training.nano import assemble, new_language
from vega3d_ros.training.token_cache import StoredTokens, store_tokens
from vega3d_ros.training.tokenizer import train_tokenizer
from vega3d_ros.training.train_fusion import train_fusion
from vega3d_ros.training.train_language import LANGUAGE_FILE, load_language, train_language
from vega3d_ros.training.train_vision_tower import TOWER_FILE, read_labels

if TYPE_CHECKING:
    from pathlib import Path

    from vega3d_ros.models.checkpoints.modules import Modules
    from vega3d_ros.models.priors.base import Prior
    from vega3d_ros.training.train_fusion import FusionTraining
    from vega3d_ros.training.train_language import LanguageTraining

_LOGGER = logging.getLogger(__name__)
# The last clips of the training split choose the thresholds; no stage trains on them.
_CALIBRATION_CLIPS, _CALIBRATION_SHARE = 100, 5
_RANDOM_PRIOR_SEED = 1


def run_language_stage(settings: LanguageTraining, *, data: str, out: Path, resume: bool) -> None:
    """Train tokenizer and language model on the truth of clips alone.

    Raises:
        TrainingError: If there is only one clip.
    """
    clips = ClipDataset(data, "train")
    truths = clips.truths[: _trained(clips)]
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


def _trained(clips: ClipDataset) -> int:
    """How many clips are trained on, the first; warns where the others are too few to choose by.

    Raises:
        TrainingError: If there is only one clip.
    """
    count = len(clips)
    kept = min(_CALIBRATION_CLIPS, max(1, count // _CALIBRATION_SHARE))
    remedy = "raise --count of `vega3d simulate clips`"
    if count <= kept:
        msg = f"there is one training clip; one more is needed to choose thresholds by: {remedy}"
        raise TrainingError(msg)
    if kept < _CALIBRATION_CLIPS:
        _LOGGER.warning(
            "of %d training clips the last %d choose the thresholds; with so few, thresholds and "
            "figures are noise: %s",
            count,
            kept,
            remedy,
        )
    return count - kept


def run_fusion_stage(
    settings: FusionTraining,
    *,
    data: str,
    out: Path,
    vision_tower: Path,
    language: Path,
    prior: Path | None,
    random_prior: bool,
    stored: Path,
    resume: bool,
) -> Path:
    """Train the fusion stage on the runs of earlier stages.

    Without ``prior`` the model has none; with ``random_prior`` its transformer is untrained. Runs
    on the same data may share the folder ``stored`` of tokens.

    Returns:
        The model folder, ``out/model``.

    Raises:
        TrainingError: If an earlier stage is missing, or there is only one clip.
    """
    for stage, folder, file in (
        ("semantic", vision_tower, TOWER_FILE),
        ("language", language, LANGUAGE_FILE),
    ):
        if not (folder / file).exists():
            msg = f"{folder / file} is missing; run `vega3d train {stage} --out {folder}` first"
            raise TrainingError(msg)
    clips = ClipDataset(data, "train")
    torch.manual_seed(settings.seed)
    modules = assemble(
        *load_language(language),
        load_file(vision_tower / TOWER_FILE),
        _prior(prior, random_prior=random_prior),
        settings.method,
        read_labels(vision_tower),
    ).to(settings.device)
    trained = _trained(clips)
    tokens = _stored_tokens(modules, clips, trained, settings, stored, random_prior=random_prior)
    train_fusion(modules, clips, tokens, settings, out, resume=resume)
    if settings.sampling.blind:
        modules.settings["blind"] = True
        save_modules(modules.eval(), out / "model")
        return out / "model"
    return _finish(modules, clips, trained, out)


def run_answer_stage(
    settings: FusionTraining,
    *,
    data: str,
    out: Path,
    model: Path,
    random_prior: bool,
    stored: Path,
    resume: bool,
) -> Path:
    """Train the fusion stage's ``model`` on its own detections; arguments as for that stage.

    Returns:
        The model folder, ``out/model``.

    Raises:
        TrainingError: If there is only one clip.
    """
    clips = ClipDataset(data, "train")
    modules = load_modules(model, device=settings.device)
    trained = _trained(clips)
    tokens = _stored_tokens(modules, clips, trained, settings, stored, random_prior=random_prior)
    out.mkdir(parents=True, exist_ok=True)
    file = out / "detections.npz"
    if not (resume and file.exists()):
        detect_objects(modules, clips, tokens, settings.sampling, settings.seed).save(file)
    modules.train()
    train_fusion(
        modules,
        clips,
        tokens,
        settings,
        out,
        detections=StoredDetections.load(file),
        resume=resume,
    )
    return _finish(modules, clips, trained, out)


def _finish(modules: Modules, clips: ClipDataset, trained: int, out: Path) -> Path:
    calibrate(modules.eval(), clips, range(trained, len(clips)))
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
    trained: int,
    settings: FusionTraining,
    folder: Path,
    *,
    random_prior: bool,
) -> StoredTokens:
    count, device = min(settings.clips, trained), settings.device
    folder.mkdir(parents=True, exist_ok=True)
    semantic, language = folder / "semantic.npy", modules.language
    store_tokens(
        lambda images, _: language.semantic_tokens(images), clips, count, semantic, device
    )
    if modules.prior is None:
        return StoredTokens(semantic, None, count)
    generative = folder / ("random_prior.npy" if random_prior else "prior.npy")
    store_tokens(modules.prior.encode, clips, count, generative, device)
    return StoredTokens(semantic, generative, count)
