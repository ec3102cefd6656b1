"""The things of one clip: 2D detections of all its frames joined and measured in voxels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.models.detectors.color_names import mean_colors
from vega3d_ros.models.grounders.base import View
from vega3d_ros.models.grounders.lifted.boxes import Fit, fit_box, largest_part
from vega3d_ros.models.grounders.lifted.object_evidence import (
    Circumstances,
    FrameVote,
    ThingEvidence,
)
from vega3d_ros.models.grounders.lifted.regions import Region, region
from vega3d_ros.models.grounders.lifted.standing import stands_on_floor
from vega3d_ros.models.grounders.lifted.tracks import Track, associate, unite
from vega3d_ros.models.grounders.lifted.voxels import union, voxel_keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from vega3d_ros.models.detectors.base import Detection2D
    from vega3d_ros.models.grounders.lifted.evidence import FrameGeometry
    from vega3d_ros.models.grounders.lifted.floor import Floor
    from vega3d_ros.models.grounders.lifted.rules import LiftingRules

    Flags = NDArray[np.bool_]

_CLEARLY = 0.5  # share of a thing's voxels that a frame must see to have seen the thing


def _error(geometry: Sequence[FrameGeometry]) -> float:
    """Of a range, relative; the share that a whole image has counts twice: no mean lessens it."""
    errors = [np.hypot(one.grid.noise, 2 * one.grid.scale_error) for one in geometry]
    return float(np.median(errors))


@dataclass(frozen=True, eq=False)
class Thing:
    """Something that the detections of a clip show.

    Attributes:
        label: Its likeliest name.
        scores: Of every name that it was given, the best score in each frame that gave it.
        fit: Its box in the working frame.
        evidence: Its voxels.
        views: Where it shows.
        clear_views: Frames that saw its place clearly or detected it.
        coverage: Share of the samples in its 2D boxes that have depth.
        source: "depth" or "network".
        colors: Of its masks, the mean over its views; names and shares, the largest first.
    """

    label: str
    scores: Mapping[str, tuple[float, ...]]
    fit: Fit
    evidence: ThingEvidence
    views: tuple[View, ...]
    clear_views: int
    coverage: float
    source: str
    colors: tuple[tuple[str, float], ...]


class ClipThings:
    """Joins the detections of a clip.

    Args:
        geometry: Of each frame with depth, by its index in the clip; all in one working frame.
        detections: Of those frames.
        floor: Of the working frame; None where unknown.
        rules: The parameters.
    """

    def __init__(
        self,
        geometry: Mapping[int, FrameGeometry],
        detections: Mapping[int, Sequence[Detection2D]],
        floor: Floor | None,
        rules: LiftingRules,
    ) -> None:
        self._geometry = geometry
        self._floor = floor
        self._rules = rules
        self.regions: list[Region] = []
        self.without_depth: list[tuple[int, Detection2D]] = []
        solid = {index: self._solid(one) for index, one in geometry.items()}
        for index, one in geometry.items():
            for detection in detections[index]:
                found = region(detection, index, one.grid, solid[index])
                if found is None:
                    self.without_depth.append((index, detection))
                else:
                    self.regions.append(found)
        wanted = {
            index: np.zeros(len(one.voxels.keys), np.bool_) for index, one in geometry.items()
        }
        for found in self.regions:
            own = geometry[found.frame].voxels.index[found.rows, found.columns]
            wanted[found.frame][own[found.inside]] = True
        if self.regions:
            self._keys, self._points = union(
                [(one.voxels, wanted[index]) for index, one in geometry.items()]
            )
            self._looked = {index: one.visibility(self._points) for index, one in geometry.items()}
            self._surface = {
                index: (np.flatnonzero(seen), sample[seen])
                for index, (sample, seen, _) in self._looked.items()
            }

    def find(self) -> list[Thing]:
        """The things, in no particular order."""
        if not self.regions:
            return []
        rules, regions = self._rules, self.regions
        tracks = associate(
            [one.detection.label for one in regions],
            [one.detection.score for one in regions],
            [one.frame for one in regions],
            [self._core_cells(one) for one in regions],
            rules.association,
        )
        found = unite(
            tracks,
            self._belongs,
            rules.same_share,
            rules.double_share,
            rules.like_volume,
        )
        # What lies on or in front of a larger thing is no part of it.
        taken = np.zeros(len(self._keys), np.bool_)
        things = []
        for track, voxels in sorted(found, key=lambda pair: np.count_nonzero(pair[1])):
            own = voxels & ~taken
            if np.count_nonzero(own) >= rules.least_voxels:
                taken |= own
                things.append(self._thing(track, own))
        return things

    def _solid(self, one: FrameGeometry) -> Flags:
        """Samples with depth that are not floor."""
        solid = one.voxels.index >= 0
        if self._floor is not None:
            lowest = self._floor.height_m + self._rules.floor_band_m
            with np.errstate(invalid="ignore"):
                solid &= one.grid.points[..., 2] > lowest + one.grid.noise * one.grid.depth_m
        return solid

    def _core_cells(self, one: Region) -> NDArray[np.int64]:
        points = self._geometry[one.frame].grid.points[one.rows, one.columns][one.core]
        return np.unique(voxel_keys(points, self._rules.cell_m))

    def _weights(self, track: Track) -> dict[int, NDArray[np.float32]]:
        """How surely each sample of each of its frames shows a track, flat."""
        weights: dict[int, NDArray[np.float32]] = {}
        for one in (self.regions[i] for i in track.members):
            shape = self._geometry[one.frame].grid.depth_m.shape
            weight = weights.setdefault(one.frame, np.zeros(shape, np.float32))
            part = weight[one.rows, one.columns]
            own = np.where(one.core, np.float32(1), self._rules.around_core * one.inside)
            np.maximum(part, own, out=part)
        return {frame: weights[frame].ravel() for frame in sorted(weights)}

    def _belongs(self, track: Track) -> Flags:
        """The voxels that belong to a track: inside it to most frames, and connected."""
        inside = np.zeros(len(self._keys), np.float32)
        seen = np.zeros(len(self._keys), np.float32)
        for frame, weight in self._weights(track).items():
            voxels, sample = self._surface[frame]
            inside[voxels] += weight[sample]
            seen[voxels] += 1
        belongs: Flags = (inside > 0) & (inside >= self._rules.accepted * seen - 1e-6)
        chosen = np.flatnonzero(belongs)
        if len(chosen) < self._rules.least_voxels:
            return np.zeros_like(belongs)
        part = largest_part(self._keys[chosen], inside[chosen])
        belongs[chosen[~part]] = False
        return belongs

    def _thing(self, track: Track, voxels: Flags) -> Thing:
        members = [self.regions[i] for i in track.members]
        frames = sorted({one.frame for one in members})
        clearly = {
            index for index, look in self._looked.items() if look[1][voxels].mean() >= _CLEARLY
        }
        scores: dict[str, dict[int, float]] = {}
        for one in members:
            by_frame = scores.setdefault(one.detection.label, {})
            by_frame[one.frame] = max(by_frame.get(one.frame, 0.0), one.detection.score)
        geometry = [self._geometry[frame] for frame in frames]
        eyes = np.stack([one.grid.working_from_optical.translation for one in geometry])
        points = self._points[voxels]
        range_m = float(np.linalg.norm(points.mean(axis=0) - eyes.mean(axis=0)))
        circumstances = Circumstances(
            eyes,
            self._floor,
            bounded=not all(one.cut for one in members),
            gravity_known=all(one.gravity_known for one in geometry),
            noise_m=_error(geometry) * range_m,
            views=len(frames),
        )
        votes = [
            FrameVote(self._geometry[frame], weight)
            for frame, weight in self._weights(track).items()
        ]
        evidence = ThingEvidence.of_clip(
            self._keys[voxels], points, votes, circumstances, self._rules
        )
        fit = fit_box(
            points.astype(np.float64),
            evidence.share,
            self._rules.accepted,
            eyes,
            self._floor.height_m if self._floor else None,
            self._rules.box,
            stands=stands_on_floor(track.label),
            bounded=circumstances.bounded,
            gravity_known=circumstances.gravity_known,
            noise_m=circumstances.noise_m,
        )
        sources = [one.grid.source for one in geometry]
        return Thing(
            track.label,
            {label: tuple(by_frame.values()) for label, by_frame in scores.items()},
            fit,
            evidence,
            tuple(self._view(one, voxels) for one in members),
            len(clearly | set(frames)),
            float(np.mean([one.coverage for one in members])),
            max(set(sources), key=lambda source: (sources.count(source), source)),
            mean_colors([one.detection.colors for one in members]),
        )

    def _view(self, one: Region, voxels: Flags) -> View:
        geometry = self._geometry[one.frame]
        place = np.minimum(np.searchsorted(self._keys, geometry.voxels.keys), len(self._keys) - 1)
        belongs = (self._keys[place] == geometry.voxels.keys) & voxels[place]
        index = geometry.voxels.index[one.rows, one.columns]
        rows, columns = np.nonzero(one.inside & belongs[index])
        u, v = geometry.grid.pixels
        pixels = np.stack([u[columns + one.columns.start], v[rows + one.rows.start]], axis=1)
        return View(one.frame, one.detection.score, pixels.astype(np.int32), one.detection.box)
