"""What the object map keeps of an object beside its box, so that the box grows with views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray

    from vega3d_ros.core.geometry import Box3D

SAME_SHARE = 0.3
"""Share of the smaller one's space from which two things of one name are one."""
DOUBLE_SHARE = 0.5
"""The same for two names, with volumes that are alike."""
LIKE_VOLUME = 0.5
"""Least ratio of the volumes of two things of different names that are one."""


@dataclass(frozen=True, eq=False)
class BoxFit:
    """A box around evidence.

    Attributes:
        box: In the fixed frame.
        covariance: [6, 6] of (x, y, z, rotation about x, y, z), m^2 and rad^2.
        orientation_estimated: Whether the heading is an estimate; if not, it is unknown.
    """

    box: Box3D
    covariance: NDArray[np.float64]
    orientation_estimated: bool


class FrameLook(Protocol):
    """A frame with depth and pose that says what it sees of points."""

    @property
    def stamp_ns(self) -> int:
        """Stamp of the frame."""

    def visibility(
        self, points: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
        """How the frame sees points.

        Args:
            points: [N, 3] in the fixed frame.

        Returns:
            [N] each: the sample that looks at the point, whether it sees a surface there, and
            whether it sees through to something behind. Neither where it cannot tell.
        """


@runtime_checkable
class HasLook(Protocol):
    """What a grounder keeps of a keyframe, where that tells what the frame sees of points."""

    @property
    def look(self) -> FrameLook | None:
        """None for a frame without depth, or without pose in a fixed frame."""


class ObjectEvidence(Protocol):
    """Where an object was seen; immutable. Both sides of a method are of one kind."""

    @property
    def vanished(self) -> bool:
        """Whether frames see through most of it."""

    def shared(self, other: Self) -> float:
        """Share in [0, 1] of the other's space that this fills too."""

    def frames_new(self, other: Self) -> int:
        """Frames of the other that this does not know."""

    def joined(self, other: Self) -> Self:
        """With another sighting in the same clip: both show parts of one object."""

    def merged(self, other: Self) -> Self:
        """With what another clip or track says of it; frames that both know count once."""

    def kept(self) -> Self:
        """Without what only merging into an earlier track needs (the frames of its clip)."""

    def looked_at(self, looks: Sequence[FrameLook]) -> Self:
        """After frames that were not shown to it before, whether or not they show the object."""

    def fit(self, label: str) -> BoxFit | None:
        """The box of an object of that name; None where too little is left for one."""
