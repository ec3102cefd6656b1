"""What a scene is made of: objects with pose and uncertainty, and answers that rest on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vega3d_ros.geometry import Box3D


@dataclass(frozen=True, eq=False)
class SceneObject:
    """An object found in a clip.

    Attributes:
        label: What it is called.
        query: The text it was found for.
        score: Probability in [0, 1] that this is what the query means.
        box: Its oriented box, metres, in ``frame_id``.
        frame_id: The clip's fixed frame, or the newest camera's optical frame without poses.
        stamp_ns: Stamp of the newest frame it was seen in, nanoseconds.
        covariance: [6, 6] of (x, y, z, rotation about x, y, z), m^2 and rad^2, in ``frame_id``.
        orientation_estimated: Whether the box's heading is an estimate; if not, it is unknown.
        observations: Frames of the clip that it was seen in.
        depth_coverage: Share in [0, 1] of those frames whose range came from measured depth.
        id: Name that stays over time, given by the memory; empty before.
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


@dataclass(frozen=True, eq=False)
class Answer:
    """An answer to a question about a scene.

    Attributes:
        question: As asked.
        text: The answer, in the model's words.
        confidence: Probability in [0, 1] of the answer's words (geometric mean over its tokens).
        objects: The objects that the question speaks of, as far as they were found.
        stamp_ns: Stamp of the newest frame it rests on, nanoseconds.
    """

    question: str
    text: str
    confidence: float
    objects: tuple[SceneObject, ...]
    stamp_ns: int
