"""The grounder of the token head: every visual token may propose a box for a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from vega3d_ros.core.geometry import SE3
from vega3d_ros.models.grounders.base import Detection, GrounderError, PointedToken
from vega3d_ros.models.grounders.token_head.box_coding import decode
from vega3d_ros.models.grounders.token_head.head import presence
from vega3d_ros.models.grounders.token_head.merging import Candidate, group, merge, promising

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
    """

    vocabulary = None

    def __init__(self, head: GroundingHead) -> None:
        self.head = head

    def look(self, frame: Frame) -> None:
        """Nothing: all that it rests on is in the clip's reading."""

    def find(
        self,
        clip: Clip,
        evidence: Sequence[None],
        texts: Sequence[str],
        threshold: float,
        reading: ClipReading | None = None,
    ) -> list[list[Detection]]:
        """See ``Grounder.find``.

        Raises:
            GrounderError: Without a reading.
        """
        del evidence
        return [
            self._merged(clip, text, candidates, threshold, reading)
            for text, _, candidates in self._search(clip, texts, threshold, reading)
        ]

    def point(
        self, clip: Clip, texts: Sequence[str], reading: ClipReading | None
    ) -> list[PointedToken]:
        """See ``PointsAtTokens.point``.

        Raises:
            GrounderError: Without a reading.
        """
        pointed = []
        for text, scores, candidates in self._search(clip, texts, 0.0, reading):
            best = int(scores.argmax())
            place = _required(reading).tokens.place(best)
            found = self._merged(clip, text, candidates, 0.0, reading)
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
    ) -> list[Detection]:
        output_from_working = SE3.identity()
        newest = _required(reading).tokens.geometry[-1]
        if not clip.fixed_frame and newest is not None:
            output_from_working = SE3(newest.level_from_optical.T, np.zeros(3))
        return [merge(one, text, output_from_working) for one in group(candidates, threshold)]


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
        index, (int(x), int(y)), score, decode(geometry, row, column, raw), pose or SE3.identity()
    )


def _required(reading: ClipReading | None) -> ClipReading:
    if reading is None:
        msg = "the token head finds things in what a language model has read; give its model too"
        raise GrounderError(msg)
    return reading
