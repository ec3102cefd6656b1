"""Tokens vote for a cluster of depth points, and the learned box is measured against it.

The tokens of a group vote for the cluster that they show. What of it lies about the learned box is
boxed in the heading of the walls: it tells where the thing ends; what is hidden of it is completed
to the learned size. Of the places that both allow, the nearest to the learned centre is taken,
and the mean with that centre is weighted by both variances.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.core.geometry import Box3D
from vega3d_ros.models.grounders.token_head.merging import evidence_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vega3d_ros.models.grounders.base import Detection
    from vega3d_ros.models.grounders.token_head.clusters import Clusters
    from vega3d_ros.models.grounders.token_head.merging import Candidate

    Array = NDArray[np.float64]

# Weights of: one, log odds of the best token, log evidence, log frames, whether a cluster was
# voted for, log evidence relative to the best group of the text. Logistic regression on the
# 100 even ones of 200 clips of the training split (seed 7) that nothing else was trained on.
_PRESENCE = np.array([-0.76, 0.51, 0.26, -0.06, 0.22, 0.36])


@dataclass(frozen=True)
class VoteRules:
    """Parameters of voting, chosen on training clips.

    Attributes:
        share: Of the votes, the least that a cluster must get.
        margin_m: Points farther outside of the learned box, beyond its standard deviations,
            belong to something else.
        left_out: Share of the points left out at each end, against strays.
        pad_m: Added at each end: voxels' means lie inside the surface.
        grow: A side is at most so many times the learned one.
        learned: Weight of the learned side where less of it is seen, the rest is the seen one's.
        floor_gap_m: What ends no higher above the floor stands on it.
        least_points: Fewer points tell nothing.
        center_std_m: Standard deviation of a centre both of whose ends are seen.
    """

    share: float = 0.1
    margin_m: float = 0.3
    left_out: float = 0.02
    pad_m: float = 0.02
    grow: float = 1.3
    learned: float = 0.5
    floor_gap_m: float = 0.25
    least_points: int = 6
    center_std_m: float = 0.04


RULES = VoteRules()


def elected(
    group: Sequence[Candidate], clusters: Clusters, rules: VoteRules = RULES
) -> NDArray[np.float32] | None:
    """The points [N, 3] of the cluster that a group of tokens votes for; None without one."""
    votes: dict[int, float] = {}
    for candidate in group:
        shown = clusters.shown(candidate.frame, candidate.pixel, candidate.pitch_px)
        for label, count in zip(*np.unique(shown[shown > 0], return_counts=True), strict=True):
            share = candidate.score * float(count) / shown.size
            votes[int(label)] = votes.get(int(label), 0.0) + share
    if not votes:
        return None
    best = max(votes, key=lambda label: (votes[label], -label))
    if votes[best] < rules.share * sum(candidate.score for candidate in group):
        return None
    points: NDArray[np.float32] = clusters.points[clusters.labels == best]
    return points


def measured(
    found: Detection,
    points: NDArray[np.float32],
    *,
    floor_m: float | None,
    heading: float | None,
    rules: VoteRules = RULES,
) -> Detection | None:
    """A detection whose learned box is averaged with the points voted for.

    Args:
        found: With the learned box, in the working frame.
        points: [N, 3], of its cluster.
        floor_m: Height of the floor; None where unknown.
        heading: Of the walls modulo a quarter turn; None: the learned heading is kept.
        rules: The parameters.

    Returns:
        None where next to no point lies about the learned box.
    """
    learned, yaw = found.box, found.box.yaw
    if heading is not None:
        yaw = heading + np.round((yaw - heading) / (np.pi / 2)) * np.pi / 2
    rotation = Box3D.upright(np.zeros(3), np.ones(3), yaw).rotation
    variance = np.diag(rotation.T @ found.covariance[:3, :3] @ rotation)
    local = (points.astype(np.float64) - learned.center) @ rotation
    reach = learned.size / 2 + rules.margin_m + np.sqrt(variance)
    local = local[(np.abs(local) <= reach).all(axis=1)]
    if len(local) < rules.least_points:
        return None
    low, high = np.quantile(local, [rules.left_out, 1 - rules.left_out], axis=0)
    low, high = low - rules.pad_m, high + rules.pad_m
    if floor_m is not None:
        ground = floor_m - float(learned.center[2])
        if low[2] - ground < rules.floor_gap_m:
            low[2] = min(ground, float(high[2]) - 2 * rules.pad_m)
    size = _completed(high - low, learned.size, rules)
    ends = np.stack([low + size / 2, high - size / 2])
    shift = np.clip(0.0, ends.min(axis=0), ends.max(axis=0))
    hidden = np.ptp(ends, axis=0) / np.sqrt(12)  # uniform between both ends
    seen = hidden**2 + rules.center_std_m**2
    weight = variance / (variance + seen)
    covariance = found.covariance.copy()
    covariance[:3, :3] = rotation @ np.diag(variance * seen / (variance + seen)) @ rotation.T
    box = Box3D.upright(learned.center + rotation @ (weight * shift), size, yaw)
    return replace(found, box=box, covariance=covariance)


def _completed(extent: Array, learned: Array, rules: VoteRules) -> Array:
    """Sides [3] of what shows ``extent``: between both where less is seen, at most grown."""
    between = learned**rules.learned * np.maximum(extent, 0.3 * learned) ** (1 - rules.learned)
    return np.where(extent > learned, np.minimum(extent, rules.grow * learned), between)


def presence_probability(
    group: Sequence[Candidate], best_evidence: float, *, voted: bool
) -> float:
    """Probability that a group of tokens shows a thing of the name, from all that speaks for it.

    Args:
        group: Candidates of one thing.
        best_evidence: That of the text's best group (``merging.evidence_of``).
        voted: Whether they voted for a cluster.
    """
    best = float(np.clip([candidate.score for candidate in group], 1e-4, 1 - 1e-4).max())
    evidence = max(evidence_of(group), 1e-8)
    frames = len({candidate.frame for candidate in group})
    values = [
        1.0,
        np.log(best / (1 - best)),
        np.log(evidence),
        np.log(frames),
        float(voted),
        np.log(evidence / max(best_evidence, 1e-8)),
    ]
    return float(1 / (1 + np.exp(-(_PRESENCE @ values))))
