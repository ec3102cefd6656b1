"""Losses of the token head: boxes with their own uncertainty, and headings in bins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from vega3d_ros.grounding.encoding import HEADINGS, REGRESSED

if TYPE_CHECKING:
    from torch import Tensor

# Which of the four spreads (lateral, range, behind, size) each of the seven values is told with.
_SPREAD_OF = (0, 0, 1, 2, 3, 3, 3)
_VALUE_WEIGHT = (1.0, 1.0, 1.5, 1.5, 1.0, 1.0, 1.0)


def box_loss(
    raw: Tensor, values: Tensor, heading: Tensor, elongation: Tensor, behind: Tensor
) -> Tensor:
    """Mean loss of box outputs.

    Args:
        raw: [N, OUTPUTS].
        values: [N, 7], see ``encoding.encode``.
        heading: [N], half turns in [0, 1).
        elongation: [N], log of long over short side; headings of square footprints count nothing.
        behind: [N] bool, whether a surface was measured.

    Returns:
        Scalar: Laplace negative log-likelihood of the values, plus cross-entropy of the heading bin
        with the target spread over its two nearest bins.
    """
    error = (raw[:, :7] - values).abs()
    spread = raw[:, 7:REGRESSED].clamp(-5, 1.5)[:, list(_SPREAD_OF)]
    # The plain error beside the likelihood keeps a confident head learning from large errors.
    likelihood = error * torch.exp(-spread) + spread + error
    weight = likelihood.new_tensor(_VALUE_WEIGHT).repeat(len(raw), 1)
    weight[:, 3] = weight[:, 3] * behind
    value_loss = (likelihood * weight).sum() / weight.sum().clamp(min=1)
    position = heading * HEADINGS - 0.5
    low = position.floor()
    share = position - low
    target = raw.new_zeros(len(raw), HEADINGS)
    target.scatter_add_(1, (low.long() % HEADINGS)[:, None], (1 - share)[:, None])
    target.scatter_add_(1, ((low.long() + 1) % HEADINGS)[:, None], share[:, None])
    told = (elongation / 0.2).clamp(0, 1)
    heading_loss = functional.cross_entropy(raw[:, REGRESSED:], target, reduction="none")
    return value_loss + 0.4 * (heading_loss * told).sum() / told.sum().clamp(min=1)
