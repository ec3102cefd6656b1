"""Which features of Wan are taken, and from what noisy picture."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from vega3d_ros.core.settings import STRICT
from vega3d_ros.models.priors.base import Pixels, PriorConfig

Mode = Literal["frames", "clip"]
MAX_TEXT_LENGTH = 4096  # Wan's is 512


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WanPriorConfig(PriorConfig):
    """Settings of a Wan prior, beside those of every prior.

    Attributes:
        block: Transformer block whose output is taken; -1 is the last. The released
            spatial-reasoning checkpoint does not set it, which means -1; the paper's 3D scene
            understanding takes 20.
        timestep: Noise level asked for, 0 to 1000; the nearest one on the model's schedule is
            used.
        shift: Shift of the noise schedule.
        mode: "frames" encodes each frame alone, as the official code does; "clip" encodes all
            frames of one call as one video, so that tokens see the other frames.
        seed: Seed of the noise, together with the stamp of the frame.
        text_length: Length to which the prompt embedding is padded with zeros.
    """

    type: Literal["wan"] = "wan"
    width: Pixels = 832
    height: Pixels = 480
    block: int = -1
    timestep: Annotated[int, Field(ge=0, le=1000)] = 300
    shift: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 5.0
    mode: Mode = "frames"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    text_length: Annotated[int, Field(ge=1, le=MAX_TEXT_LENGTH)] = 512
