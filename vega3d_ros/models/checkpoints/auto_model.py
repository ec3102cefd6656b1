"""Which model ``auto`` stands for on this machine. Nothing here imports PyTorch."""

from __future__ import annotations

from vega3d_ros.core.json_io import read_object
from vega3d_ros.models.checkpoints.model_paths import detector_file, shipped

AUTO = "auto"
PHOTO_MODELS = ("photo-cpu",)
"""Models for real cameras, the best first; what they need beside the package may be missing."""
SIMULATION_MODEL = "nano"
SIMULATION_NOTE = (
    "model nano was chosen, which is right in simulation only: it knows nothing but its simulated "
    "rooms. For a real camera run `vega3d download photo-cpu`, or set VEGA3D_MODELS=FOLDER to "
    "where nanodet-plus-m_416.onnx or yolox_nano.onnx lies"
)
ELSEWHERE_NOTE = (
    "nano knows simulated rooms only: its answers and boxes are not expected to be right on other "
    "recordings. For a real camera: --model photo-cpu."
)


def resolve(model: str) -> tuple[str, str]:
    """A model's name with "auto" replaced, and what to tell of the choice; mostly nothing."""
    if model != AUTO:
        return model, ""
    chosen = automatic()
    return chosen, SIMULATION_NOTE if chosen == SIMULATION_MODEL else ""


def automatic() -> str:
    """The name of the first photo model that is complete here, else of the simulation's."""
    for name in PHOTO_MODELS:
        folder = shipped() / name
        if detector_file(read_object(folder / "model.json"), folder) is not None:
            return name
    return SIMULATION_MODEL
