"""What every grounder takes and gives: texts to things with boxes in 3D.

A grounder says what it knows of one keyframe (``look``), which is kept with it, and finds
things in a clip (``find``) from the evidence of its keyframes, from what a language model has read
of the clip, or from both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.core.objects import SceneObject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vega3d_ros.core.frames import Clip, Frame
    from vega3d_ros.core.geometry import Box3D
    from vega3d_ros.core.object_evidence import ObjectEvidence
    from vega3d_ros.models.mllms.clip_reading import ClipReading

Evidence = TypeVar("Evidence")

UPRIGHT_VARIANCE = 0.05**2
"""rad^2 about the horizontal axes, where the direction of gravity is known."""
# Without an estimate, a heading is uniform over a turn; its variance is then pi^2 / 3, and pi^2
# says so beyond doubt to a filter (all finite, as Nav2's message checks demand).
UNKNOWN_ROTATION_VARIANCE = float(np.pi**2)


class GrounderError(Vega3dError, ValueError):
    """A grounder that cannot be used so; the message says what it needs."""


@dataclass(frozen=True, eq=False)
class View:
    """What shows a thing in one frame.

    Attributes:
        frame: Index of the frame in the clip.
        score: Of the detector or the token, in [0, 1].
        pixels: [N, 2] (column, row) in the frame's pixels, a sample of those that show the thing:
            where depth is known, or the centres of tokens. Empty where only a box is known.
        box: (x0, y0, x1, y1) in the frame's pixels, or None.
    """

    frame: int
    score: float
    pixels: NDArray[np.int32]
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, eq=False)
class Detection:
    """One thing, merged over a clip.

    Attributes:
        label: What it is called.
        query: The text it was found for.
        score: In [0, 1], the higher the likelier that this is what the text means.
        box: Its oriented box, metres, in the clip's output frame.
        covariance: [6, 6] of (x, y, z, rotation about x, y, z), m^2 and rad^2, in that frame.
        orientation_estimated: Whether the box's heading is an estimate; if not, it is unknown.
        depth_coverage: In [0, 1]: of what shows it, the share whose range was measured.
        source: What the box rests on: "depth" (measured), "network" (estimated depth), "floor"
            (where its foot meets the floor) or "head" (a learned box).
        views: Where it shows: one for each detection or token that it was merged from.
        alternatives: Other names that it was given, each with its share of the evidence.
        colors: Names of its colours with their shares in [0, 1] of its pixels, the largest first;
            empty where no mask tells them.
        evidence: What the object map merges with that of other clips; None where there is none.
        probability: In [0, 1], that a thing of the name is there, from all that speaks for it;
            None where the score says it.
    """

    label: str
    query: str
    score: float
    box: Box3D
    covariance: NDArray[np.float64]
    orientation_estimated: bool
    depth_coverage: float
    source: str
    views: tuple[View, ...]
    alternatives: tuple[tuple[str, float], ...] = ()
    colors: tuple[tuple[str, float], ...] = ()
    evidence: ObjectEvidence | None = field(default=None, repr=False)
    probability: float | None = None

    @property
    def probability_or_score(self) -> float:
        """The probability or, where there is none, the score."""
        return self.score if self.probability is None else self.probability

    def scene_object(self, clip: Clip) -> SceneObject:
        """As an object of the scene that was made of ``clip``."""
        return SceneObject(
            label=self.label,
            query=self.query,
            score=self.score,
            box=self.box,
            frame_id=clip.output_frame,
            stamp_ns=max(clip.frames[view.frame].stamp_ns for view in self.views),
            covariance=self.covariance,
            orientation_estimated=self.orientation_estimated,
            observations=len({view.frame for view in self.views}),
            depth_coverage=self.depth_coverage,
            source=self.source,
            alternatives=self.alternatives,
            colors=self.colors,
            evidence=self.evidence,
        )


@dataclass(frozen=True)
class PointedToken:
    """The visual token that a text points at, whether or not what it means is there.

    Attributes:
        place: Frame of the clip, and row and column of the token grid.
        score: In [0, 1], the higher the likelier that the token shows what is meant.
        detections: All that may be meant, the likeliest first.
    """

    place: tuple[int, int, int]
    score: float
    detections: tuple[Detection, ...]


class Grounder(Protocol[Evidence]):
    """Finds what texts mean in clips.

    What it keeps of a keyframe depends on that frame alone, so that clips which share keyframes
    share its cost.
    """

    @property
    def vocabulary(self) -> tuple[str, ...] | None:
        """The names that it knows; None for any text."""

    def look(self, frame: Frame) -> Evidence:
        """What is known of one keyframe, to be kept as long as the keyframe."""

    def find(
        self,
        clip: Clip,
        evidence: Sequence[Evidence],
        texts: Sequence[str],
        threshold: float,
        reading: ClipReading | None = None,
    ) -> list[list[Detection]]:
        """Find what texts mean.

        Args:
            clip: Keyframes.
            evidence: What ``look`` gave of each of them.
            texts: Names or descriptions.
            threshold: Things of a lower score are left out.
            reading: What the language model has read of the clip; None without one.

        Returns:
            Of each text, the likeliest first; boxes in ``clip.output_frame``.

        Raises:
            GrounderError: If it needs the reading and there is none.
        """


@runtime_checkable
class PointsAtTokens(Protocol):
    """A grounder that can say more: which visual token each text points at."""

    def point(
        self,
        clip: Clip,
        evidence: Sequence[Any],
        texts: Sequence[str],
        reading: ClipReading | None,
    ) -> list[PointedToken]:
        """The likeliest token of each text, by the search that ``find`` makes at threshold 0."""
