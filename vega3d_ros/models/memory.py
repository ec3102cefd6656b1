"""Bytes of device memory: what is asked of a model at once, and the sum of what its parts say."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from safetensors import safe_open

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

GIB = 2**30

BLOCK_TENSORS = 10
"""Tensors of the model's width that live at once in a transformer block, beside its
inner width."""
ENCODER_TENSORS = 6
"""Tensors that live at once at an encoder's full resolution: a residual block's input, norm,
activation and output, and the convolution's workspace."""


@dataclass(frozen=True)
class Workload:
    """How much is asked of a model at once.

    Attributes:
        frames: Frames of a clip.
        keyframes: Keyframes whose tokens are kept.
        frames_at_once: Frames that the prior encodes together.
    """

    frames: int = 8
    keyframes: int = 64
    frames_at_once: int = 8


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes by what they are for."""

    parts: Mapping[str, int]

    @property
    def total(self) -> int:
        """All together."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {size / GIB:.2f}" for name, size in self.parts.items())
        return f"{self.total / GIB:.2f} GiB ({parts})"


def count_numbers(folder: Path, wanted: Callable[[str], bool] = lambda _: True) -> int:
    """Numbers in the wanted tensors of a folder's safetensors, from the headers alone.

    Raises:
        SafetensorError: If a file is damaged.
    """
    found = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            found += sum(
                prod(tensors.get_slice(key).get_shape())
                for key in tensors.keys()  # noqa: SIM118
                if wanted(key)
            )
    return found
