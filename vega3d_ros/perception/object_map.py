"""Objects over time: stable names, and poses that gather what every clip said."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.transform import Rotation

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.core.geometry import Box3D, iou_axis_aligned
from vega3d_ros.perception.measured_tracks import MeasuredTracks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vega3d_ros.core.object_evidence import FrameLook
    from vega3d_ros.core.objects import SceneObject

    Array = NDArray[np.float64]

# Squared Mahalanobis distance that 99 % of the pairs of one object stay under (chi^2 of 3).
_GATE = 11.345


class ObjectMapOrderError(Vega3dError, ValueError):
    """An update older than the one before; the message says what to do."""


class ObjectMap:
    """Remembers the objects of a place and gives each a name that stays ("chair-3").

    Tracks live in ``fixed_frame`` alone. Objects in any other frame (the camera's, where TF is
    missing) cannot be told apart over time, because that frame moves: they get fresh names at
    every update, never used again, and are forgotten with the next update.

    Objects that come with evidence are tracked by it (``MeasuredTracks``), others by their boxes.

    Args:
        fixed_frame: Frame that does not move with the robot, z up, for example ``map``.
        max_objects: Tracks kept; those unseen for longest are forgotten first.
        max_shift_m: Two sightings whose centres are farther apart are never one object, however
            uncertain they are, unless their boxes overlap.
        min_overlap: Axis-aligned IoU from which two boxes with one label are one object.
    """

    def __init__(
        self,
        fixed_frame: str = "map",
        max_objects: int = 256,
        max_shift_m: float = 1.0,
        min_overlap: float = 0.25,
    ) -> None:
        if max_objects < 1:
            msg = f"max_objects must be at least 1, not {max_objects}"
            raise ValueError(msg)
        self.fixed_frame = fixed_frame
        self.max_objects = max_objects
        self.max_shift_m = max_shift_m
        self.min_overlap = min_overlap
        self._tracks: dict[str, SceneObject] = {}  # by id, oldest first
        self._measured = MeasuredTracks(min_overlap)
        self._fleeting: tuple[SceneObject, ...] = ()
        self._named: Counter[str] = Counter()
        self._stamp_ns: int | None = None

    @property
    def objects(self) -> tuple[SceneObject, ...]:
        """Every track, oldest first, then the objects of the last update that have none."""
        return (*self._tracks.values(), *self._fleeting)

    def clear(self) -> None:
        """Forget everything, names too. Call it when time jumps back or the map changes."""
        self._tracks.clear()
        self._measured.clear()
        self._fleeting = ()
        self._named.clear()
        self._stamp_ns = None

    def update(
        self,
        objects: Sequence[SceneObject],
        stamp_ns: int,
        looks: Sequence[FrameLook] = (),
    ) -> tuple[SceneObject, ...]:
        """Take in what one clip showed.

        Args:
            objects: What was found; those of one update are taken to be different objects.
            stamp_ns: Stamp of the clip, nanoseconds.
            looks: The clip's frames, which tell of objects with evidence whether they are still
                there.

        Returns:
            The objects in the same order, each with its id and, where it has a track, with the
            pose, size, covariance, score and count of the track.

        Raises:
            ObjectMapOrderError: If ``stamp_ns`` is earlier than the update before.
        """
        if self._stamp_ns is not None and stamp_ns < self._stamp_ns:
            msg = (
                f"update at {stamp_ns} ns comes after one at {self._stamp_ns} ns; "
                "call clear() when time jumps back"
            )
            raise ObjectMapOrderError(msg)
        self._stamp_ns = stamp_ns
        in_map = [i for i, found in enumerate(objects) if found.frame_id == self.fixed_frame]
        measured = self._update_measured(
            {i: objects[i] for i in in_map if objects[i].evidence is not None}, looks
        )
        measured |= self._on_measured({i: objects[i] for i in in_map if i not in measured})
        fixed = [i for i in in_map if i not in measured]
        match = self._associate([objects[i] for i in fixed])
        named: list[SceneObject] = []
        fleeting: list[SceneObject] = []
        position = {index: k for k, index in enumerate(fixed)}
        for index, found in enumerate(objects):
            if index in measured:
                named.append(self._tracks[measured[index]])
                continue
            if index not in position:
                named.append(replace(found, id=self._new_id(found.label)))
                fleeting.append(named[-1])
                continue
            track_id = match.get(position[index])
            if track_id is None:
                track = replace(found, id=self._new_id(found.label))
            else:
                track = fuse(self._tracks[track_id], found)
            self._tracks[track.id] = track
            named.append(track)
        self._fleeting = tuple(fleeting)
        renamed = self._unite(seen={found.id for found in named})
        named = [self._tracks[renamed[new.id]] if new.id in renamed else new for new in named]
        self._forget()
        return tuple(named)

    def _update_measured(
        self, found: dict[int, SceneObject], looks: Sequence[FrameLook]
    ) -> dict[int, str]:
        """Take in objects with evidence; returns the ids of their tracks."""
        before = [name for name in self._tracks if name in self._measured]
        names = self._measured.update(list(found.values()), looks, self._taken_over)
        present = self._measured.items
        for name in before:
            if name not in present:
                del self._tracks[name]
        self._tracks.update(present)
        return dict(zip(found, names, strict=True))

    def _taken_over(self, found: SceneObject) -> str:
        """Id of the track without evidence that an object with evidence goes on, or a new one."""
        costs = {track.id: self._cost(track, found) for track in self._unmeasured()}
        best = min(costs, key=lambda name: costs[name], default="")
        if best and np.isfinite(costs[best]):
            del self._tracks[best]
            return best
        return self._new_id(found.label)

    def _on_measured(self, found: dict[int, SceneObject]) -> dict[int, str]:
        """Objects without evidence where one with evidence is known better; ids of its track."""
        names = {}
        measured = [track for name, track in self._tracks.items() if name in self._measured]
        for index, new in found.items():
            costs = {track.id: self._cost(track, new) for track in measured}
            best = min(costs, key=lambda name: costs[name], default="")
            if best and np.isfinite(costs[best]):
                names[index] = best
        return names

    def _unmeasured(self) -> list[SceneObject]:
        return [track for name, track in self._tracks.items() if name not in self._measured]

    def _new_id(self, label: str) -> str:
        label = "_".join(label.split())
        self._named[label] += 1
        return f"{label}-{self._named[label]}"

    def _associate(self, found: Sequence[SceneObject]) -> dict[int, str]:
        """Index in ``found`` -> id of its track, by the cheapest one-to-one assignment."""
        tracks = self._unmeasured()
        if not found or not tracks:
            return {}
        cost = np.array([[self._cost(track, new) for track in tracks] for new in found])
        possible = np.isfinite(cost)
        # A forbidden pair must cost more than any full set of allowed ones, so that it never wins.
        rows, columns = linear_sum_assignment(np.where(possible, cost, 1e3 * (1 + len(found))))
        return {int(r): tracks[c].id for r, c in zip(rows, columns, strict=True) if possible[r, c]}

    def _cost(self, track: SceneObject, new: SceneObject) -> float:
        """How unlikely it is that both are one object; infinite where they cannot be."""
        if track.label != new.label:
            return np.inf
        shift = new.box.center - track.box.center
        spread = track.covariance[:3, :3] + new.covariance[:3, :3] + 1e-6 * np.eye(3)
        squared = float(shift @ np.linalg.solve(spread, shift))
        overlap = iou_axis_aligned(track.box, new.box)
        close = squared <= _GATE and float(np.linalg.norm(shift)) <= self.max_shift_m
        if not close and overlap < self.min_overlap:
            return np.inf
        return min(squared, _GATE) + _GATE * (1.0 - overlap)

    def _unite(self, seen: set[str]) -> dict[str, str]:
        """Unite a track with one that it came to lie on; the older name and the newer state stay.

        Tracks seen side by side in this update are two objects, and tracks that were not seen have
        not moved, so only pairs with one seen member are looked at. Returns old id -> new id.
        """
        renamed: dict[str, str] = {}
        order = [track.id for track in self._unmeasured()]
        for name in [name for name in order if name in seen]:
            track = self._tracks[name]
            for other in [other for other in order if other not in seen]:
                unseen = self._tracks.get(other)
                if unseen is None or unseen.label != track.label:
                    continue
                if iou_axis_aligned(track.box, unseen.box) < self.min_overlap:
                    continue
                if order.index(other) < order.index(track.id):
                    del self._tracks[track.id]
                    track = replace(track, id=other)
                    self._tracks[other] = track
                    renamed[name] = other
                else:
                    del self._tracks[other]
        return renamed

    def _forget(self) -> None:
        by_age = sorted(self._tracks.values(), key=lambda track: (track.stamp_ns, track.score))
        for track in by_age[: max(0, len(by_age) - self.max_objects)]:
            del self._tracks[track.id]
            self._measured.drop(track.id)


def fuse(track: SceneObject, new: SceneObject) -> SceneObject:
    """The track after another sighting of it.

    Poses are weighted by their covariances with covariance intersection (Julier and Uhlmann,
    1997), weights as in its fast form (Niehsen, 2002). Clips that slide over a stream share most
    of their frames, and the errors of one model are alike from clip to clip; covariance
    intersection stays honest for any correlation, where a Kalman update would claim millimetres
    after a minute.

    A sighting that is no newer than the track (the same clip asked twice) changes nothing.
    """
    if new.stamp_ns <= track.stamp_ns:
        return track
    p_track, p_new = _regular(track.covariance), _regular(new.covariance)
    trace_track, trace_new = np.trace(p_track[:3, :3]), np.trace(p_new[:3, :3])
    weight = float(trace_track / (trace_track + trace_new))  # of the new sighting
    information = (1 - weight) * np.linalg.inv(p_track) + weight * np.linalg.inv(p_new)
    covariance = np.linalg.inv(information)
    covariance = (covariance + covariance.T) / 2

    box = _facing_alike(new.box, track.box)
    turn = Rotation.from_matrix(box.rotation @ track.box.rotation.T).as_rotvec()
    difference = np.concatenate([box.center - track.box.center, turn])
    step = covariance @ (weight * np.linalg.inv(p_new)) @ difference
    if track.orientation_estimated == new.orientation_estimated:
        rotation = Rotation.from_rotvec(step[3:]).as_matrix() @ track.box.rotation
        size = (1 - weight) * track.box.size + weight * box.size
    else:  # the size belongs to the heading it was measured along
        known = track.box if track.orientation_estimated else new.box
        rotation, size = known.rotation, known.size

    seen = track.observations + 1
    return replace(
        track,
        query=new.query,
        score=(track.observations * track.score + new.score) / seen,
        box=Box3D(track.box.center + step[:3], size, _orthonormal(rotation)),
        stamp_ns=new.stamp_ns,
        covariance=covariance,
        orientation_estimated=track.orientation_estimated or new.orientation_estimated,
        # Newest frame later than before: at least one more frame, and exactly one where clips
        # slide by one keyframe.
        observations=seen,
        depth_coverage=(track.observations * track.depth_coverage + new.depth_coverage) / seen,
        source=(new if weight >= 0.5 else track).source,  # what most of the pose rests on
        alternatives=new.alternatives or track.alternatives,
        colors=new.colors or track.colors,
    )


def _facing_alike(box: Box3D, reference: Box3D) -> Box3D:
    """The same solid written with the heading, of its four, that is nearest to the reference's."""
    best, least = box, np.inf
    for quarter in range(4):
        turn = Rotation.from_rotvec([0.0, 0.0, quarter * np.pi / 2]).as_matrix()
        rotation = box.rotation @ turn
        angle = float(Rotation.from_matrix(rotation @ reference.rotation.T).magnitude())
        if angle < least - 1e-9:
            size = box.size[[1, 0, 2]] if quarter % 2 else box.size
            best, least = Box3D(box.center, size, rotation), angle
    return best


def _regular(covariance: Array) -> Array:
    """A covariance that can be inverted: no axis is known better than to a millimetre."""
    return covariance + 1e-6 * np.eye(6)


def _orthonormal(rotation: Array) -> Array:
    """Remove the rounding that products of many updates would gather."""
    matrix: Array = Rotation.from_matrix(rotation).as_matrix()
    return matrix
