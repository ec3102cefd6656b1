"""The grounder of 2D detectors: each keyframe is detected once, each clip lifted once."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.core.geometry import SE3
from vega3d_ros.models.depth import FirstDepth, SensorDepth
from vega3d_ros.models.depth.floor_contact import contact, fused, grouped
from vega3d_ros.models.grounders.base import (
    UNKNOWN_ROTATION_VARIANCE,
    UPRIGHT_VARIANCE,
    Detection,
    View,
)
from vega3d_ros.models.grounders.lifted.evidence import FrameEvidence, frame_geometry
from vega3d_ros.models.grounders.lifted.floor import Floor, estimate_floor
from vega3d_ros.models.grounders.lifted.rules import LiftingRules
from vega3d_ros.models.grounders.lifted.score import probability
from vega3d_ros.models.grounders.lifted.standing import stands_on_floor
from vega3d_ros.models.grounders.lifted.things import ClipThings, Thing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vega3d_ros.core.frames import Clip, Frame
    from vega3d_ros.models.depth.base import DepthSource
    from vega3d_ros.models.detectors.base import Detection2D, Detector
    from vega3d_ros.models.mllms.clip_reading import ClipReading

# A box from floor contact is left out where a measured one of the same name is this near.
_SAME_PLACE_M = 1.0
_TEXTS_KEPT = 1024


class LiftedGrounder:
    """Boxes from 2D detections and depth; see :mod:`~vega3d_ros.models.grounders.lifted.things`.

    Args:
        detector: What finds things in images.
        texts: What a detector of any text looks for in every keyframe. Other texts are detected
            when they are asked for, in the keyframes of that clip.
        depth: Where depth comes from for frames of which the sensor has none; None: nowhere.
        floor_m: Height of the floor in the fixed frame, where it is known; else it is estimated
            from what each clip shows.
        rules: Parameters of lifting.
    """

    def __init__(
        self,
        detector: Detector,
        texts: Sequence[str] = (),
        *,
        depth: DepthSource | None = None,
        floor_m: float | None = None,
        rules: LiftingRules | None = None,
    ) -> None:
        self.detector = detector
        self.texts = tuple(dict.fromkeys(texts))
        self.floor_m = floor_m
        self.rules = rules or LiftingRules()
        self.depth = SensorDepth() if depth is None else FirstDepth(SensorDepth(), depth)
        self._known = lru_cache(_TEXTS_KEPT)(detector.known)

    @property
    def vocabulary(self) -> tuple[str, ...] | None:
        """The detector's."""
        return self.detector.vocabulary

    def look(self, frame: Frame) -> FrameEvidence:
        """Detect what a keyframe shows, and sort its depth into voxels."""
        evidence = FrameEvidence([], geometry=frame_geometry(frame, self.depth))
        if self.vocabulary is not None:
            evidence.detections = self.detector.detect([frame.picture], ())[0]
        elif self.texts:
            self._ask([frame], [evidence], self.texts)
        return evidence

    def find(
        self,
        clip: Clip,
        evidence: Sequence[FrameEvidence],
        texts: Sequence[str],
        threshold: float,
        reading: ClipReading | None = None,
    ) -> list[list[Detection]]:
        """See ``Grounder.find``.

        A thing comes under its likeliest name; under another name that it was given it comes only
        where the likeliest one is not among the texts. Without poses in one fixed frame, only the
        newest keyframe counts. What a language model has read is not used.
        """
        del reading
        names = [self._known(text) for text in texts]
        if self.vocabulary is None:
            asked = [name for name in dict.fromkeys(names) if name is not None]
            self._ask(clip.frames, evidence, asked)
        frames = range(len(clip)) if clip.fixed_frame else range(len(clip) - 1, len(clip))
        floor = self._floor(clip, [evidence[i] for i in frames])
        geometry = {i: one for i in frames if (one := evidence[i].geometry) is not None}
        lifted = ClipThings(
            geometry,
            {i: evidence[i].detections for i in frames},
            floor,
            self.rules,
        )
        things = lifted.find()
        output_from_working = SE3.identity()
        if not clip.fixed_frame and geometry:
            output_from_working = geometry[frames[-1]].optical_from_working
        blind = lifted.without_depth + [
            (i, found) for i in frames if i not in geometry for found in evidence[i].detections
        ]
        grounded = self._on_floor(clip, blind, floor, things) if clip.fixed_frame else []
        asked_names = {name for name in names if name is not None}
        results: list[list[Detection]] = []
        for text, name in zip(texts, names, strict=True):
            found = [
                _detection(thing, name, text, output_from_working, lasting=bool(clip.fixed_frame))
                for thing in things
                if name is not None
                and name in thing.scores
                and (name == thing.label or thing.label not in asked_names)
            ]
            found += [replace(one, query=text) for one in grounded if one.label == name]
            found = [one for one in found if one.score >= threshold]
            results.append(sorted(found, key=lambda one: -one.score))
        return results

    def _ask(
        self, frames: Sequence[Frame], evidence: Sequence[FrameEvidence], texts: Sequence[str]
    ) -> None:
        """Let a detector of any text look for what it was not asked before."""
        for frame, one in zip(frames, evidence, strict=True):
            new = [text for text in texts if text not in one.asked]
            if new:
                one.detections = [*one.detections, *self.detector.detect([frame.picture], new)[0]]
                one.asked.update(new)

    def _floor(self, clip: Clip, evidence: Sequence[FrameEvidence]) -> Floor | None:
        if self.floor_m is not None and clip.fixed_frame:
            return Floor(self.floor_m, 0.0)
        return estimate_floor([one.geometry.facing_up for one in evidence if one.geometry])

    def _on_floor(
        self,
        clip: Clip,
        blind: Sequence[tuple[int, Detection2D]],
        floor: Floor | None,
        things: Sequence[Thing],
    ) -> list[Detection]:
        """What the detections without depth tell, where a floor is known."""
        if floor is None:
            return []
        contacts = []
        for index, found in blind:
            frame = clip.frames[index]
            if frame.camera is None or frame.pose is None or not stands_on_floor(found.label):
                continue
            one = contact(found, index, frame.camera, frame.pose, floor.height_m)
            if one is not None:
                contacts.append(one)
        detections = []
        for group in grouped(contacts):
            box, placed = fused(group)
            covariance = np.diag([0.0] * 3 + [UPRIGHT_VARIANCE] * 2 + [UNKNOWN_ROTATION_VARIANCE])
            covariance[:3, :3] = placed
            label = group[0].detection.label
            if any(
                label in thing.scores
                and np.linalg.norm(thing.fit.box.center - box.center) < _SAME_PLACE_M
                for thing in things
            ):
                continue
            detections.append(
                Detection(
                    label=label,
                    query=label,
                    score=probability([one.detection.score for one in group], len(group)),
                    box=box,
                    covariance=covariance,
                    orientation_estimated=False,
                    depth_coverage=0.0,
                    source="floor",
                    views=tuple(
                        View(
                            one.frame,
                            one.detection.score,
                            np.empty((0, 2), np.int32),
                            one.detection.box,
                        )
                        for one in group
                    ),
                )
            )
        return detections


def _detection(
    thing: Thing, name: str, text: str, output_from_working: SE3, *, lasting: bool
) -> Detection:
    """A thing under one of its names; its evidence lasts where its frame stays."""
    total = sum(sum(scores) for scores in thing.scores.values())
    others = sorted(
        ((sum(scores) / total, label) for label, scores in thing.scores.items() if label != name),
        reverse=True,
    )
    turn = np.kron(np.eye(2), output_from_working.rotation)
    return Detection(
        label=name,
        query=text,
        score=probability(thing.scores[name], thing.clear_views),
        box=thing.fit.box.transformed(output_from_working),
        covariance=turn @ thing.fit.covariance @ turn.T,
        orientation_estimated=thing.fit.orientation_estimated,
        depth_coverage=thing.coverage,
        source=thing.source,
        views=thing.views,
        alternatives=tuple((label, share) for share, label in others),
        colors=thing.colors,
        evidence=thing.evidence if lasting else None,
    )
