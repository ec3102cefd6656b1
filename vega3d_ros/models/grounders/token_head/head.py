"""The token head: scores every visual token for a query and reads a box off the chosen ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from vega3d_ros.core.token_grid import FEATURES
from vega3d_ros.models.grounders.token_head.box_coding import OUTPUTS

if TYPE_CHECKING:
    from torch import Tensor


def _score_network(inputs: int, width: int) -> nn.Sequential:
    # The official grounding heads (main branch, ground_head_{obj,query}).
    return nn.Sequential(
        nn.Linear(inputs, width), nn.ReLU(), nn.LayerNorm(width), nn.Linear(width, width)
    )


class GroundingHead(nn.Module):
    """Scores as the official main branch scores its proposals, with visual tokens in their place.

    Args:
        dim: Width of fused tokens and of the language model's hidden states.
        width: Width of the head.
        temperature: Of the contrastive scores (official: 0.07).
    """

    def __init__(self, dim: int, width: int = 256, temperature: float = 0.07) -> None:
        super().__init__()
        self.temperature = temperature
        self.token = _score_network(dim + FEATURES, width)
        self.query = _score_network(dim, width)
        self.not_here = nn.Parameter(torch.randn(width))
        self.box = nn.Sequential(
            nn.Linear(2 * dim + FEATURES, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, width),
            nn.GELU(),
            nn.Linear(width, OUTPUTS),
        )

    def scores(self, tokens: Tensor, features: Tensor, queries: Tensor) -> Tensor:
        """Cosine over temperature of each query with each token and, last, with "not here".

        Args:
            tokens: Fused tokens [..., T, dim].
            features: Their geometry [..., T, FEATURES].
            queries: Hidden states of ``<ground>`` tokens [..., Q, dim].

        Returns:
            [..., Q, T + 1].
        """
        keys = self.token(torch.cat([tokens, features], dim=-1))
        not_here = self.not_here.to(keys.dtype).expand(*keys.shape[:-2], 1, -1)
        keys = functional.normalize(torch.cat([keys, not_here], dim=-2), dim=-1)
        wanted = functional.normalize(self.query(queries), dim=-1)
        scores: Tensor = (wanted @ keys.transpose(-1, -2)).float() / self.temperature
        return scores

    def boxes(self, tokens: Tensor, features: Tensor, queries: Tensor) -> Tensor:
        """Raw box outputs [N, OUTPUTS] of N tokens, each with the query it was chosen for."""
        raw: Tensor = self.box(torch.cat([tokens, features, queries], dim=-1)).float()
        return raw


def presence(scores: Tensor) -> Tensor:
    """Scores in [0, 1] of tokens that show what the query means, [..., Q, T] of [..., Q, T + 1].

    A token is weighed against "not here" alone, not against other tokens: several objects, or
    several tokens of one, may all be meant.
    """
    return torch.sigmoid(scores[..., :-1] - scores[..., -1:])
