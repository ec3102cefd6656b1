"""What detectors and masks take of memory: their weights' files, and what inference takes.

The latter was measured (resident memory, one image of 4:3) and is rounded up: 41 MiB with
NanoDet-Plus at 416x416 in OpenCV; LLMDet-tiny 1.5 GiB, SAM 2.1 tiny 0.85 GiB
(``benchmarks/detector_memory.py``). Their images are scaled to a fixed size, so the camera's does
not matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vega3d_ros.models.checkpoints.detector_files import find_detector, find_masks

if TYPE_CHECKING:
    from pathlib import Path

    from vega3d_ros.models.checkpoints.model_config import DetectorConfig

_WEIGHTS = frozenset({".onnx", ".safetensors"})
_WORK_BYTES = {"onnx": 64 << 20}
_TRANSFORMERS_BYTES = 2 << 30
_MASKS_BYTES = 1 << 30


def detector_memory(config: DetectorConfig, model: Path) -> dict[str, int]:
    """Bytes by what they are for, of a model's detector and masks.

    Args:
        config: Of ``model.json``.
        model: The model's folder.

    Raises:
        CheckpointError: If one of them is nowhere.
    """
    weights = file_bytes(find_detector(config, model))
    parts = {"detector": weights + _WORK_BYTES.get(config.type, _TRANSFORMERS_BYTES)}
    if config.masks is not None:
        parts["masks"] = file_bytes(find_masks(config.masks, model)) + _MASKS_BYTES
    return parts


def file_bytes(path: Path) -> int:
    """Bytes of the weights of a file or folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.suffix in _WEIGHTS)
