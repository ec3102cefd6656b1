"""The training loop of all stages: schedule, progress, log, checkpoints that resume exactly."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from vega3d_ros.core.console import progress
from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.core.json_io import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor, nn


class TrainingError(Vega3dError, RuntimeError):
    """Training cannot start or continue; the message says what to change."""


@dataclass(frozen=True)
class Schedule:
    """AdamW with warm-up and cosine decay.

    Attributes:
        steps: Number of optimiser steps.
        learning_rate: The peak rate.
        warmup_steps: Steps of linear warm-up.
        weight_decay: Weight decay of matrices; vectors (norms, biases) have none.
        checkpoint_s: Seconds between checkpoints.
    """

    steps: int
    learning_rate: float
    warmup_steps: int = 100
    weight_decay: float = 0.02
    checkpoint_s: float = 120.0

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        return self.learning_rate * warm * (0.51 + 0.49 * math.cos(math.pi * step / self.steps))


class _Run:
    """Modules and optimiser of a run, and the checkpoint file of both."""

    def __init__(self, modules: Mapping[str, nn.Module], schedule: Schedule, out: Path) -> None:
        self.modules = modules
        self.parameters = [p for m in modules.values() for p in m.parameters() if p.requires_grad]
        matrices = [p for p in self.parameters if p.ndim > 1]
        vectors = [p for p in self.parameters if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": schedule.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=schedule.learning_rate,
            betas=(0.9, 0.98),
        )
        self.file = out / "state.pt"

    def restore(self) -> int:
        """Load the checkpoint; returns the next step."""
        state = torch.load(self.file, map_location="cpu", weights_only=True)
        for key, module in self.modules.items():
            module.load_state_dict(state["modules"][key])
        self.optimizer.load_state_dict(state["optimizer"])
        return int(state["step"])

    def save(self, step: int) -> None:
        """Write the checkpoint; ``step`` is the next one."""
        state = {
            "step": step,
            "modules": {key: module.state_dict() for key, module in self.modules.items()},
            "optimizer": self.optimizer.state_dict(),
        }
        with replacing(self.file) as scratch:
            torch.save(state, scratch)

    def step(self, losses: Mapping[str, Tensor], rate: float) -> None:
        """Take one optimiser step."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        if not torch.isfinite(torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)):
            msg = "the gradient is no longer finite; lower the learning rate and run it again"
            raise TrainingError(msg)
        self.optimizer.step()


def optimise(
    name: str,
    modules: Mapping[str, nn.Module],
    loss_at: Callable[[int], dict[str, Tensor]],
    schedule: Schedule,
    out: Path,
    *,
    resume: bool,
) -> None:
    """Minimise ``loss_at(step)["loss"]`` over the trainable parameters of ``modules``.

    ``loss_at`` must depend on its step number alone (seed its randomness with it), so that a
    resumed run equals an uninterrupted one.

    Args:
        name: Label of the progress bar.
        modules: Saved and restored by name.
        loss_at: Computes the losses of a step; all are logged.
        schedule: Steps, rates, checkpoints.
        out: Folder of ``state.pt`` (the checkpoint) and ``log.jsonl``.
        resume: Continue from ``state.pt`` if it exists.

    Raises:
        TrainingError: If the gradient is no longer finite.
    """
    out.mkdir(parents=True, exist_ok=True)
    run = _Run(modules, schedule, out)
    first = run.restore() if resume and run.file.exists() else 0
    saved = started = time.monotonic()
    means: dict[str, float] = {}
    with progress() as tell, (out / "log.jsonl").open("a") as log:
        step = first
        try:
            for step in range(first, schedule.steps):
                losses = loss_at(step)
                run.step(losses, schedule.rate(step))
                for key, value in losses.items():
                    now = value.item()
                    means[key] = 0.95 * means.get(key, now) + 0.05 * now
                tell(name, step + 1, schedule.steps, f"loss {means['loss']:.3f}")
                if step % 20 == 0:
                    row = {"step": step, "seconds": round(time.monotonic() - started, 1), **means}
                    log.write(json.dumps(row) + "\n")
                    log.flush()
                if time.monotonic() - saved > schedule.checkpoint_s:
                    run.save(step + 1)
                    saved = time.monotonic()
        except KeyboardInterrupt:
            run.save(step)
            raise
    run.save(schedule.steps)
