"""One token per object that was found, for questions to read behind a clip's visual tokens.

How many, how far and on which side are then questions about a short list instead of hundreds of
visual tokens, as with the object tokens of Chat-Scene (arXiv 2312.08168).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from vega3d_ros.core.geometry import Box3D

MOMENTS = 8
VALUES = 9 + MOMENTS
_SCALE_M = 3.0
# Logarithm of longer over shorter side from which on the heading counts in full.
_ELONGATED = 0.2


def object_values(box: Box3D, score: float, seen: NDArray[np.floating]) -> NDArray[np.float32]:
    """What an object's token tells beside name and colour.

    Args:
        box: Its box in the levelled frame of the clip's newest camera.
        score: Of its detection, in [0, 1].
        seen: How well each frame shows it, [T] in [0, 1].

    Returns:
        [VALUES]: centre, logarithms of the sides (longer, shorter, height), doubled heading of the
        longer side (weaker where the sides are alike, so that nothing jumps where they swap),
        score, and ``seen`` at ``MOMENTS`` even moments of the clip.
    """
    (length, width, height), yaw = box.size, box.yaw
    if width > length:
        length, width, yaw = width, length, yaw + np.pi / 2
    elongation = min(1.0, np.log(length / width) / _ELONGATED)
    edges = np.linspace(0, len(seen), MOMENTS + 1)
    moments = [
        seen[int(low) : max(int(low) + 1, int(np.ceil(high)))].max()
        for low, high in pairwise(edges)
    ]
    return np.array(
        [
            *(box.center / _SCALE_M),
            *np.log([length, width, height]),
            elongation * np.cos(2 * yaw),
            elongation * np.sin(2 * yaw),
            score,
            *moments,
        ],
        np.float32,
    )


class ObjectTokens(nn.Module):
    """Name, colour and place of an object as one token of the language model.

    Args:
        dim: Width of the language model.
        colors: Number of colours that have a name.
    """

    def __init__(self, dim: int, colors: int) -> None:
        super().__init__()
        self.color = nn.Linear(dim, colors + 1)
        self.unnamed = nn.Parameter(torch.zeros(dim))
        self.values = nn.Sequential(nn.Linear(VALUES, 256), nn.GELU(), nn.Linear(256, dim))

    def colors(self, looks: Tensor) -> Tensor:
        """Probability of each colour and, last, of none with a name, [..., colors + 1].

        Args:
            looks: [..., dim], mean fused token of the tokens that show an object.
        """
        probabilities: Tensor = self.color(looks).float().softmax(dim=-1)
        return probabilities

    def forward(self, names: Tensor, colors: Tensor, words: Tensor, values: Tensor) -> Tensor:
        """Tokens [..., K, dim].

        Args:
            names: [..., K, dim], the objects' names as the language model embeds them.
            colors: [..., K, colors + 1], their colours' probabilities.
            words: [colors, dim], the colours' names as the language model embeds them.
            values: [..., K, VALUES], see ``object_values``.
        """
        tints = torch.cat([words, self.unnamed[None].to(words)])
        tokens: Tensor = names + colors.to(tints) @ tints + self.values(values)
        return tokens
