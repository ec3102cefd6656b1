"""Which 2D detections of several frames show one thing.

Detections of a name are joined pair by pair, the most alike first, by the space that their cores
share. The result does not depend on the order of the frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Flags = NDArray[np.bool_]
    Keys = NDArray[np.int64]

_APART = 0.1  # share of space below which two tracks lie beside each other


@dataclass(frozen=True)
class Track:
    """Detections of one thing.

    Attributes:
        label: The name with most evidence.
        members: Indices of the detections, ascending.
        strengths: Of every name that it was given, the sum of the detections' scores.
    """

    label: str
    members: tuple[int, ...]
    strengths: tuple[tuple[str, float], ...]

    @property
    def strength(self) -> float:
        """Sum of the scores under its own name."""
        return dict(self.strengths)[self.label]


def associate(
    labels: Sequence[str],
    scores: Sequence[float],
    frames: Sequence[int],
    cells: Sequence[Keys],
    share: float,
) -> list[Track]:
    """Join detections of the same name in different frames.

    Args:
        labels: Name of each detection.
        scores: Of each.
        frames: Frame of each; those of one frame are different things at first.
        cells: Keys of the cells that each one's core fills.
        share: Of the cells of the smaller one, how much both must fill.
    """
    tracks = []
    for label in sorted(set(labels)):
        members = [i for i, other in enumerate(labels) if other == label]
        for group in _cluster([frames[i] for i in members], [cells[i] for i in members], share):
            found = tuple(members[k] for k in sorted(group))
            tracks.append(Track(label, found, ((label, sum(scores[i] for i in found)),)))
    return tracks


def _cluster(frames: Sequence[int], cells: Sequence[Keys], share: float) -> list[list[int]]:
    """Agglomerative clustering; a cluster fills a cell as often as its members do."""
    keys, inverse = np.unique(np.concatenate(cells), return_inverse=True)
    count = len(cells)
    filled = np.zeros((count, len(keys)), np.float32)
    owner = np.repeat(np.arange(count), [len(own) for own in cells])
    filled[owner, inverse] = 1.0
    groups: list[list[int]] = [[i] for i in range(count)]
    together = np.array([[a == b for b in frames] for a in frames])
    size = filled.sum(axis=1)
    shared = np.minimum(filled[:, None], filled[None]).sum(axis=2) if count < 12 else np.stack(
        [np.minimum(filled, row).sum(axis=1) for row in filled]
    )  # fmt: skip
    alive = np.ones(count, np.bool_)
    while True:
        smaller = np.minimum(size[:, None], size[None])
        likeness = shared / (size[:, None] + size[None] - shared)
        allowed = ~together & (shared >= share * smaller) & alive[:, None] & alive[None]
        likeness = np.where(allowed, likeness, -1.0)
        a, b = divmod(int(likeness.argmax()), count)
        if likeness[a, b] < 0:
            return [groups[i] for i in np.flatnonzero(alive)]
        first, second = len(groups[a]), len(groups[b])
        filled[a] = (first * filled[a] + second * filled[b]) / (first + second)
        groups[a] = groups[a] + groups[b]
        alive[b] = False
        together[a] |= together[b]
        together[:, a] = together[a]
        size[a] = filled[a].sum()
        shared[a] = np.minimum(filled, filled[a]).sum(axis=1)
        shared[:, a] = shared[a]


def unite(
    tracks: Sequence[Track],
    measure: Callable[[Track], Flags],
    same_share: float,
    double_share: float,
    like_volume: float,
) -> list[tuple[Track, Flags]]:
    """Make one track of those that show one thing.

    Tracks of a name that share space are one, but for one that covers several others which lie
    beside each other and are each surer: a box around a row of things is dropped. Tracks of
    different names are one if they share most of a like volume; the surer name stays.

    Args:
        tracks: Of ``associate``.
        measure: The voxels of a track, as flags over all voxels of the clip.
        same_share: Of the voxels of the smaller one, from which tracks of a name are one.
        double_share: The same for different names.
        like_volume: Smallest ratio of the volumes of tracks of different names that are one.

    Returns:
        Tracks and their voxels; those without any are left out.
    """
    found = [(track, measure(track)) for track in tracks]
    found = [pair for pair in found if pair[1].any()]
    found = _without_rows(found, same_share)
    while True:
        best, pair = 0.0, None
        sizes = [int(np.count_nonzero(voxels)) for _, voxels in found]
        for i, j in combinations(range(len(found)), 2):
            smaller, larger = sorted((sizes[i], sizes[j]))
            common = int(np.count_nonzero(found[i][1] & found[j][1])) / smaller
            if found[i][0].label == found[j][0].label:
                one = common > same_share
            else:
                one = common > double_share and smaller >= like_volume * larger
            if one and common > best:
                best, pair = common, (i, j)
        if pair is None:
            return found
        joined = _joined(found[pair[0]][0], found[pair[1]][0])
        found = [item for k, item in enumerate(found) if k not in pair]
        voxels = measure(joined)
        if voxels.any():
            found.append((joined, voxels))


def _joined(a: Track, b: Track) -> Track:
    strengths = dict(a.strengths)
    for label, strength in b.strengths:
        strengths[label] = strengths.get(label, 0.0) + strength
    ordered = sorted(strengths.items(), key=lambda item: (-item[1], item[0]))
    return Track(ordered[0][0], tuple(sorted({*a.members, *b.members})), tuple(ordered))


def _without_rows(
    found: Sequence[tuple[Track, Flags]], same_share: float
) -> list[tuple[Track, Flags]]:
    """Without tracks that cover several surer ones of the same name beside each other."""
    kept = []
    for track, voxels in found:
        covered = [
            other_voxels
            for other, other_voxels in found
            if other is not track
            and other.label == track.label
            and other.strength >= track.strength
            and np.count_nonzero(other_voxels & voxels)
            > same_share * np.count_nonzero(other_voxels)
        ]
        beside = any(
            np.count_nonzero(a & b) < _APART * min(np.count_nonzero(a), np.count_nonzero(b))
            for a, b in combinations(covered, 2)
        )
        if not beside:
            kept.append((track, voxels))
    return kept
