"""What a model will take of a device's memory, estimated before it is loaded: what its parts say.

Weights are counted exactly, from the files' headers; what inference takes is bounded by the
largest tensors of each network, times how many of them live at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from vega3d_ros.core.json_io import read_object
from vega3d_ros.models.checkpoints.depth_files import find_depth
from vega3d_ros.models.checkpoints.detector_files import find_networks
from vega3d_ros.models.checkpoints.detector_memory import AT_WORK, detector_memory
from vega3d_ros.models.checkpoints.device_memory import available
from vega3d_ros.models.checkpoints.model_config import read_model_config
from vega3d_ros.models.checkpoints.official.memory import official_memory
from vega3d_ros.models.depth.network_files import memory as depth_memory
from vega3d_ros.models.memory import MemoryEstimate, Workload, count_numbers
from vega3d_ros.models.mllms.qwen2_5_vl import memory as qwen2_5_vl
from vega3d_ros.models.priors import PRIORS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

UNKNOWN = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    SafetensorError,
)
"""What :func:`estimate` raises of a folder that is incomplete or damaged; loading says how."""


def estimate(
    folder: Path,
    dtype: torch.dtype,
    workload: Workload | None = None,
    prior: Mapping[str, Any] | None = None,
) -> MemoryEstimate:
    """What a model folder, or an official checkpoint, will take on its device.

    Args:
        folder: The folder.
        dtype: Of the weights in memory.
        workload: How much is asked of it at once.
        prior: Settings of the prior instead of the model's own.

    Raises:
        One of ``UNKNOWN``, as it says.
    """
    workload = workload or Workload()
    if not (folder / "model.json").is_file():
        return MemoryEstimate(official_memory(folder, dtype, workload, prior or {}))
    config = read_model_config(folder / "model.json", prior)
    parts: dict[str, int] = {}
    if config.grounder is not None and config.grounder.detector is not None:
        parts |= detector_memory(config.grounder.detector, folder)
    if config.grounder is not None and config.grounder.depth is not None:
        network = find_depth(config.grounder.depth, folder)
        parts |= {} if network is None else depth_memory(network)
    if config.networks is not None:
        lent = estimate(find_networks(config.networks, folder), dtype, workload, prior)
        # The prior works after the detector, in the same memory.
        spared = min(parts.get(AT_WORK, 0), lent.parts.get("prior at work", 0))
        parts = {**parts, **lent.parts, AT_WORK: parts.get(AT_WORK, 0) - spared}
    if config.language is None:
        return MemoryEstimate(parts)
    language = folder / "mllm"
    parts |= {
        **qwen2_5_vl.memory(
            count_numbers(language),
            read_object(language / "config.json"),
            config.language.image_size,
            dtype,
            workload,
        ),
        "fusion and heads": dtype.itemsize * count_numbers(folder),
    }
    if config.prior is not None:
        family = PRIORS.get(config.prior.type)
        parts |= family.memory(folder / "prior", config.prior, dtype, workload.frames_at_once)
    return MemoryEstimate(parts)


def fitting(folder: Path, device: str, dtype: torch.dtype, frames: int) -> Workload:
    """The workload of a clip length that encodes as many frames at once as there is memory for.

    Where not even one fits, or the folder cannot be read, loading says so.
    """
    workload = Workload(frames=frames)
    for at_once in (8, 4, 2, 1):
        workload = Workload(frames=frames, frames_at_once=min(at_once, frames))
        try:
            if estimate(folder, dtype, workload).total <= available(device)[0]:
                break
        except UNKNOWN:
            break
    return workload
