"""Tokens of the frozen encoders, computed once per clip and stored on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from vega3d_ros.core.console import track
from vega3d_ros.training.precision import mixed_precision
from vega3d_ros.training.samples import image_tensor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from vega3d_ros.simulation.dataset import ClipDataset


class StoredTokens:
    """Semantic and generative tokens of the first clips of a data set, float16 on disk.

    Args:
        semantic: File of [clips, frames, rows, columns, D].
        generative: File of [clips, frames, rows, columns, C], or None for a model without prior.
        count: Clips to use of those stored.
    """

    def __init__(self, semantic: Path, generative: Path | None, count: int) -> None:
        self._semantic = np.load(semantic, mmap_mode="r")[:count]
        self._generative = np.load(generative, mmap_mode="r")[:count] if generative else None

    def __len__(self) -> int:
        return len(self._semantic)

    @property
    def frames(self) -> int:
        """Frames of a clip."""
        return int(self._semantic.shape[1])

    def batch(self, clips: list[int], device: str) -> tuple[Tensor, Tensor | None]:
        """Semantic and generative tokens of some clips, each [B * frames, rows, columns, dim]."""
        semantic = torch.from_numpy(self._semantic[clips].astype(np.float32)).to(device)
        if self._generative is None:
            return semantic.flatten(0, 1), None
        generative = torch.from_numpy(self._generative[clips].astype(np.float32)).to(device)
        return semantic.flatten(0, 1), generative.flatten(0, 1)


def store_tokens(
    encode: Callable[[Tensor, list[int]], Tensor],
    clips: ClipDataset,
    count: int,
    file: Path,
    device: str,
) -> None:
    """Compute the tokens of ``count`` clips, beginning where an earlier call stopped.

    Args:
        encode: Makes tokens [N, rows, columns, dim] from images [N, 3, H, W] and their stamps.
        clips: Simulated clips.
        count: Clips to encode, from the first.
        file: The ``.npy`` file; ``.progress`` beside it holds the number of encoded clips.
        device: "cpu" or "cuda".
    """
    progress = file.with_suffix(".progress")
    done = int(progress.read_text()) if progress.exists() and file.exists() else 0
    out = np.load(file, mmap_mode="r+") if done else None
    if out is not None and len(out) < count:
        done, out = 0, None
    for i in track(range(done, count), f"tokens {file.stem}", count - done):
        clip = clips[i]
        images = image_tensor(clip.rgb, device)
        with torch.no_grad(), mixed_precision(device):
            tokens = encode(images, clip.truth["stamps_ns"])
        values = tokens.float().cpu().numpy().astype(np.float16)
        if out is None:
            out = np.lib.format.open_memmap(
                file, mode="w+", dtype=np.float16, shape=(count, *values.shape)
            )
        out[i] = values
        if i % 50 == 49 or i + 1 == count:
            out.flush()
            progress.write_text(str(i + 1))
