"""Trains the language model to answer questions from object tokens alone.

Nothing is rendered. The true objects of a clip precede its questions as object tokens, turned,
mirrored, renamed and recoloured at random, so that only the tokens give the answers. In later
stages detected objects take their place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from vega3d_ros.core.geometry import SE3
from vega3d_ros.core.token_grid import level_pose
from vega3d_ros.models.mllms.qwen2_5_vl.object_tokens import ObjectTokens
from vega3d_ros.simulation.questions import make_questions
from vega3d_ros.simulation.rooms import LABELS
from vega3d_ros.simulation.visibility import visible_objects
from vega3d_ros.training.loop import Schedule, optimise
from vega3d_ros.training.nano import new_language
from vega3d_ros.training.object_records import COLOR_NAMES, ObjectRecords, in_frame
from vega3d_ros.training.packed_prompts import (
    ObjectRecallHead,
    PackedBatch,
    PackedPrompts,
    answer_losses,
    object_tokens,
    run_batch,
)
from vega3d_ros.training.precision import mixed_precision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from vega3d_ros.models.mllms.qwen2_5_vl.language import SceneLanguage

LANGUAGE_FILE = "language.safetensors"
OBJECTS_FILE = "objects.safetensors"
_FEWEST_OBJECTS = 3


@dataclass(frozen=True)
class LanguageTraining:
    """Settings of the stage, explained in ``recipes/language.yaml``."""

    batch: int = 8
    questions: int = 14
    renamed: float = 0.5
    recall_weight: float = 3.0
    seed: int = 0
    device: str = "cpu"
    schedule: Schedule = field(default_factory=lambda: Schedule(4500, 1e-3))


def augment_room(
    truth: Mapping[str, Any], renamed: float, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """The visible objects of a clip, some left out, in random order, in a random levelled camera.

    Half of the rooms are mirrored. Colours are always permuted, labels in a share ``renamed`` of
    the rooms.
    """
    pose = SE3.from_matrix(truth["poses"][rng.integers(len(truth["poses"]))])
    level_from_fixed = level_pose(pose).inverse()
    objects = [in_frame(item, level_from_fixed) for item in visible_objects(truth["objects"])]
    side = -1.0 if rng.random() < 0.5 else 1.0
    labels = {label: label for label in LABELS}
    if rng.random() < renamed:
        labels = dict(zip(LABELS, map(str, rng.permutation(LABELS)), strict=True))
    colors = dict(zip(COLOR_NAMES, map(str, rng.permutation(COLOR_NAMES)), strict=True))
    for item in objects:
        item["center"] = item["center"] * (1.0, side, 1.0)
        item["yaw"] *= side
        item["label"] = labels[item["label"]]
        item["color"] = colors.get(item["color"])
    kept = int(rng.integers(_FEWEST_OBJECTS, max(len(objects), _FEWEST_OBJECTS) + 1))
    return [objects[i] for i in rng.permutation(len(objects))[:kept]]


class LanguageObjective:
    """The losses of a step; trains language model, object tokens and auxiliary head."""

    def __init__(
        self,
        language: SceneLanguage,
        objects: ObjectTokens,
        recall: ObjectRecallHead,
        truths: Sequence[Mapping[str, Any]],
        settings: LanguageTraining,
    ) -> None:
        self.language, self.objects, self.recall = language, objects, recall
        self.truths, self.settings = truths, settings
        self._padding = int(language.model.config.text_config.pad_token_id)

    def __call__(self, step: int) -> dict[str, Tensor]:
        """Losses of a step; its number alone determines rooms and questions."""
        settings, language = self.settings, self.language
        rng = np.random.default_rng([settings.seed, step])
        rooms: list[ObjectRecords] = []
        prompts: list[PackedPrompts] = []
        while len(rooms) < settings.batch:
            truth = self.truths[int(rng.integers(len(self.truths)))]
            room = augment_room(truth, settings.renamed, rng)
            count = settings.questions
            packed = PackedPrompts()
            for q in make_questions(room, rng, (count, count)) if room else ():
                packed.add_question(language, q.question, q.answer, room)
            if packed.ids:
                rooms.append(ObjectRecords.of_truth(room))
                prompts.append(packed)
        batch = PackedBatch.of(prompts, [len(records) for records in rooms], 0, self._padding)
        device = settings.device
        with mixed_precision(device):
            colors = [
                functional.one_hot(torch.from_numpy(r.colors).to(device), len(COLOR_NAMES) + 1)
                for r in rooms
            ]
            tokens = object_tokens(self.objects, language, rooms, [c.float() for c in colors])
            context = run_batch(language, None, None, tokens, batch)
            losses = answer_losses(language, context.hidden, batch)
            losses["recall"] = self.recall(context.mentions, batch.mention_targets.to(device))
        losses["loss"] = losses["answer"] + settings.recall_weight * losses["recall"]
        return losses


def train_language(
    language: SceneLanguage,
    truths: Sequence[Mapping[str, Any]],
    settings: LanguageTraining,
    out: Path,
    *,
    resume: bool,
) -> None:
    """Train a new language model in place; write its weights and its tokenizer to ``out``."""
    torch.manual_seed(settings.seed)
    model: nn.Module = language.model.model.language_model
    dim = language.model.config.text_config.hidden_size
    objects = ObjectTokens(dim, len(COLOR_NAMES)).to(settings.device)
    recall = ObjectRecallHead(dim).to(settings.device)
    # Without visual tokens there is nothing to read a colour off.
    objects.color.requires_grad_(requires_grad=False)
    modules = {"language": model, "objects": objects, "recall": recall}
    objective = LanguageObjective(language, objects, recall, truths, settings)
    optimise("language", modules, objective, settings.schedule, out, resume=resume)
    for module, file in ((model, LANGUAGE_FILE), (objects, OBJECTS_FILE)):
        save_file({k: v.cpu() for k, v in module.state_dict().items()}, out / file)
    language.tokenizer.save_pretrained(out)


def load_language(out: Path) -> tuple[SceneLanguage, ObjectTokens]:
    """The language model and the object tokens of a finished run."""
    language = new_language(PreTrainedTokenizerFast.from_pretrained(out, local_files_only=True))
    model: nn.Module = language.model.model.language_model
    model.load_state_dict(load_file(out / LANGUAGE_FILE))
    dim = language.model.config.text_config.hidden_size
    objects = ObjectTokens(dim, len(COLOR_NAMES))
    objects.load_state_dict(load_file(out / OBJECTS_FILE))
    objects.color.requires_grad_(requires_grad=True)
    return language, objects
