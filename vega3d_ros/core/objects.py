"""What a scene is made of: objects with pose and uncertainty, and answers that rest on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vega3d_ros.core.geometry import Box3D
    from vega3d_ros.core.object_evidence import ObjectEvidence

# Characters of a question, a description or a query: room for the longest questions of VSI-Bench
# with their choices.
LONGEST_TEXT = 2000
MAX_VARIANCE = 1e9  # Nav2 refuses more (nav2_util validate_messages.hpp)


@dataclass(frozen=True, eq=False, kw_only=True)
class SceneObject:
    """An object found in a clip.

    Attributes:
        label: What it is called.
        query: The text it was found for.
        score: In [0, 1], the higher the likelier that this is what the query means; no
            probability, and nothing about how right the box is.
        box: Its oriented box, metres, in ``frame_id``.
        frame_id: The clip's fixed frame, or the newest camera's optical frame without poses.
        stamp_ns: Stamp of the newest frame it was seen in, nanoseconds.
        covariance: [6, 6] of (x, y, z, rotation about x, y, z), m^2 and rad^2, in ``frame_id``.
        orientation_estimated: Whether the box's heading is an estimate; if not, it is unknown.
        observations: Frames of the clip that it was seen in.
        depth_coverage: Share in [0, 1] of those frames whose range came from measured depth.
        id: Name that stays over time, given by the object map; empty before.
        source: What the box rests on: "depth" (measured), "network" (estimated depth), "floor"
            (where its foot meets the floor) or "head" (a learned box); empty where unknown.
        alternatives: Other names that it was given, each with its share of the evidence.
        colors: Names of its colours with their shares in [0, 1] of its pixels, the largest first;
            empty where no mask tells them.
        evidence: What the object map merges with that of other clips; None where there is none,
            and for what the map gives. No message and no log carries it.
    """

    label: str
    query: str
    score: float
    box: Box3D
    frame_id: str
    stamp_ns: int
    covariance: NDArray[np.float64]
    orientation_estimated: bool
    observations: int
    depth_coverage: float
    id: str = ""
    source: str = ""
    alternatives: tuple[tuple[str, float], ...] = ()
    colors: tuple[tuple[str, float], ...] = ()
    evidence: ObjectEvidence | None = field(default=None, repr=False)

    @classmethod
    def certain(cls, label: str, box: Box3D, frame_id: str) -> SceneObject:
        """An object whose label and box are exactly known, as in ground truth."""
        return cls(
            label=label,
            query=label,
            score=1.0,
            box=box,
            frame_id=frame_id,
            stamp_ns=0,
            covariance=np.zeros((6, 6)),
            orientation_estimated=True,
            observations=1,
            depth_coverage=1.0,
        )


@dataclass(frozen=True, eq=False)
class Answer:
    """An answer to a question about a scene.

    Attributes:
        question: As asked.
        text: The answer.
        confidence: In [0, 1]: the probability of the language model's words (geometric mean over
            its tokens), or of what was measured, if the objects' scores were probabilities.
        objects: The objects that the question speaks of, as far as they were found.
        stamp_ns: Stamp of the newest frame it rests on, nanoseconds.
        source: "model" (the language model's words) or "measured" (from the objects' boxes).
    """

    question: str
    text: str
    confidence: float
    objects: tuple[SceneObject, ...]
    stamp_ns: int
    source: str = "model"


def why_unfit(item: SceneObject) -> str:
    """What would make a consumer refuse or misread an object; empty where nothing does.

    The checks of Nav2's message validator, plus those of this package's own fields.
    """
    covariance = np.asarray(item.covariance)
    if not item.label:
        return "it has no label"
    if not item.frame_id:
        return "it has no frame"
    if not 0.0 <= item.score <= 1.0:
        return f"its score {item.score} is outside [0, 1]"
    if not (np.isfinite(item.box.center).all() and np.isfinite(item.box.size).all()):
        return "its box is not finite"
    if covariance.shape != (6, 6) or not np.isfinite(covariance).all():
        return "its covariance is not a finite 6x6 matrix"
    variances = np.diag(covariance)
    if (variances <= 0).any() or (variances > MAX_VARIANCE).any():
        return f"its variances {variances.tolist()} are not in (0, {MAX_VARIANCE:g}]"
    return ""


def publishable(
    objects: Sequence[SceneObject], frame_id: str, min_score: float
) -> tuple[tuple[SceneObject, ...], list[tuple[SceneObject, str]]]:
    """The objects that may be sent in a message: of a high enough score, in its frame, and sound.

    Returns:
        Those objects, and the others of a high enough score, each with what is wrong with it.
    """
    fit, unfit = [], []
    for item in objects:
        if item.score < min_score:
            continue
        reason = why_unfit(item)
        if not reason and item.frame_id != frame_id:
            reason = f"it is in {item.frame_id!r}, the message in {frame_id!r}"
        if reason:
            unfit.append((item, reason))
        else:
            fit.append(item)
    return tuple(fit), unfit
