"""The noise that a diffusion prior is asked to look through: how much, and which."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

_STEPS = 1000
_THREADS = 8


class NoiseLevel(NamedTuple):
    """A point of the noise schedule.

    Attributes:
        timestep: What the transformer is told.
        sigma: Share of noise in the latents: x = (1 - sigma) z + sigma eps.
    """

    timestep: int
    sigma: float


@cache
def noise_level(timestep: int, shift: float) -> NoiseLevel:
    """The point of Wan's 1000-step schedule that is nearest to an asked timestep.

    Wan's flow schedule starts from u_i = 0.999 (1 - i / 1000), i = 0..999, and shifts it to
    sigma = shift u / (1 + (shift - 1) u); the timestep is the whole part of 1000 sigma. The points
    are unevenly spaced, so that asking for 300 at shift 5 gives timestep 299 and sigma 0.29992.

    Source: official ``wan_t2v_encoder.py`` with ``FlowUniPCMultistepScheduler`` (Wan2.1).
    """
    base = float(np.float32(0.999)) * (1 - np.arange(_STEPS) / _STEPS)
    sigma = shift * base / (1 + (shift - 1) * base)
    timesteps = (_STEPS * sigma).astype(np.int64)
    nearest = int(np.abs(timesteps - timestep).argmin())
    return NoiseLevel(int(timesteps[nearest]), float(np.float32(sigma[nearest])))


def frame_noise(shape: Sequence[int], seed: int, stamps_ns: Sequence[int]) -> Tensor:
    """Standard normal noise, one draw per frame, that depends on nothing but seed and stamp.

    A counter-based generator keyed by the pair gives the same numbers on every device, in every
    order and in every grouping of the frames.

    Args:
        shape: Shape of one frame's noise.
        seed: Seed of the model.
        stamps_ns: Acquisition times.

    Returns:
        [N, *shape] float32 on the CPU.
    """

    def draw(stamp_ns: int) -> NDArray[np.float32]:
        key = np.array([seed, stamp_ns % 2**64], np.uint64)
        generator = np.random.Generator(np.random.Philox(key=key))
        return generator.standard_normal(tuple(shape), dtype=np.float32)

    if len(stamps_ns) == 1:
        draws = [draw(stamps_ns[0])]
    else:  # a few milliseconds each for a large picture; NumPy draws without Python's lock
        with ThreadPoolExecutor(min(len(stamps_ns), _THREADS)) as threads:
            draws = list(threads.map(draw, stamps_ns))
    return torch.from_numpy(np.stack(draws))
