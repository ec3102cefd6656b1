"""Which model ``auto`` stands for on this machine; PyTorch is imported only for GPU models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vega3d_ros.core.json_io import read_object
from vega3d_ros.models.checkpoints.model_paths import found_parts, needed_parts, shipped

if TYPE_CHECKING:
    from pathlib import Path

AUTO = "auto"
GPU_MODELS = ("photo-24gb", "photo-8gb")
PHOTO_MODELS = (*GPU_MODELS, "photo-cpu")
"""Models for real cameras, the best first; what they need beside the package may be missing."""
SIMULATION_MODEL = "nano"
SIMULATION_NOTE = (
    "model nano was chosen, which is right in simulation only: it knows nothing but its simulated "
    "rooms. For a real camera run `vega3d download photo-cpu` (with a GPU, photo-8gb or "
    "photo-24gb), or set VEGA3D_MODELS=FOLDER to where nanodet-plus-m_416.onnx or yolox_nano.onnx "
    "lies"
)
ELSEWHERE_NOTE = (
    "nano knows simulated rooms only: its answers and boxes are not expected to be right on other "
    "recordings. For a real camera: --model photo-cpu."
)


def resolve(model: str, device: str = "auto") -> tuple[str, str]:
    """A model's name with "auto" replaced, and what to tell of the choice; mostly nothing.

    Args:
        model: The name.
        device: Where it will run, see ``device_memory.pick_device``.
    """
    return automatic(device) if model == AUTO else (model, "")


def automatic(device: str = "auto") -> tuple[str, str]:
    """The first of ``PHOTO_MODELS`` that is complete and fits, else the simulation's model.

    Models for a GPU are passed over on a processor, where a keyframe would take them many seconds.

    Returns:
        Its name, and what to tell: that it is for simulation, and what kept a better one, of which
        something is installed, from being chosen.
    """
    passed_over: list[str] = []
    for name in PHOTO_MODELS:
        folder = shipped() / name
        parts = found_parts(read_object(folder / "model.json"), folder)
        missing = [what for what, found in parts.items() if found is None]
        if missing and len(missing) < len(parts):
            passed_over.append(lacking(name, missing))
        if missing:
            continue
        if name in GPU_MODELS and (why := _why_unfit(folder, device)):
            passed_over.append(f"{name} is installed but was not chosen: {why}")
            continue
        # Models for a GPU share parts: what one lacks is no news to who has the other.
        return name, "" if name in GPU_MODELS else "; ".join(passed_over)
    return SIMULATION_MODEL, "; ".join((SIMULATION_NOTE, *passed_over))


def lacking(name: str, missing: list[str]) -> str:
    """What a shipped model lacks, and how to get it."""
    needed = needed_parts(read_object(shipped() / name / "model.json"))
    parts = ", ".join(f"{what} ({' or '.join(needed[what])})" for what in missing)
    return f"{name} lacks its {parts}: run `vega3d download {name}`"


def _why_unfit(folder: Path, device: str) -> str:
    """Why a model for a GPU does not run here; empty where it does."""
    from vega3d_ros.models.checkpoints import device_memory, memory_estimate  # noqa: PLC0415

    try:
        device = device_memory.pick_device(device)
        if not device.startswith("cuda"):
            return f"it is for a GPU, and device is {device}"
        kind = device_memory.pick_dtype("auto", device)
        needed = memory_estimate.estimate(
            folder, kind, memory_estimate.fitting(folder, device, kind, 8)
        )
        device_memory.require(needed, device, "it")
    except device_memory.DeviceError as error:
        return str(error)
    except memory_estimate.UNKNOWN as error:
        return f"it cannot be read: {error}"
    return ""
