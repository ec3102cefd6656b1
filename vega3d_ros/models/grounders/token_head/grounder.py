"""The grounder of the token head: every visual token may propose a box for a query."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from vega3d_ros.core.geometry import SE3
from vega3d_ros.models.depth import SensorDepth
from vega3d_ros.models.grounders.base import Detection, GrounderError, PointedToken
from vega3d_ros.models.grounders.lifted.evidence import FrameGeometry, frame_geometry
from vega3d_ros.models.grounders.token_head.box_coding import decode
from vega3d_ros.models.grounders.token_head.clusters import Clusters, find_clusters
from vega3d_ros.models.grounders.token_head.head import presence
from vega3d_ros.models.grounders.token_head.merging import (
    Candidate,
    evidence_of,
    group,
    merge,
    promising,
)
from vega3d_ros.models.grounders.token_head.votes import elected, measured, presence_probability

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vega3d_ros.core.frames import Clip, Frame
    from vega3d_ros.models.fusion.clip_tokens import ClipTokens
    from vega3d_ros.models.grounders.token_head.head import GroundingHead
    from vega3d_ros.models.mllms.clip_reading import ClipReading


class TokenHeadGrounder:
    """Finds any text by the tokens that a language model has read.

    Args:
        head: Trained with that language model.
        votes: Whether boxes are measured by votes for clusters of depth points, and things
            ordered by all that speaks for them, in clips with depth and one fixed frame.
    """

    vocabulary = None

    def __init__(self, head: GroundingHead, *, votes: bool = False) -> None:
        self.head = head
        self.votes = votes
        self._clustered: tuple[list[FrameGeometry | None], Clusters | None] = ([], None)

    def look(self, frame: Frame) -> FrameGeometry | None:
        """The frame's depth where tokens vote; all else that it rests on is in the reading."""
        return frame_geometry(frame, SensorDepth()) if self.votes else None

    def find(
        self,
        clip: Clip,
        evidence: Sequence[FrameGeometry | None],
        texts: Sequence[str],
        threshold: float,
        reading: ClipReading | None = None,
    ) -> list[list[Detection]]:
        """See ``Grounder.find``.

        Raises:
            GrounderError: Without a reading.
        """
        clusters = self._clusters(clip, evidence)
        return [
            self._merged(clip, text, candidates, threshold, reading, clusters)
            for text, _, candidates in self._search(clip, texts, threshold, reading)
        ]

    def point(
        self,
        clip: Clip,
        evidence: Sequence[FrameGeometry | None],
        texts: Sequence[str],
        reading: ClipReading | None,
    ) -> list[PointedToken]:
        """See ``PointsAtTokens.point``.

        Raises:
            GrounderError: Without a reading.
        """
        clusters = self._clusters(clip, evidence)
        pointed = []
        for text, scores, candidates in self._search(clip, texts, 0.0, reading):
            best = int(scores.argmax())
            place = _required(reading).tokens.place(best)
            found = self._merged(clip, text, candidates, 0.0, reading, clusters)
            pointed.append(PointedToken(place, float(scores[best]), tuple(found)))
        return pointed

    @torch.inference_mode()
    def _search(
        self, clip: Clip, texts: Sequence[str], threshold: float, reading: ClipReading | None
    ) -> list[tuple[str, NDArray[np.float32], list[Candidate]]]:
        """For each text: presence of every token [T], and candidates of the promising ones.

        Where no token reaches the threshold, none is promising.
        """
        reading = _required(reading)
        if not texts:
            return []
        tokens, head = reading.tokens, self.head
        states = reading.ground_states(texts)
        scores = presence(head.scores(tokens.flat, tokens.features, states)).cpu().numpy()
        pairs = [
            (query, int(token))
            for query, row in enumerate(scores)
            if row.max() >= threshold
            for token in promising(row, len(clip))
        ]
        numbers = torch.tensor(pairs, dtype=torch.long, device=states.device).view(-1, 2)
        queries, chosen = numbers[:, 0], numbers[:, 1]
        raw = head.boxes(tokens.flat[chosen], tokens.features[chosen], states[queries])
        candidates: list[list[Candidate]] = [[] for _ in texts]
        for (query, token), values in zip(pairs, raw.cpu().numpy(), strict=True):
            placed = _placed(clip, tokens, token, float(scores[query, token]), values)
            if placed is not None:
                candidates[query].append(placed)
        return list(zip(texts, scores, candidates, strict=True))

    def _merged(
        self,
        clip: Clip,
        text: str,
        candidates: list[Candidate],
        threshold: float,
        reading: ClipReading | None,
        clusters: Clusters | None,
    ) -> list[Detection]:
        if clusters is not None:
            return _voted(group(candidates, threshold), text, clusters)
        output_from_working = SE3.identity()
        newest = _required(reading).tokens.geometry[-1]
        if not clip.fixed_frame and newest is not None:
            output_from_working = SE3(newest.level_from_optical.T, np.zeros(3))
        return [merge(one, text, output_from_working) for one in group(candidates, threshold)]

    def _clusters(self, clip: Clip, evidence: Sequence[FrameGeometry | None]) -> Clusters | None:
        """Those of the clip, computed once."""
        if not self.votes or not clip.fixed_frame:
            return None
        known, clusters = self._clustered
        if len(known) != len(evidence) or any(
            a is not b for a, b in zip(known, evidence, strict=True)
        ):
            geometry = {i: one for i, one in enumerate(evidence) if one is not None and one.fixed}
            clusters = find_clusters(geometry)
            self._clustered = (list(evidence), clusters)
        return clusters


def _voted(groups: list[list[Candidate]], text: str, clusters: Clusters) -> list[Detection]:
    """Detections of groups, measured where their tokens vote for a cluster, likeliest first."""
    best = max((evidence_of(one) for one in groups), default=0.0)
    detections = []
    for one in groups:
        learned = merge(one, text, SE3.identity())
        points = elected(one, clusters)
        found = None
        if points is not None:
            found = measured(learned, points, floor_m=clusters.floor_m, heading=clusters.heading)
        chance = presence_probability(one, best, voted=found is not None)
        detections.append(replace(found or learned, probability=chance))
    return sorted(detections, key=lambda found: -found.probability_or_score)


def _placed(
    clip: Clip, tokens: ClipTokens, token: int, score: float, raw: NDArray[np.float32]
) -> Candidate | None:
    """A token's proposal in the working frame; None where its camera's place is not known."""
    index, row, column = tokens.place(token)
    geometry = tokens.geometry[index]
    if geometry is None or (not clip.fixed_frame and index != len(clip) - 1):
        return None
    pose = geometry.fixed_from_level if clip.fixed_frame else None
    x, y = np.floor(geometry.pixels[row, column] + 0.5).astype(int)
    return Candidate(
        index,
        (int(x), int(y)),
        score,
        decode(geometry, row, column, raw),
        pose or SE3.identity(),
        geometry.pitch_px,
    )


def _required(reading: ClipReading | None) -> ClipReading:
    if reading is None:
        msg = "the token head finds things in what a language model has read; give its model too"
        raise GrounderError(msg)
    return reading
