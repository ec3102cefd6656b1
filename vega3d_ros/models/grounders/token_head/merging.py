"""Boxes that several tokens of several frames propose become detections in one frame.

Candidates of one query are grouped greedily, best first. The group that most candidates speak for
is what is most likely meant: one token may err, tokens of several frames seldom do so alike. The
centre of a group is the mean weighted by inverse variance, its size the weighted geometric mean,
its heading the weighted mean of doubled angles (a box turned by half a turn is the same box).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.core.geometry import SE3, Box3D
from vega3d_ros.models.grounders.base import (
    UNKNOWN_ROTATION_VARIANCE,
    UPRIGHT_VARIANCE,
    Detection,
    View,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Mean resultant length of the doubled headings from which on the heading is an estimate.
_HEADING_ESTIMATED = 0.5
# Proposals below this share of the best token's presence say nothing new about a query.
_WORTH = 0.5
_TOKENS_PER_FRAME, _TOKENS_PER_QUERY = 4, 24


@dataclass(frozen=True, eq=False)
class BoxPrediction:
    """A box that one token proposes, in its levelled camera frame.

    Attributes:
        box: Upright, metres; its x axis is the long side.
        range_std_m: Standard deviation along the ray.
        lateral_std_m: Standard deviation across it.
        heading_weight: In [0, 1]: how far the heading can be told (0: square or undecided).
        measured: Whether the range came from the depth sensor.
    """

    box: Box3D
    range_std_m: float
    lateral_std_m: float
    heading_weight: float
    measured: bool


@dataclass(frozen=True, eq=False)
class Candidate:
    """One token's proposal for a query, placed in the working frame (z up, shared by the clip).

    Attributes:
        frame: Index of the frame in the clip.
        pixel: (column, row) of the token's centre in the frame's pixels.
        score: Presence in [0, 1].
        proposal: The box and its spreads in the levelled camera frame.
        working_from_level: Levelled camera in the working frame.
        pitch_px: Width and height of the token in the frame's pixels.
    """

    frame: int
    pixel: tuple[int, int]
    score: float
    proposal: BoxPrediction
    working_from_level: SE3
    pitch_px: tuple[float, float]

    @cached_property
    def box(self) -> Box3D:
        """The box in the working frame."""
        return self.proposal.box.transformed(self.working_from_level)

    @cached_property
    def covariance(self) -> NDArray[np.float64]:
        """[3, 3] of the centre in the working frame, m^2: long along the ray, short across it."""
        ray = self.proposal.box.center / np.linalg.norm(self.proposal.box.center)
        ray = self.working_from_level.rotation @ ray
        along = np.outer(ray, ray)
        lateral = self.proposal.lateral_std_m**2 + 1e-4
        covariance: NDArray[np.float64] = (
            self.proposal.range_std_m**2 + 1e-4
        ) * along + lateral * (np.eye(3) - along)
        return covariance


def _same(a: Candidate, b: Candidate) -> bool:
    """Whether two proposals may be one object: centres closer than the spreads and sizes allow."""
    apart = a.box.center - b.box.center
    reach = 0.35 * float(np.linalg.norm(np.minimum(a.box.size, b.box.size)))
    spread = a.covariance + b.covariance + np.eye(3) * reach**2
    return float(apart @ np.linalg.solve(spread, apart)) < 2.0


def promising(scores: NDArray[np.float32], frames: int) -> NDArray[np.int64]:
    """The tokens of a query whose proposals are worth reading, best first.

    Args:
        scores: Presence of every token of the clip, [tokens].
        frames: Frames of the clip.
    """
    by_frame = scores.reshape(frames, -1)
    count = min(_TOKENS_PER_FRAME, by_frame.shape[1])
    best = np.argsort(-by_frame, axis=1, kind="stable")[:, :count]
    tokens = (best + np.arange(frames)[:, None] * by_frame.shape[1]).ravel()
    tokens = tokens[np.argsort(-scores[tokens], kind="stable")][:_TOKENS_PER_QUERY]
    chosen: NDArray[np.int64] = tokens[scores[tokens] >= _WORTH * scores[tokens[0]]]
    return chosen


def group(candidates: Sequence[Candidate], threshold: float) -> list[list[Candidate]]:
    """Candidates of one query that show one thing, most evidence first, each group best first.

    Args:
        candidates: Of one query.
        threshold: A thing whose best score is below this is left out.
    """
    groups: list[list[Candidate]] = []
    for candidate in sorted(candidates, key=lambda c: -c.score):
        for known in groups:
            if _same(known[0], candidate):
                known.append(candidate)
                break
        else:
            if candidate.score >= threshold:
                groups.append([candidate])
    return sorted(groups, key=evidence_of, reverse=True)


def evidence_of(candidates: Sequence[Candidate]) -> float:
    """How much speaks for a thing; squared, as doubtful tokens weigh less than sure ones."""
    return sum(candidate.score**2 for candidate in candidates)


def merge(group: Sequence[Candidate], query: str, output_from_working: SE3) -> Detection:
    """The detection of a group of candidates, called as it was asked for.

    Args:
        group: Candidates of one thing.
        query: The text it was found for.
        output_from_working: From the frame of the candidates to the clip's output frame.
    """
    frames = {c.frame for c in group}
    precision = [c.score * np.linalg.inv(c.covariance) for c in group]
    total = np.linalg.inv(sum(precision, np.zeros((3, 3))))
    center = total @ sum(
        (p @ c.box.center for p, c in zip(precision, group, strict=True)), np.zeros(3)
    )
    weights = np.array([c.score / c.proposal.range_std_m**2 for c in group])
    weights /= weights.sum()
    size = np.exp(weights @ np.log([c.box.size for c in group]))
    heading_weights = weights * [c.proposal.heading_weight for c in group]
    doubled = np.exp(2j * np.array([c.box.yaw for c in group])) @ heading_weights
    yaw = float(np.angle(doubled) / 2) if abs(doubled) > 0 else group[0].box.yaw
    estimated = bool(abs(doubled) > _HEADING_ESTIMATED)
    # Tokens of one frame share their errors, and frames of one clip much of theirs: the variance
    # falls with the root of the number of frames, and not at all with that of tokens.
    spread = np.average([c.covariance for c in group], axis=0, weights=weights) / np.sqrt(
        len(frames)
    )
    covariance = np.zeros((6, 6))
    covariance[:3, :3] = spread
    covariance[3, 3] = covariance[4, 4] = UPRIGHT_VARIANCE
    # The spread of a doubled angle of mean resultant length r (circular statistics), halved.
    resultant = min(abs(doubled), 0.999)
    covariance[5, 5] = (
        max(-2 * np.log(resultant) / 4, 0.05**2) if estimated else UNKNOWN_ROTATION_VARIANCE
    )
    turn = np.kron(np.eye(2), output_from_working.rotation)
    measured = [any(c.proposal.measured for c in group if c.frame == f) for f in frames]
    return Detection(
        label=query,
        query=query,
        score=float(max(c.score for c in group)),
        box=Box3D.upright(center, size, yaw).transformed(output_from_working),
        covariance=turn @ covariance @ turn.T,
        orientation_estimated=estimated,
        depth_coverage=float(np.mean(measured)),
        source="head",
        views=tuple(View(c.frame, c.score, np.array([c.pixel], np.int32)) for c in group),
    )
