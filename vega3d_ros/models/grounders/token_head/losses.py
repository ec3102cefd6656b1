"""Losses of the token head: which tokens are meant, boxes with their own uncertainty, headings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from vega3d_ros.models.grounders.token_head.box_coding import HEADINGS, REGRESSED

if TYPE_CHECKING:
    from torch import Tensor

# A token shows an object that covers at least this share of it; one that shows less than a glimpse
# does not, and what lies between is neither right nor wrong.
SHOWN = 0.08
GLIMPSE = 0.02
# Which of the four spreads (lateral, range, behind, size) each of the seven values belongs to.
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
        Scalar: Laplace negative log-likelihood of the values, plus cross-entropy of the heading
        bin with the target spread over its two nearest bins.
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
    elongated = (elongation / 0.2).clamp(0, 1)
    heading_loss = functional.cross_entropy(raw[:, REGRESSED:], target, reduction="none")
    mean_heading_loss = (heading_loss * elongated).sum() / elongated.sum().clamp(min=1)
    return value_loss + 0.4 * mean_heading_loss


def ground_loss(scores: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """Contrastive loss of the official heads plus presence of each token.

    Args:
        scores: [Q, T + 1], the last for "not here".
        wanted: [Q, T], share of the token that shows a meant object.
    """
    right, wrong = wanted >= SHOWN, wanted < GLIMPSE
    absent = ~right.any(dim=1, keepdim=True)
    positive = torch.cat([right, absent], dim=1)
    counted = torch.cat([right | wrong, torch.ones_like(absent)], dim=1)
    masked = scores.masked_fill(~counted, -torch.inf)
    contrast = torch.logsumexp(masked, 1) - torch.logsumexp(
        scores.masked_fill(~positive, -torch.inf), 1
    )
    margin = scores[:, :-1] - scores[:, -1:]
    each = functional.binary_cross_entropy_with_logits(margin, right.float(), reduction="none")
    balance = (each * right).sum(1) / right.sum(1).clamp(min=1) + (each * wrong).sum(
        1
    ) / wrong.sum(1).clamp(min=1)
    # Most tokens are easily wrong; the hardest decides between here and "not here".
    hardest = (each * wrong).amax(dim=1)
    chosen = scores[:, :-1].argmax(1, keepdim=True)
    hit = (wanted.gather(1, chosen) >= GLIMPSE)[~absent[:, 0]]
    return {
        "contrast": contrast.mean(),
        "presence": balance.mean() + 0.2 * hardest.mean(),
        "hit": hit.float().mean().nan_to_num(),
    }
