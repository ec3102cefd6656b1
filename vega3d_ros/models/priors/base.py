"""What every prior offers: settings, tokens of frames, a folder, and the memory it needs."""

# ruff: noqa: ARG002, ARG003  (the base refuses, whatever it is given)
from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import nn

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.core.settings import STRICT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from torch import Tensor

Align = Literal["full", "official"]
Scope = Literal["frame", "clip"]
Pixels = Annotated[int, Field(gt=0)]

Acceleration = Literal["none", "graphs", "compile", "compile_graphs"]
"""What is done to a prior before it runs.

- none: kernels are launched one by one; any number of frames.
- graphs: CUDA graphs, for a GPU that waits for its CPU. Takes seconds.
- compile: ``torch.compile``, which fuses what lies between the matrix products. Takes minutes.
- compile_graphs: both.
"""


class PriorError(Vega3dError, ValueError):
    """A prior, its settings or its input that cannot be used; the message says what to do."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PriorConfig:
    """What the settings of all priors have in common.

    Attributes:
        type: Name in the registry of priors.
        width: Working width, pixels.
        height: Working height, pixels.
        align: "full" resizes the whole frame to the working size (anti-aliased); "official"
            enlarges it to cover the working size and cuts the centre out, as the released weights
            saw it.
    """

    type: str
    width: Pixels
    height: Pixels
    align: Align = "full"

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, for JSON."""
        return asdict(self)


class Prior(nn.Module, ABC):
    """A frozen network that turns frames into generative tokens.

    A family overrides ``encode`` and, for models that are folders, ``from_folder``, ``save`` and
    ``memory``; what it leaves out is refused in a sentence.

    Attributes:
        Config: Type of the settings.
        files: What a folder of it must hold beside its weights.
        config: Settings.
        dim: Channels of a token.
        grid: Rows and columns of a frame's tokens.
        scope: "frame": a frame's tokens depend on the frame, its stamp and the settings alone, and
            may be kept with the keyframe. "clip": the frames of one call see each other, and a
            frame's tokens belong to that clip only.
        frames_at_once: Frames that are encoded together, at most, where the scope is "frame".
    """

    Config: ClassVar[type[PriorConfig]]
    files: ClassVar[tuple[str, ...]] = ()
    config: PriorConfig
    dim: int
    grid: tuple[int, int]
    scope: Scope = "frame"
    frames_at_once: int = 8

    @abstractmethod
    def encode(
        self, images: Tensor, stamps_ns: Sequence[int], *, noise: Tensor | None = None
    ) -> Tensor:
        """Tokens of frames.

        Args:
            images: [N, 3, H, W] float RGB in [0, 1], any device.
            stamps_ns: Acquisition time of each frame; where there is noise, it determines it.
            noise: The noise itself instead; of a prior that has none, it is refused.

        Returns:
            [N, rows, columns, dim] float32 on the prior's device.

        Raises:
            PriorError: If images, stamps or noise do not fit.
        """

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        config: PriorConfig | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        reference: bool = False,
    ) -> Self:
        """Read a folder of :meth:`save`, on the CPU.

        Args:
            folder: The folder.
            config: Settings instead of those in its ``prior.json``.
            dtype: Of the weights.
            reference: Run the official protocol, to compare with; priors without one refuse.

        Raises:
            PriorError: If a file is missing or damaged, or does not fit the settings.
        """
        raise cls._refusal("cannot be read from a folder")

    def save(self, folder: Path, dtype: torch.dtype | None = None) -> None:
        """Write weights and ``prior.json``.

        Args:
            folder: Created where missing.
            dtype: Of the weights on disk; None keeps that in memory.

        Raises:
            PriorError: Where what it needs was not kept.
        """
        raise self._refusal("cannot be saved")

    @classmethod
    def memory(
        cls, folder: Path, config: PriorConfig, dtype: torch.dtype, frames_at_once: int
    ) -> Mapping[str, int]:
        """Bytes that a folder's prior will take of its device, told without loading it.

        Args:
            folder: Of :meth:`save`.
            config: Settings.
            dtype: Of the weights in memory.
            frames_at_once: Frames that are encoded together.

        Returns:
            Bytes by what they are for: "prior" (weights) and "prior at work".
        """
        raise cls._refusal("does not tell what memory it needs")

    def randomised(self, seed: int) -> Self:
        """The control that tells what pre-training is worth: the same prior untrained."""
        raise self._refusal("has no untrained control")

    def accelerate(self, how: Acceleration) -> None:
        """Prepare the prior to run faster, once, on the device where it stays.

        Raises:
            PriorError: If it is not possible here.
        """
        if how != "none":
            raise self._refusal(f"runs as it is; set acceleration none, not {how}")

    def forget_sources(self) -> None:
        """Free the weights that are needed to save the prior, but not to run it."""

    @classmethod
    def _refusal(cls, why: str) -> PriorError:
        return PriorError(f"{cls.__name__} {why}")

    def freeze(self) -> None:
        """Switch to inference for good: no gradient, no dropout."""
        self.eval().requires_grad_(requires_grad=False)
