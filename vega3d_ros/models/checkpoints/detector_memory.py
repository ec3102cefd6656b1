"""What detectors and masks take of memory: their weights' files, and what inference takes.

The latter was measured (resident memory, one image of 4:3) and is rounded up: 41 MiB with
NanoDet-Plus at 416x416 in OpenCV; LLMDet-tiny about 1540 MiB, SAM 2.1 tiny about 870 MiB
(``benchmarks/detector_memory.py``). Their images are scaled to a fixed size, so the camera's does
not matter. One runs after the other, so what they take at work is that of the larger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vega3d_ros.models.checkpoints.detector_files import find_detector, find_masks

if TYPE_CHECKING:
    from pathlib import Path

    from vega3d_ros.models.checkpoints.model_config import DetectorConfig

_WEIGHTS = frozenset({".onnx", ".safetensors"})
_MIB = 1 << 20
_WORK_BYTES = {"onnx": 64 * _MIB}
_TRANSFORMERS_BYTES = 1600 * _MIB
_MASKS_BYTES = 900 * _MIB
AT_WORK = "detection at work"


def detector_memory(config: DetectorConfig, model: Path) -> dict[str, int]:
    """Bytes by what they are for, of a model's detector and masks.

    Args:
        config: Of ``model.json``.
        model: The model's folder.

    Raises:
        CheckpointError: If one of them is nowhere.
    """
    parts = {"detector": file_bytes(find_detector(config, model))}
    at_work = _WORK_BYTES.get(config.type, _TRANSFORMERS_BYTES)
    if config.masks is not None:
        parts["masks"] = file_bytes(find_masks(config.masks, model))
        at_work = max(at_work, _MASKS_BYTES)
    return {**parts, AT_WORK: at_work}


def file_bytes(path: Path) -> int:
    """Bytes of the weights of a file or folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.suffix in _WEIGHTS)
