"""A perceiver made ready for a robot: checked, loaded, accelerated, warmed up."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

import numpy as np

from vega3d_ros.core import threads as pool
from vega3d_ros.core.frames import Camera, Clip, Frame
from vega3d_ros.models.checkpoints.device_memory import pick_device, pick_dtype
from vega3d_ros.models.checkpoints.load import locate
from vega3d_ros.models.checkpoints.load_model import load_model
from vega3d_ros.models.checkpoints.memory_estimate import fitting
from vega3d_ros.perception.perceiver import Perceiver

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vega3d_ros.models.checkpoints.modules import Modules
    from vega3d_ros.models.memory import Workload
    from vega3d_ros.models.priors.base import Acceleration
    from vega3d_ros.perception.settings import Parameters

_LOGGER = logging.getLogger(__name__)


def load_ready(
    model: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    acceleration: Acceleration = "none",
    frames: int = 8,
    threads: int = pool.AUTOMATIC,
    progress: Callable[[str], None] = _LOGGER.info,
) -> Perceiver:
    """Load a model and run it once, so that the first clip takes no longer than the others.

    Args:
        model: Name of a shipped model or a model folder.
        device: Of :func:`vega3d_ros.models.checkpoints.device_memory.pick_device`.
        dtype: "auto", "float32" or "bfloat16".
        acceleration: Of the prior, see ``priors.base.Acceleration``; with graphs, those
            of the language model too.
        frames: Longest clip that will be looked at.
        threads: Of the processor, for the whole process; ``AUTOMATIC``: ``OMP_NUM_THREADS`` where
            it is set, else one, and more where one is slow and more are clearly faster.
        progress: Called with what is being done; logged if not given.

    Raises:
        DeviceError: If it does not fit the device, or there is no such device.
        CheckpointError: If it cannot be loaded.
        PriorError: If it cannot be accelerated here.
    """
    progress("memory estimate")
    device = pick_device(device)
    kind = pick_dtype(dtype, device)
    folder = locate(model)
    workload = fitting(folder, device, kind, frames)
    loaded = load_model(
        folder,
        device=device,
        dtype=kind,
        inference_only=True,
        workload=workload,
        threads=pool.asked_for(threads) or 1,
        progress=progress,
    )
    perceiver = Perceiver.of(loaded, keyframes=workload.keyframes)
    perceiver.device = device
    if loaded.modules is not None:
        _accelerate(loaded.modules, acceleration, workload, progress)
    progress(f"threads: {_settle_threads(perceiver, threads)}")
    progress("warm-up")
    warm_up(perceiver, frames)
    return perceiver


def load_configured(
    parameters: Parameters, progress: Callable[[str], None] = _LOGGER.info
) -> Perceiver:
    """The perceiver that a node with these parameters has; see ``load_ready``."""
    return load_ready(
        parameters.model,
        device=parameters.device,
        dtype=parameters.dtype,
        acceleration=cast("Acceleration", parameters.acceleration),
        frames=parameters.clip_length,
        threads=parameters.threads,
        progress=progress,
    )


def _accelerate(
    modules: Modules,
    acceleration: Acceleration,
    workload: Workload,
    progress: Callable[[str], None],
) -> None:
    if modules.prior is not None:
        modules.prior.frames_at_once = workload.frames_at_once
        if acceleration != "none":
            progress(f"acceleration of the prior: {acceleration}")
            modules.prior.accelerate(acceleration)
    if acceleration.endswith("graphs"):
        progress("CUDA graphs of the language model")
        modules.language.capture_graphs(workload.frames)


def warm_up(perceiver: Perceiver, frames: int) -> None:
    """Run everything once on pictures of nothing, and forget them."""
    scene = perceiver.observe(_grey_clip(perceiver, frames))
    if perceiver.grounds:
        scene.ground_all(perceiver.queries or ("object",))
    if perceiver.has_language:
        scene.ask("What is here?")
    perceiver.reset()


def _grey_clip(perceiver: Perceiver, frames: int) -> Clip:
    width, height = perceiver.image_size
    grey = np.full((height, width, 3), 128, np.uint8)
    camera = Camera(
        width=width, height=height, fx=float(width), fy=float(width), cx=width / 2, cy=height / 2
    )
    return Clip(tuple(Frame(stamp, grey, "warm_up", camera) for stamp in range(frames)))


def _settle_threads(perceiver: Perceiver, threads: int) -> str:
    """Set how many threads the model computes with; returns their number and why."""
    asked = pool.asked_for(threads)
    if asked is not None:
        pool.set_threads(asked)
        return f"{asked}, as asked for"
    if not perceiver.has_language:
        pool.set_threads(1)
        return "1, a detector needs no more"
    if perceiver.modules.language.model.device.type != "cpu":
        pool.set_threads(1)
        return "1, the GPU computes"
    clip, most = _grey_clip(perceiver, 1), pool.usable_cores()

    def see_a_keyframe() -> None:
        perceiver.reset()
        perceiver.observe(clip)

    chosen = pool.choose(lambda number: pool.measured_s(see_a_keyframe, number), most)
    pool.set_threads(chosen)
    perceiver.reset()
    return f"{chosen} of {most}, measured"
