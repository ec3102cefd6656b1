"""Frames as the official evaluation prepares them.

Source: ``load_and_preprocess_images`` and ``vgllm.py`` of the spatial-reasoning branch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from transformers import Qwen2VLImageProcessorPil

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

FRAMES = 32
"""Frames of a video that the official evaluation looks at."""

_WIDTH = 518
_PATCH = 14
_CELL = 28
# Bounds of a frame's pixels, below and above which the evaluation has it resized.
_PIXELS = {"shortest_edge": 256 * 28 * 28, "longest_edge": 1605632}


def sample_frames(count: int, keep: int = FRAMES) -> list[int]:
    """Which frames of a video of ``count`` frames the official evaluation takes, in order."""
    if count <= keep:
        return list(range(count))
    return [int(index) for index in np.linspace(0, count - 1, keep)]


def load_frames(images: Tensor) -> Tensor:
    """Frames at the size at which the official code loads them; the tower is shown the result.

    518 pixels wide with the height rounded to 14 (bicubic, in bytes), the middle 518 rows where
    it is higher; then right and bottom are cut to multiples of 28.

    Args:
        images: [N, 3, H, W] in [0, 1].

    Returns:
        [N, 3, h, w] in [0, 1], on the same device: 504x392 from 4:3, 504x280 from 16:9.
    """
    loaded = np.stack([_load_frame(image) for image in _bytes(images)])
    return torch.from_numpy(loaded).to(images.device).permute(0, 3, 1, 2).float() / 255


def _bytes(images: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return (images * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def _load_frame(
    image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    height, width = image.shape[:2]
    rows = max(1, round(height * (_WIDTH / width) / _PATCH)) * _PATCH
    resized = Image.fromarray(image).resize((_WIDTH, rows), Image.Resampling.BICUBIC)
    top = max(0, (rows - _WIDTH) // 2)
    rows = min(rows, _WIDTH)
    kept = np.asarray(resized)[top : top + rows - rows % _CELL, : _WIDTH - _WIDTH % _CELL]
    return np.ascontiguousarray(kept)


def image_processor(folder: Path) -> Qwen2VLImageProcessorPil:
    """The image processor of a checkpoint, with the evaluation's bounds on pixels.

    Raises:
        ValueError: If ``preprocessor_config.json`` is damaged (absent, Qwen2.5-VL's own values
            are taken).
    """
    if not (folder / "preprocessor_config.json").is_file():
        return Qwen2VLImageProcessorPil(size=dict(_PIXELS))
    processor: Qwen2VLImageProcessorPil = Qwen2VLImageProcessorPil.from_pretrained(
        folder, local_files_only=True, size=dict(_PIXELS)
    )
    return processor
