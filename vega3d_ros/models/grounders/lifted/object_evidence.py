"""What the object map keeps of a lifted thing: votes of all frames on its voxels.

A clip's voxels carry the votes of its frames. When another clip shows the thing again, its new
frames vote on all voxels known so far, by the rule that holds within a clip. A voxel outside the
image gets no vote, so a view that cuts the thing off takes nothing away. Frames also say through
which voxels they see; a voxel that is seen through more often than seen is gone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.core.object_evidence import BoxFit
from vega3d_ros.models.grounders.lifted.boxes import fit_box, largest_part
from vega3d_ros.models.grounders.lifted.standing import stands_on_floor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vega3d_ros.core.object_evidence import FrameLook
    from vega3d_ros.models.grounders.lifted.floor import Floor
    from vega3d_ros.models.grounders.lifted.rules import LiftingRules

    Keys = NDArray[np.int64]
    Floats = NDArray[np.float32]
    Flags = NDArray[np.bool_]

STAMPS_KEPT = 64
VOXELS_KEPT = 16_384
_VOTES_KEPT = 64.0  # of a voxel; older ones lose weight
_LOOKS_KEPT = 16.0  # the same for whether it is still there
_LEAST_THROUGH = 3.0
_EYE_DIRECTIONS = 16


@dataclass(frozen=True, eq=False)
class FrameVote:
    """How a frame of a clip votes.

    Attributes:
        look: The frame.
        weight: [R * C] in [0, 1], how surely each of its samples shows the thing.
    """

    look: FrameLook
    weight: Floats


@dataclass(frozen=True, eq=False)
class Circumstances:
    """What a box depends on beside voxels.

    Attributes:
        eyes: [E, 3], where the cameras were that showed the thing.
        floor: None where unknown.
        bounded: Whether some view shows the thing uncut.
        gravity_known: Whether z is up by measurement.
        noise_m: Standard deviation of a measured range.
        views: Frames that this rests on.
    """

    eyes: NDArray[np.float64]
    floor: Floor | None
    bounded: bool
    gravity_known: bool
    noise_m: float
    views: int

    def with_other(self, other: Circumstances) -> Circumstances:
        """Of both together."""
        floors = [floor for floor in (self.floor, other.floor) if floor is not None]
        views = self.views + other.views
        return Circumstances(
            _outermost(np.concatenate([self.eyes, other.eyes])),
            max(floors, key=lambda floor: floor.area_m2, default=None),
            self.bounded or other.bounded,
            self.gravity_known and other.gravity_known,
            (self.views * self.noise_m + other.views * other.noise_m) / views,
            min(views, STAMPS_KEPT),
        )


@dataclass(frozen=True, eq=False)
class ThingEvidence:
    """An ``ObjectEvidence`` of voxels.

    Attributes:
        keys: [M], ascending.
        points: [M, 3], mean of the points in each.
        seen: [M], frames that voted on each voxel.
        inside: [M], of them, how many say that it is inside the thing.
        surface: [M], frames that saw a surface there, whatever they show.
        through: [M], frames that saw through it.
        stamps_ns: Of the newest frames that voted, ascending.
        votes: Of the frames of the clip that it comes from; empty for what the map keeps.
        circumstances: What the box depends on besides.
        rules: Of lifting.
    """

    keys: Keys
    points: Floats
    seen: Floats
    inside: Floats
    surface: Floats
    through: Floats
    stamps_ns: tuple[int, ...]
    votes: tuple[FrameVote, ...]
    circumstances: Circumstances
    rules: LiftingRules

    @classmethod
    def of_clip(
        cls,
        keys: Keys,
        points: Floats,
        votes: Sequence[FrameVote],
        circumstances: Circumstances,
        rules: LiftingRules,
    ) -> ThingEvidence:
        """Of the voxels that one clip found.

        Args:
            keys: [M], ascending.
            points: [M, 3].
            votes: Of the frames that detected the thing.
            circumstances: What the box depends on besides.
            rules: Of lifting.
        """
        seen, inside = _tally(points, votes)
        return cls(
            keys,
            points,
            seen,
            inside,
            surface=seen,
            through=np.zeros_like(seen),
            stamps_ns=tuple(sorted(vote.look.stamp_ns for vote in votes))[-STAMPS_KEPT:],
            votes=tuple(votes),
            circumstances=circumstances,
            rules=rules,
        )

    @property
    def share(self) -> Floats:
        """[M] in [0, 1]: how surely each voxel lies inside, mean of the frames that saw it."""
        share: Floats = (self.inside / np.maximum(self.seen, 1e-6)).astype(np.float32)
        return share

    @cached_property
    def _accepted(self) -> Flags:
        accepted: Flags = (self.inside > 0) & (
            self.inside >= self.rules.accepted * self.seen - 1e-4
        )
        return accepted

    @cached_property
    def _gone(self) -> Flags:
        gone: Flags = (self.through >= _LEAST_THROUGH) & (self.through > self.surface)
        return gone

    @cached_property
    def _own(self) -> Keys:
        return self.keys[self._accepted & ~self._gone]

    @property
    def vanished(self) -> bool:
        """See ``ObjectEvidence``."""
        return bool(2 * len(self._own) < np.count_nonzero(self._accepted))

    def shared(self, other: ThingEvidence) -> float:
        """See ``ObjectEvidence``."""
        if not len(other._own):
            return 0.0
        common = np.intersect1d(self._own, other._own, assume_unique=True)
        return len(common) / len(other._own)

    def frames_new(self, other: ThingEvidence) -> int:
        """See ``ObjectEvidence``."""
        return len(set(other.stamps_ns).difference(self.stamps_ns))

    def joined(self, other: ThingEvidence) -> ThingEvidence:
        """See ``ObjectEvidence``."""
        votes = {vote.look.stamp_ns: vote for vote in self.votes}
        for vote in other.votes:
            mine = votes.get(vote.look.stamp_ns)
            weight = vote.weight if mine is None else np.maximum(vote.weight, mine.weight)
            votes[vote.look.stamp_ns] = FrameVote(vote.look, weight)
        keys, first = np.unique(np.concatenate([self.keys, other.keys]), return_index=True)
        return ThingEvidence.of_clip(
            keys,
            np.concatenate([self.points, other.points])[first],
            [votes[stamp] for stamp in sorted(votes)],
            self.circumstances.with_other(other.circumstances),
            self.rules,
        )

    def merged(self, other: ThingEvidence) -> ThingEvidence:
        """See ``ObjectEvidence``."""
        known = set(self.stamps_ns)
        if known.issuperset(other.stamps_ns):
            return self
        new_seen, new_inside = _tally(
            self.points, [vote for vote in other.votes if vote.look.stamp_ns not in known]
        )
        keys = np.union1d(self.keys, other.keys)
        mine, theirs = np.searchsorted(keys, self.keys), np.searchsorted(keys, other.keys)
        points = np.empty((len(keys), 3), np.float32)
        points[theirs], points[mine] = other.points, self.points
        # The other's counts hold for what is new. Of what is known its frames have voted above;
        # between two tracks, whose frames are gone, the counts add up.
        new = np.ones(len(keys), np.bool_)
        if other.votes:
            new[mine] = False
        new = new[theirs]

        def total(own: Floats, others: Floats) -> Floats:
            sums = np.zeros(len(keys), np.float32)
            sums[theirs] = others * new
            sums[mine] += own
            return sums

        both = replace(
            self,
            keys=keys,
            points=points,
            seen=total(self.seen + new_seen, other.seen),
            inside=total(self.inside + new_inside, other.inside),
            surface=total(self.surface, other.surface),
            through=total(self.through, other.through),
            stamps_ns=tuple(sorted(known.union(other.stamps_ns)))[-STAMPS_KEPT:],
            votes=(),
            circumstances=self.circumstances.with_other(other.circumstances),
        )
        return _bounded(both)

    def kept(self) -> ThingEvidence:
        """See ``ObjectEvidence``."""
        return _bounded(replace(self, votes=()))

    def looked_at(self, looks: Sequence[FrameLook]) -> ThingEvidence:
        """See ``ObjectEvidence``."""
        surface, through = self.surface, self.through
        for look in looks:
            _, seen, behind = look.visibility(self.points)
            if seen.any() or behind.any():
                surface, through = surface + seen, through + behind
        if surface is self.surface:
            return self
        scale = np.minimum(1, _LOOKS_KEPT / np.maximum(surface + through, 1)).astype(np.float32)
        return replace(self, surface=surface * scale, through=through * scale)

    def fit(self, label: str) -> BoxFit | None:
        """See ``ObjectEvidence``."""
        chosen = np.flatnonzero(self._accepted & ~self._gone)
        if len(chosen) < self.rules.least_voxels:
            return None
        chosen = chosen[largest_part(self.keys[chosen], self.inside[chosen])]
        if len(chosen) < self.rules.least_voxels:
            return None
        given = self.circumstances
        found = fit_box(
            self.points[chosen].astype(np.float64),
            self.share[chosen],
            self.rules.accepted,
            given.eyes,
            given.floor.height_m if given.floor else None,
            self.rules.box,
            stands=stands_on_floor(label),
            bounded=given.bounded,
            gravity_known=given.gravity_known,
            noise_m=given.noise_m,
        )
        return BoxFit(found.box, found.covariance, found.orientation_estimated)


def _bounded(evidence: ThingEvidence) -> ThingEvidence:
    """With bounded counts, and no more voxels than are kept: the surest."""
    seen, inside = evidence.seen, evidence.inside
    scale = np.minimum(1, _VOTES_KEPT / np.maximum(seen, 1)).astype(np.float32)
    chosen = np.arange(len(seen))
    if len(chosen) > VOXELS_KEPT:
        chosen = np.sort(np.lexsort((inside, evidence.share))[-VOXELS_KEPT:])
    return replace(
        evidence,
        keys=evidence.keys[chosen],
        points=evidence.points[chosen],
        seen=(seen * scale)[chosen],
        inside=(inside * scale)[chosen],
        surface=evidence.surface[chosen],
        through=evidence.through[chosen],
    )


def _tally(points: Floats, votes: Sequence[FrameVote]) -> tuple[Floats, Floats]:
    """[N] each: how many frames see a surface at points, and how many of them inside."""
    seen = np.zeros(len(points), np.float32)
    inside = np.zeros(len(points), np.float32)
    for vote in votes:
        sample, surface, _ = vote.look.visibility(points)
        seen += surface
        inside += vote.weight[sample] * surface
    return seen, inside


def _outermost(eyes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The places from which a side may have been faced: the outermost all around, and the top."""
    angles = np.arange(_EYE_DIRECTIONS) * 2 * np.pi / _EYE_DIRECTIONS
    along = eyes[:, :2] @ np.stack([np.cos(angles), np.sin(angles)])
    kept = np.unique([*along.argmax(axis=0), int(eyes[:, 2].argmax())])
    outermost: NDArray[np.float64] = eyes[kept]
    return outermost
