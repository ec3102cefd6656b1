"""Objects over time whose evidence is known: it is merged from clip to clip, and boxes refitted.

Sightings and tracks are one object by the space that they share, as things are within a clip:
under one name a part of it, under two names most of a like volume. A sighting that covers several
surer tracks beside each other is a box around a row of things and is left out; a track that is
seen as several things beside each other often enough was such a box and is divided.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.core.geometry import iou_oriented
from vega3d_ros.core.object_evidence import DOUBLE_SHARE, LIKE_VOLUME, SAME_SHARE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vega3d_ros.core.object_evidence import FrameLook, ObjectEvidence
    from vega3d_ros.core.objects import SceneObject

_APART = 0.1  # below this share two things lie beside each other
_WHOLE = 0.5  # a sighting of more than this share of a track shows it whole
_MARGIN_M = 0.2  # evidence may reach so far out of its box
# A thing is several from so many clips that divide it for each that shows it whole: detectors draw
# one box around two neighbours oftener than two beside each other on one thing.
_SPLITS = 0.5
_SURE_PART = 0.5  # of the surest part's strength: a part that is less sure divides nothing
_LEAST_ALTERNATIVE = 0.01


@dataclass(frozen=True, eq=False)
class MeasuredTrack:
    """An object and what is known of it.

    Attributes:
        item: The object; its evidence is the track's.
        strengths: Of every name that it was given, the sum of its scores over the observations.
        wholes: Clips that showed it whole.
        splits: Clips that showed several things beside each other in its place.
    """

    item: SceneObject
    strengths: Mapping[str, float]
    wholes: int = 1
    splits: int = 0

    @property
    def evidence(self) -> ObjectEvidence:
        """Of the object."""
        return _evidence(self.item)

    @property
    def strength(self) -> float:
        """How often and how surely it was seen under its name."""
        return self.strengths[self.item.label]


class MeasuredTracks:
    """The tracks of objects that come with evidence.

    Args:
        min_overlap: IoU from which two boxes with one label are one object, where voxels share
            too little (front and back of a thing).
    """

    def __init__(self, min_overlap: float) -> None:
        self._min_overlap = min_overlap
        self._tracks: dict[str, MeasuredTrack] = {}
        self._looked_ns: int | None = None

    def __contains__(self, name: object) -> bool:
        return name in self._tracks

    @property
    def items(self) -> dict[str, SceneObject]:
        """The objects by id, without evidence."""
        return {name: replace(one.item, evidence=None) for name, one in self._tracks.items()}

    def clear(self) -> None:
        """Forget everything."""
        self._tracks.clear()
        self._looked_ns = None

    def drop(self, name: str) -> None:
        """Forget one track, if it is here."""
        self._tracks.pop(name, None)

    def update(
        self,
        sightings: Sequence[SceneObject],
        looks: Sequence[FrameLook],
        name_of: Callable[[SceneObject], str],
    ) -> list[str]:
        """Take in what a clip showed.

        Args:
            sightings: With evidence, in the fixed frame.
            looks: Frames of the clip.
            name_of: Gives the id of a sighting that no track here is of.

        Returns:
            Of each sighting the id of its track.
        """
        names: dict[int, str] = {}
        groups: dict[str, list[int]] = {}
        for index, match in enumerate(self._matches(sightings)):
            if match is None:
                names[index] = self._begin(sightings[index], name_of(sightings[index]))
            else:
                name, counts = match
                names[index] = name
                if counts:
                    groups.setdefault(name, []).append(index)
        for name, members in groups.items():
            shown = [sightings[i] for i in members]
            track, others = _divided_or_sighted(self._tracks[name], shown)
            self._tracks[name] = track
            for index, other in others:
                names[members[index]] = self._begin(other, name_of(other))
        seen = set(names.values())
        self._look(looks, seen)
        for name in seen:
            self._tracks[name] = _refitted(self._tracks[name])
        renamed = self._unite(seen, {names[i] for i in range(len(sightings))})
        return [_resolved(names[index], renamed) for index in range(len(sightings))]

    def _begin(self, found: SceneObject, name: str) -> str:
        item = replace(found, id=name, evidence=_evidence(found).kept())
        self._tracks[name] = _begun(item)
        return name

    def _matches(self, sightings: Sequence[SceneObject]) -> list[tuple[str, bool] | None]:
        """Of each sighting its track, and whether it counts; rows do not."""
        matches: list[tuple[str, bool] | None] = []
        for found in sightings:
            near = self._near(found)
            row = _covered_surer(found, near)
            if row is not None:
                matches.append((row, False))
                continue
            alike = {one.item.id: self._likeness(found, one.item) for one in near}
            best = max(alike, key=lambda name: alike[name], default="")
            matches.append((best, True) if best and alike[best] > 0 else None)
        taken = {match[0] for match in matches if match is not None}
        for index, found in enumerate(sightings):
            if matches[index] is None:
                overlaps = {
                    one.item.id: iou_oriented(found.box, one.item.box)
                    for one in self._near(found)
                    if one.item.label == found.label and one.item.id not in taken
                }
                best = max(overlaps, key=lambda name: overlaps[name], default="")
                if best and overlaps[best] >= self._min_overlap:
                    matches[index] = (best, True)
                    taken.add(best)
        return matches

    def _near(self, found: SceneObject) -> list[MeasuredTrack]:
        tracks = list(self._tracks.values())
        if not tracks:
            return []
        centers = np.array([one.item.box.center for one in tracks])
        reach = np.array([np.linalg.norm(one.item.box.size) for one in tracks]) / 2
        reach += np.linalg.norm(found.box.size) / 2 + _MARGIN_M
        apart = np.linalg.norm(centers - found.box.center, axis=1)
        return [tracks[i] for i in np.flatnonzero(apart <= reach)]

    def _likeness(self, a: SceneObject, b: SceneObject, *, side_by_side: bool = False) -> float:
        """Share of space by which both are one object; 0 where they are two."""
        of_a, of_b = _evidence(b).shared(_evidence(a)), _evidence(a).shared(_evidence(b))
        common = max(of_a, of_b)
        # Within a clip no voxel is in two things, even where both are one.
        overlap = iou_oriented(a.box, b.box)
        if overlap >= DOUBLE_SHARE:
            return max(common, overlap)
        if a.label == b.label:
            return common if common > (DOUBLE_SHARE if side_by_side else SAME_SHARE) else 0.0
        one = common > DOUBLE_SHARE and min(of_a, of_b) >= LIKE_VOLUME * common
        return common if one else 0.0

    def _look(self, looks: Sequence[FrameLook], seen: set[str]) -> None:
        """Let new frames tell what is still there, and forget what is not."""
        last = self._looked_ns
        new = [look for look in looks if last is None or look.stamp_ns > last]
        if not new:
            return
        self._looked_ns = max(look.stamp_ns for look in new)
        for name, track in list(self._tracks.items()):
            evidence = track.evidence.looked_at(new)
            if evidence.vanished and name not in seen:
                del self._tracks[name]
            else:
                self._tracks[name] = replace(track, item=replace(track.item, evidence=evidence))

    def _unite(self, seen: set[str], side_by_side: set[str]) -> dict[str, str]:
        """Unite tracks that came to share space; returns old id -> new id."""
        renamed: dict[str, str] = {}
        order = {name: place for place, name in enumerate(self._tracks)}
        waiting = sorted(seen, key=lambda name: order[name])
        while waiting:
            track = self._tracks.get(waiting.pop(0))
            if track is None:
                continue
            for other in self._near(track.item):
                if other is track:
                    continue
                pair = {track.item.id, other.item.id}
                alike = self._likeness(track.item, other.item, side_by_side=pair <= side_by_side)
                if alike > 0:
                    first, second = sorted((track, other), key=lambda one: order[one.item.id])
                    both = _united(first, second)
                    for name in pair - {both.item.id}:
                        del self._tracks[name]
                        renamed[name] = both.item.id
                    self._tracks[both.item.id] = both
                    waiting.append(both.item.id)
                    break
        return renamed


def _begun(item: SceneObject) -> MeasuredTrack:
    return MeasuredTrack(
        item, {name: item.observations * score for name, score in _strengths(item).items()}
    )


def _resolved(name: str, renamed: Mapping[str, str]) -> str:
    while name in renamed:
        name = renamed[name]
    return name


def _evidence(item: SceneObject) -> ObjectEvidence:
    if item.evidence is None:
        msg = f"{item.id or item.label!r} has no evidence; it belongs to the other tracks"
        raise ValueError(msg)
    return item.evidence


def _strength(found: SceneObject) -> float:
    """How often and how surely a clip showed it."""
    return found.observations * found.score


def _strengths(found: SceneObject) -> dict[str, float]:
    """Score of each name that a sighting was given."""
    others = dict(found.alternatives)
    own = max(1.0 - sum(others.values()), 1e-3)
    scores = {name: min(1.0, found.score * share / own) for name, share in others.items()}
    return {**scores, found.label: found.score}


def _covered_surer(found: SceneObject, near: Sequence[MeasuredTrack]) -> str | None:
    """The track that a row covers most of; None for what is no row."""
    strength = _strength(found)
    shares = {
        one.item.id: _evidence(found).shared(one.evidence)
        for one in near
        if one.item.label == found.label and one.strength >= strength
    }
    covered = [one for one in near if shares.get(one.item.id, 0.0) > SAME_SHARE]
    if not _any_beside([one.evidence for one in covered]):
        return None
    return max((one.item.id for one in covered), key=lambda name: shares[name])


def _any_beside(parts: Sequence[ObjectEvidence]) -> bool:
    return any(max(a.shared(b), b.shared(a)) < _APART for a, b in combinations(parts, 2))


def _divided_or_sighted(
    track: MeasuredTrack, shown: Sequence[SceneObject]
) -> tuple[MeasuredTrack, list[tuple[int, SceneObject]]]:
    """The track after a clip that showed it, and what of it turned out to be other objects."""
    wholes, splits = track.wholes, track.splits
    like = [one for one in shown if one.label == track.item.label]
    surest = max((_strength(one) for one in like), default=0.0)
    sure = [_evidence(one) for one in like if _strength(one) >= _SURE_PART * surest]
    if _any_beside(sure):
        splits += 1
        if splits > _SPLITS * wholes:
            # Each was seen whenever the row was.
            seen = track.item.observations
            (_, first), *rest = [
                (shown.index(one), replace(one, observations=seen + one.observations))
                for one in sorted(like, key=lambda one: -one.score)
            ]
            item = replace(first, id=track.item.id, evidence=_evidence(first).kept())
            return _begun(item), rest
    elif any(_evidence(one).shared(track.evidence) > _WHOLE for one in shown):
        wholes += 1
    return replace(_sighted(track, shown), wholes=wholes, splits=splits), []


def _sighted(track: MeasuredTrack, shown: Sequence[SceneObject]) -> MeasuredTrack:
    """The track after a clip that showed it, in one or several parts.

    A clip that is no newer than the track (the same asked twice) changes nothing.
    """
    item = track.item
    newest = max(shown, key=lambda one: (one.stamp_ns, one.score))
    if newest.stamp_ns <= item.stamp_ns:
        return track
    evidence = _evidence(shown[0])
    for one in shown[1:]:
        evidence = evidence.joined(_evidence(one))
    new = max(1, track.evidence.frames_new(evidence))
    strengths = dict(track.strengths)
    for name in {name for one in shown for name in _strengths(one)}:
        best = max(_strengths(one).get(name, 0.0) for one in shown)
        strengths[name] = strengths.get(name, 0.0) + new * best
    seen = item.observations + new
    coverage = item.observations * item.depth_coverage + new * newest.depth_coverage
    item = replace(
        item,
        stamp_ns=newest.stamp_ns,
        observations=seen,
        depth_coverage=coverage / seen,
        source=newest.source,
        colors=newest.colors or item.colors,
        evidence=track.evidence.merged(evidence),
    )
    return replace(track, item=_named(item, strengths, shown), strengths=strengths)


def _united(first: MeasuredTrack, second: MeasuredTrack) -> MeasuredTrack:
    """One track of two, under the id of the one whose name it keeps."""
    a, b = first.item, second.item
    # Under two names the same clips show it twice; under one, different clips do.
    together = max if a.label != b.label else lambda pair: pair[0] + pair[1]
    strengths = {
        name: together((first.strengths.get(name, 0.0), second.strengths.get(name, 0.0)))
        for name in {*first.strengths, *second.strengths}
    }
    seen = together((a.observations, b.observations))
    newest = max(a, b, key=lambda one: one.stamp_ns)
    item = replace(
        newest,
        id=a.id,
        observations=seen,
        evidence=first.evidence.merged(second.evidence),
    )
    item = _named(item, strengths, (a, b))
    if item.label == b.label != a.label:
        item = replace(item, id=b.id)
    track = MeasuredTrack(
        item,
        strengths,
        max(first.wholes, second.wholes),
        max(first.splits, second.splits),
    )
    return _refitted(track)


def _named(
    item: SceneObject, strengths: Mapping[str, float], shown: Sequence[SceneObject]
) -> SceneObject:
    """Under the name with most evidence, the others beside it."""
    ordered = sorted(strengths.items(), key=lambda pair: (-pair[1], pair[0]))
    label, strength = ordered[0]
    total = max(sum(strengths.values()), 1e-9)
    queries = [one.query for one in shown if one.label == label]
    same = item.query if item.label == label else label
    return replace(
        item,
        label=label,
        query=queries[-1] if queries else same,
        score=min(1.0, strength / item.observations),
        alternatives=tuple(
            (name, other / total)
            for name, other in ordered[1:]
            if other / total >= _LEAST_ALTERNATIVE
        ),
    )


def _refitted(track: MeasuredTrack) -> MeasuredTrack:
    """With the box that its evidence gives."""
    fit = track.evidence.fit(track.item.label)
    if fit is None:
        return track
    item = replace(
        track.item,
        box=fit.box,
        covariance=fit.covariance,
        orientation_estimated=fit.orientation_estimated,
    )
    return replace(track, item=item)
