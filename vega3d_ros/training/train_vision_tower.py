"""Trains the vision tower to tell from each visual token what object it shows, and where.

The Qwen2.5-VL vision tower is trained alone, frame by frame, through an auxiliary head that reads
label, colour and box off each token. It is then frozen, as in the official recipe.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VisionTransformerPretrainedModel,
)

from vega3d_ros.core.json_io import read_json, write_json
from vega3d_ros.core.token_grid import features
from vega3d_ros.models.grounders.token_head import box_coding
from vega3d_ros.models.grounders.token_head.losses import box_loss
from vega3d_ros.models.mllms.qwen2_5_vl.patches import patchify
from vega3d_ros.simulation.dataset import ClipDataset
from vega3d_ros.training.loop import Schedule, optimise
from vega3d_ros.training.nano import COLUMNS, ROWS, mllm_config
from vega3d_ros.training.object_records import COLOR_NAMES
from vega3d_ros.training.precision import mixed_precision
from vega3d_ros.training.samples import FrameTruth, frame_truth, image_tensor
from vega3d_ros.training.tokenizer import SPECIAL

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

TOWER_FILE = "tower.safetensors"
_LABELS_FILE = "labels.json"
# The token features that need no depth: ray and camera height.
_DEPTHLESS = [0, 1, 2, 3, 11, 12]


@dataclass(frozen=True)
class VisionTowerTraining:
    """Settings of the stage, explained in ``recipes/semantic.yaml``."""

    data: str
    batch: int = 16
    seed: int = 0
    device: str = "cpu"
    schedule: Schedule = field(default_factory=lambda: Schedule(5000, 1e-3))


class TokenReader(nn.Module):
    """The auxiliary head: label (or, last, none), colour and box of each token [N, dim]."""

    def __init__(self, dim: int, labels: int) -> None:
        super().__init__()
        self.labels = labels
        outputs = labels + 1 + len(COLOR_NAMES) + box_coding.OUTPUTS
        self.network = nn.Sequential(
            nn.Linear(dim + len(_DEPTHLESS), 384), nn.GELU(), nn.Linear(384, outputs)
        )

    def forward(self, tokens: Tensor, geometry: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens [N, dim] and features [N, 6] to label, colour and box outputs."""
        out = self.network(torch.cat([tokens, geometry], dim=-1)).float()
        label, color, box = out.split(
            [self.labels + 1, len(COLOR_NAMES), box_coding.OUTPUTS], dim=-1
        )
        return label, color, box


@dataclass(eq=False)
class DenseTargets:
    """Targets of the tokens of some frames, flattened; ``boxed`` lists the tokens with a box."""

    labels: list[int]
    colors: list[int]
    boxed: list[int]
    boxes: list[box_coding.Targets]

    @classmethod
    def of(
        cls, frames: list[FrameTruth], objects: list[list[dict[str, str]]], index: dict[str, int]
    ) -> DenseTargets:
        """The targets of frames; a label that is not in ``index`` counts as nothing."""
        targets = cls([], [], [], [])
        for truth, items in zip(frames, objects, strict=True):
            for (row, column), owner in np.ndenumerate(truth.owners):
                label = index.get(items[owner]["label"], len(index)) if owner >= 0 else len(index)
                if label < len(index):
                    box = box_coding.encode(truth.geometry, row, column, truth.boxes[owner])
                    if box is not None:
                        targets.boxed.append(len(targets.labels))
                        targets.boxes.append(box)
                targets.labels.append(label)
                color = items[owner]["color"] if owner >= 0 else None
                targets.colors.append(COLOR_NAMES.index(color) if color else -1)
        return targets


def box_tensors(targets: list[box_coding.Targets], device: str) -> tuple[Tensor, ...]:
    """Values [N, 7], heading, elongation and behind, each [N], for ``box_loss``."""
    return (
        torch.from_numpy(np.stack([t.values for t in targets])).to(device),
        torch.tensor([t.heading for t in targets], device=device),
        torch.tensor([t.elongation for t in targets], device=device),
        torch.tensor([t.behind for t in targets], device=device),
    )


def train_vision_tower(
    tower: Qwen2_5_VisionTransformerPretrainedModel,
    settings: VisionTowerTraining,
    out: Path,
    *,
    resume: bool,
) -> None:
    """Train the vision tower in place on all labels of the clips.

    Writes checkpoints, log, the tower's weights and the labels to ``out``.
    """
    clips = ClipDataset(settings.data, "train")
    device = settings.device
    labels = sorted({o["label"] for truth in clips.truths for o in truth["objects"]})
    index = {label: i for i, label in enumerate(labels)}
    torch.manual_seed(settings.seed)
    tower.to(device).train()
    reader = TokenReader(tower.config.out_hidden_size, len(index)).to(device)
    class_weight = torch.ones(len(index) + 1, device=device)
    class_weight[-1] = 0.3

    def loss_at(step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([settings.seed, step])
        images, frames, objects = [], [], []
        for number in rng.integers(len(clips), size=settings.batch):
            clip = clips[int(number)]
            t = int(rng.integers(len(clip.rgb)))
            images.append(clip.rgb[t])
            frames.append(
                frame_truth(clip.truth, t, clip.depth[t], clip.instance[t], ROWS, COLUMNS)
            )
            objects.append(clip.truth["objects"])
        targets = DenseTargets.of(frames, objects, index)
        geometry = torch.from_numpy(
            np.concatenate([features(f.geometry, None, (ROWS, COLUMNS)) for f in frames])
        )[:, _DEPTHLESS]
        pixels = image_tensor(np.stack(images), device)
        pixels = (pixels * float(rng.uniform(0.8, 1.25))).clamp(0, 1)
        patches, grid = patchify(pixels, tower.config)
        with mixed_precision(device):
            tokens = tower(patches, grid_thw=grid).pooler_output
            label, color, box = reader(tokens, geometry.to(device))
        wanted = torch.tensor(targets.labels, device=device)
        losses = {
            "label": functional.cross_entropy(label, wanted, class_weight),
            "colour": functional.cross_entropy(
                color, torch.tensor(targets.colors, device=device), ignore_index=-1
            ),
            "box": box_loss(box[targets.boxed], *box_tensors(targets.boxes, device)),
        }
        losses["loss"] = losses["label"] + 0.3 * losses["colour"].nan_to_num() + losses["box"]
        with torch.no_grad():
            shown = wanted < len(index)
            right = label[:, :-1].argmax(-1) == wanted
            losses["accuracy"] = right[shown].float().mean()
            range_error = box[targets.boxed, 2] - box_tensors(targets.boxes, device)[0][:, 2]
            losses["range_error"] = range_error.abs().median()
        return losses

    modules = {"tower": tower, "reader": reader}
    optimise("semantic", modules, loss_at, settings.schedule, out, resume=resume)
    tower.eval()
    save_file({k: v.cpu() for k, v in tower.state_dict().items()}, out / TOWER_FILE)
    write_json(out / _LABELS_FILE, labels)


def new_vision_tower(seed: int) -> Qwen2_5_VisionTransformerPretrainedModel:
    """Nano's vision tower with new weights."""
    torch.manual_seed(seed)
    config = mllm_config(len(SPECIAL), {name: i for i, name in enumerate(SPECIAL)}).vision_config
    # Plain attention trains fastest at this size on a CPU.
    config.attn_implementation = "eager"
    return Qwen2_5_VisionTransformerPretrainedModel(config)


def read_labels(out: Path) -> list[str]:
    """The labels of a finished run."""
    labels: list[str] = read_json(out / _LABELS_FILE)
    return labels
