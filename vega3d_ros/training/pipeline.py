"""From the runs of the first two stages to a model folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file

from vega3d_ros.checkpoint import Modules, save_modules
from vega3d_ros.prior.wan import WanPrior, randomised
from vega3d_ros.simulation.dataset import ClipDataset
from vega3d_ros.training.calibrate import calibrate
from vega3d_ros.training.fused import train_fused
from vega3d_ros.training.loop import TrainingError
from vega3d_ros.training.nano import assemble
from vega3d_ros.training.semantic import TOWER_FILE, read_labels
from vega3d_ros.training.tokenizer import train_tokenizer
from vega3d_ros.training.tokens import StoredTokens, store

if TYPE_CHECKING:
    from pathlib import Path

    from vega3d_ros.training.fused import FusedTraining

# The last clips of the training split choose the threshold; nothing is trained on them.
CALIBRATION_CLIPS = 100
_RANDOM_PRIOR_SEED = 1


def build_fused(
    settings: FusedTraining,
    *,
    data: str,
    out: Path,
    semantic: Path,
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
        prior: Run of the prior stage, or None for a model without prior.
        random_prior: Replace the prior's transformer by an untrained one.
        stored: Folder of stored tokens; runs on the same data may share it.
        resume: Go on where an earlier run stopped.

    Returns:
        The model folder.

    Raises:
        TrainingError: If an earlier stage is missing.
    """
    tower_file = semantic / TOWER_FILE
    if not tower_file.exists():
        msg = f"{tower_file} is missing; run `vega3d train semantic --out {semantic}` to its end"
        raise TrainingError(msg)
    clips = ClipDataset(data, "train")
    count = min(settings.clips, len(clips) - CALIBRATION_CLIPS)
    if count < 1:
        msg = f"{data} has {len(clips)} training clips; more than {CALIBRATION_CLIPS} are needed"
        raise TrainingError(msg)
    torch.manual_seed(settings.seed)
    texts = (
        text
        for truth in clips.truths[:count]
        for text in (
            *(q["question"] for q in truth["questions"]),
            *(q["answer"] for q in truth["questions"]),
            *(r["text"] for r in truth["referring"]),
        )
    )
    modules = assemble(
        load_file(tower_file),
        train_tokenizer(texts),
        _prior(prior, random_prior=random_prior),
        settings.method,
        read_labels(semantic),
    ).to(settings.device)
    tokens = _stored_tokens(
        modules, clips, count, stored, settings.device, random_prior=random_prior
    )
    train_fused(modules, clips, tokens, settings, out, resume=resume)
    modules.eval()
    if settings.lesson.blind:
        modules.settings["blind"] = True
    else:
        calibrate(modules, clips, range(len(clips) - CALIBRATION_CLIPS, len(clips)))
    save_modules(modules, out / "model")
    return out / "model"


def _prior(folder: Path | None, *, random_prior: bool) -> WanPrior | None:
    if folder is None:
        return None
    prior = WanPrior.from_pretrained(folder)
    return randomised(prior, _RANDOM_PRIOR_SEED) if random_prior else prior


def _stored_tokens(
    modules: Modules,
    clips: ClipDataset,
    count: int,
    folder: Path,
    device: str,
    *,
    random_prior: bool,
) -> StoredTokens:
    folder.mkdir(parents=True, exist_ok=True)
    semantic = folder / "semantic.npy"
    language = modules.language
    store(lambda images, _: language.semantic_tokens(images), clips, count, semantic, device)
    if modules.prior is None:
        return StoredTokens(semantic, None)
    generative = folder / ("random_prior.npy" if random_prior else "prior.npy")
    store(modules.prior.encode, clips, count, generative, device)
    return StoredTokens(semantic, generative)
