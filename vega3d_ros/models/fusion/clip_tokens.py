"""The fused tokens of a clip, and where each of them looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from vega3d_ros.core.token_grid import features, floor_height_m, level, token_geometry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from vega3d_ros.core.frames import Clip
    from vega3d_ros.core.token_grid import TokenGeometry
    from vega3d_ros.models.fusion.fusion_module import PositionEncoding


@dataclass(frozen=True, eq=False)
class ClipTokens:
    """The T = F * R * C tokens of F frames.

    Attributes:
        tokens: [F, R, C, D].
        features: [T, FEATURES], see ``token_grid.features``; placed in the frame of the newest
            levelled camera.
        geometry: Of each frame; None where its camera is not calibrated.
    """

    tokens: Tensor
    features: Tensor
    geometry: tuple[TokenGeometry | None, ...]

    @classmethod
    def of(cls, clip: Clip, tokens: Sequence[Tensor]) -> ClipTokens:
        """Of the frames of a clip, each with its tokens [R, C, D]."""
        stacked = torch.stack(list(tokens))
        rows, columns = stacked.shape[1:3]
        geometry = tuple(token_geometry(frame, rows, columns) for frame in clip.frames)
        reference = level(clip.frames[-1].pose)[1] if clip.fixed_frame else None
        shape, floor_m = (rows, columns), floor_height_m(geometry)
        values = np.stack([features(one, reference, shape, floor_m) for one in geometry])
        placed = torch.from_numpy(values).to(stacked).view(len(clip) * rows * columns, -1)
        return cls(stacked, placed, geometry)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        return self.tokens.shape[1], self.tokens.shape[2]

    @property
    def flat(self) -> Tensor:
        """[T, D]."""
        return self.tokens.view(-1, self.tokens.shape[-1])

    def place(self, token: int) -> tuple[int, int, int]:
        """Frame, row and column of one of the T tokens."""
        rows, columns = self.grid
        frame, cell = divmod(token, rows * columns)
        return frame, *divmod(cell, columns)

    def visual(self, positions: PositionEncoding | None) -> Tensor:
        """[F, R, C, D], what the language model reads."""
        if positions is None:
            return self.tokens
        seen: Tensor = self.flat + positions(self.features)
        return seen.view(self.tokens.shape)
