"""What every prior offers, and the settings that say which of its features are meant."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from vega3d_ros.core.errors import Vega3dError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

Align = Literal["full", "official"]
Mode = Literal["frames", "clip"]
MAX_TEXT_LENGTH = 4096  # Wan's is 512


class PriorError(Vega3dError, ValueError):
    """A prior, its settings or its input that cannot be used; the message says what to do."""


class Prior(Protocol):
    """A frozen generative model that turns frames into tokens."""

    @property
    def dim(self) -> int:
        """Channels of a token."""
        ...

    def encode(self, images: Tensor, stamps_ns: Sequence[int]) -> Tensor:
        """Generative tokens of frames.

        Args:
            images: [N, 3, H, W] float RGB in [0, 1].
            stamps_ns: Acquisition time of each frame; with the seed it determines the noise.

        Returns:
            [N, rows, cols, dim] float32.

        Raises:
            PriorError: If shape, type or value range differ.
        """
        ...


@dataclass(frozen=True)
class PriorConfig:
    """Which features of a diffusion prior are taken, and from what picture.

    Attributes:
        block: Transformer block whose output is taken; -1 is the last. The released
            spatial-reasoning checkpoint does not set it, which means -1; the paper's 3D scene
            understanding takes 20.
        timestep: Noise level asked for, 0 to 1000; the nearest one on the model's schedule is
            used.
        shift: Shift of the noise schedule.
        width: Working width, pixels.
        height: Working height, pixels.
        align: "full" resizes the whole frame to the working size (anti-aliased); "official"
            enlarges it to cover the working size and cuts the centre out, as the released weights
            saw it.
        mode: "frames" encodes each frame alone, as the official code does; "clip" encodes all
            frames of one call as one video, so that tokens see the other frames.
        seed: Seed of the noise, together with the stamp of the frame.
        text_length: Length to which the prompt embedding is padded with zeros.
    """

    block: int = -1
    timestep: int = 300
    shift: float = 5.0
    width: int = 832
    height: int = 480
    align: Align = "full"
    mode: Mode = "frames"
    seed: int = 0
    text_length: int = 512

    def __post_init__(self) -> None:
        if not 0 <= self.timestep <= 1000:
            msg = f"prior timestep {self.timestep} must be in 0..1000"
            raise PriorError(msg)
        if not 0 < self.shift < math.inf:
            msg = f"prior shift {self.shift} must be positive and finite"
            raise PriorError(msg)
        if self.width <= 0 or self.height <= 0:
            msg = f"prior working size {self.width}x{self.height} must be positive"
            raise PriorError(msg)
        if self.align not in get_args(Align):
            msg = f"prior align {self.align!r} must be one of {', '.join(get_args(Align))}"
            raise PriorError(msg)
        if self.mode not in get_args(Mode):
            msg = f"prior mode {self.mode!r} must be one of {', '.join(get_args(Mode))}"
            raise PriorError(msg)
        if not 0 <= self.seed < 2**63:
            msg = f"prior seed {self.seed} must be in 0..2^63-1"
            raise PriorError(msg)
        if not 1 <= self.text_length <= MAX_TEXT_LENGTH:
            msg = f"prior text_length {self.text_length} must be in 1..{MAX_TEXT_LENGTH}"
            raise PriorError(msg)

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PriorConfig:
        """The settings of :meth:`to_dict`; absent ones take their defaults.

        Raises:
            PriorError: If a name is unknown, or a value has the wrong type or range.
        """
        kinds = {field.name: type(field.default) for field in fields(cls)}
        for name, value in values.items():
            if name not in kinds:
                msg = f"unknown prior setting {name!r}; known: {', '.join(kinds)}"
                raise PriorError(msg)
            allowed = (int, float) if kinds[name] is float else kinds[name]
            if not isinstance(value, allowed) or isinstance(value, bool):
                msg = f"prior setting {name} must be {kinds[name].__name__}, not {value!r}"
                raise PriorError(msg)
        return cls(**values)
