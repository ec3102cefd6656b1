"""How one object lies relative to another: left of, behind, how far, at what bearing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import lsq_linear
from scipy.special import ndtr

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.core.geometry import SE3

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from vega3d_ros.core.frames import Frame
    from vega3d_ros.core.geometry import Box3D
    from vega3d_ros.core.objects import SceneObject

    Array = NDArray[np.float64]

NEAR_M = 0.5
TOUCHING_M = 0.05
# A direction word holds where it covers a fair share of the way: sin of half a sector of eight.
_SHARE = float(np.sin(np.pi / 8))
_UP = (0.0, 0.0, 1.0)
_OPTICAL_UP = (0.0, -1.0, 0.0)

OPPOSITE = {
    "left of": "right of",
    "right of": "left of",
    "in front of": "behind",
    "behind": "in front of",
    "above": "below",
    "below": "above",
    "near": "near",
    "touching": "touching",
}
"""What follows for (object, subject) from what holds for (subject, object); "inside" has none."""


class RelationError(Vega3dError, ValueError):
    """A relation that cannot be told; the message says why."""


@dataclass(frozen=True, eq=False)
class Viewpoint:
    """Where, and facing where, left and right are told from.

    Attributes:
        name: "camera", the name of a fixed frame, or the label of an object stood at.
        frame_id: Frame that it is given in.
        frame_from_viewer: Viewer's axes in that frame: x ahead and y left, both level, z up.
        placed: Whether the viewer has a position; without one the view is along parallel lines.
    """

    name: str
    frame_id: str
    frame_from_viewer: SE3
    placed: bool = True

    @classmethod
    def camera(cls, frame_id: str, frame_from_camera: SE3 | None) -> Viewpoint:
        """The view of a camera.

        Args:
            frame_id: Frame of the objects: one with z up, or the camera's optical frame.
            frame_from_camera: The camera's (optical) pose in it; None if ``frame_id`` is the
                optical frame itself. The camera is then taken to be held level.

        Raises:
            RelationError: If the camera looks straight up or down, where nothing is "ahead".
        """
        if frame_from_camera is None:
            return cls("camera", frame_id, _viewer(np.zeros(3), (0.0, 0.0, 1.0), _OPTICAL_UP))
        ahead = frame_from_camera.rotation[:, 2]
        return cls("camera", frame_id, _viewer(frame_from_camera.translation, ahead, _UP))

    @classmethod
    def fixed(cls, frame_id: str) -> Viewpoint:
        """The axes of a fixed frame: ahead is its +x, left its +y; no position."""
        return cls(frame_id, frame_id, SE3.identity(), placed=False)

    @classmethod
    def at(cls, standing: SceneObject, facing: SceneObject, *, optical: bool = False) -> Viewpoint:
        """Standing at one object and facing another.

        Args:
            standing: Where to stand.
            facing: Where to look.
            optical: Whether their frame is a camera's optical frame (y down), not one with z up.

        Raises:
            RelationError: If they are in different frames or one straight above the other.
        """
        _same_frame(standing.frame_id, facing.frame_id)
        ahead = facing.box.center - standing.box.center
        viewer = _viewer(standing.box.center, ahead, _OPTICAL_UP if optical else _UP)
        return cls(standing.label, standing.frame_id, viewer)


@dataclass(frozen=True, eq=False, kw_only=True)
class Relation:
    """How ``subject`` lies relative to ``object``: "the subject is <predicate> the object".

    Attributes:
        subject: The thing placed.
        object: The thing it is placed against.
        viewpoint: Name of the viewpoint.
        predicates: All that hold, of "left of", "right of", "in front of", "behind", "above",
            "below", "inside", "touching", "near"; the clearest direction first.
        confidence: In [0, 1]: the scores of both times the probability that the first direction
            among the predicates holds, given the covariances of both.
        distance_m: Between the closest points of the two boxes; 0 where they touch.
        center_distance_m: Between the two centres.
        offset_m: [3], from the object's centre to the subject's: ahead, left and up for the viewer
            who turned to the two, as the words are told.
        subject_distance_m: From the viewpoint to the subject's centre; NaN without a position.
        subject_bearing_rad: Of the subject's centre from the viewpoint, in (-pi, pi], 0 ahead,
            positive to the left; NaN without a position.
    """

    subject: SceneObject
    object: SceneObject
    viewpoint: str
    predicates: tuple[str, ...]
    confidence: float
    distance_m: float
    center_distance_m: float
    offset_m: Array
    subject_distance_m: float
    subject_bearing_rad: float


def relate(
    subject: SceneObject,
    object_: SceneObject,
    viewpoint: str | SceneObject | Viewpoint = "camera",
    frame: Frame | None = None,
) -> Relation:
    """Tell how ``subject`` lies relative to ``object_``, seen from ``viewpoint``.

    Left and right are the order in which a viewer at the viewpoint who turns to the two sees them;
    "in front of" is nearer to the viewer, "behind" farther. So a is left of b exactly where b is
    right of a. "above" and "below" need the boxes to be clear of each other in height and close
    sideways.

    Args:
        subject: The thing placed.
        object_: The thing it is placed against.
        viewpoint: "camera" (the view of ``frame``), the name of the objects' fixed frame (its
            axes), an object to stand at while facing ``object_``, or a viewpoint made before.
        frame: The newest frame. Needed for "camera", and to tell its frame from a fixed one.

    Raises:
        RelationError: If they are not given in one frame, or the viewpoint is not known there.
    """
    _same_frame(subject.frame_id, object_.frame_id)
    if not isinstance(viewpoint, Viewpoint):
        viewpoint = _viewpoint(viewpoint, object_, frame)
    _same_frame(subject.frame_id, viewpoint.frame_id)
    a, b = subject.box, object_.box
    viewer = viewpoint.frame_from_viewer
    offset = a.center - b.center
    sight = _line_of_sight(viewpoint, (a.center + b.center) / 2)
    distance_m = closest_distance(a, b)

    directions = _directions(offset, sight)
    vertical = _vertical(a, b, sight[2])
    probability = 1.0
    holding = [*directions, *vertical]
    if holding:
        axis = holding[0][1]
        spread = subject.covariance[:3, :3] + object_.covariance[:3, :3]
        sigma = float(np.sqrt(np.maximum(axis @ spread @ axis, 1e-12)))
        probability = float(ndtr(float(axis @ offset) / sigma))
    predicates = [word for word, _ in holding]
    if _inside(a, b):
        predicates.append("inside")
    if distance_m <= TOUCHING_M:
        predicates.append("touching")
    if distance_m <= NEAR_M:
        predicates.append("near")

    seen = viewer.inverse().apply(a.center)
    return Relation(
        subject=subject,
        object=object_,
        viewpoint=viewpoint.name,
        predicates=tuple(predicates),
        confidence=subject.score * object_.score * probability,
        distance_m=distance_m,
        center_distance_m=float(np.linalg.norm(offset)),
        offset_m=sight @ offset,
        subject_distance_m=float(np.linalg.norm(seen)) if viewpoint.placed else float("nan"),
        subject_bearing_rad=(
            float(np.arctan2(seen[1], seen[0])) if viewpoint.placed else float("nan")
        ),
    )


def _viewpoint(wanted: str | SceneObject, facing: SceneObject, frame: Frame | None) -> Viewpoint:
    frame_id = facing.frame_id
    optical = frame is not None and frame_id == frame.frame_id
    if not isinstance(wanted, str):
        return Viewpoint.at(wanted, facing, optical=optical)
    if wanted == frame_id and not optical:
        return Viewpoint.fixed(frame_id)
    if wanted != "camera":
        msg = (
            f"viewpoint {wanted!r} is not known; use 'camera', the fixed frame or an object found"
        )
        raise RelationError(msg)
    if frame is None:
        msg = "the camera's viewpoint needs the newest frame"
        raise RelationError(msg)
    if optical:
        return Viewpoint.camera(frame_id, None)
    _same_frame(frame_id, frame.fixed_frame)
    return Viewpoint.camera(frame_id, frame.pose)


def closest_distance(a: Box3D, b: Box3D) -> float:
    """Metres between the closest points of two boxes turned in any way; 0 where they touch."""
    on_a, on_b = closest_points(a, b)
    distance = float(np.linalg.norm(on_a - on_b))
    return distance if distance > 1e-6 else 0.0


def closest_points(a: Box3D, b: Box3D) -> tuple[Array, Array]:
    """The point of ``a`` and the point of ``b``, each [3], that are closest to one another.

    The least squares problem min |(a.center + A x) - (b.center + B y)| with x and y bounded by the
    half sizes, which is exact for boxes. Where they overlap, both are one of the shared points.
    """
    half = np.concatenate([a.size, b.size]) / 2
    axes = np.hstack([a.rotation, -b.rotation])
    found = lsq_linear(axes, b.center - a.center, bounds=(-half, half), method="bvls", tol=1e-12)
    return a.center + a.rotation @ found.x[:3], b.center + b.rotation @ found.x[3:]


def _viewer(origin: Array, ahead: ArrayLike, up: ArrayLike) -> SE3:
    up = np.asarray(up, dtype=np.float64)
    level = np.asarray(ahead, dtype=np.float64)
    level = level - (level @ up) * up
    length = float(np.linalg.norm(level))
    if length < 1e-6:
        msg = "the viewpoint looks straight up or down; left and right are not defined there"
        raise RelationError(msg)
    level = level / length
    return SE3(np.stack([level, np.cross(up, level), up], axis=1), origin)


def _same_frame(a: str, b: str) -> None:
    if a != b:
        msg = f"cannot relate {a!r} to {b!r}; bring both to one frame first"
        raise RelationError(msg)


def _line_of_sight(viewpoint: Viewpoint, middle: Array) -> Array:
    """Rows [3, 3]: ahead, left and up for a viewer who turned to ``middle``."""
    axes = viewpoint.frame_from_viewer.rotation.T
    if not viewpoint.placed:
        return axes
    toward = axes @ (middle - viewpoint.frame_from_viewer.translation)
    length = float(np.hypot(toward[0], toward[1]))
    if length < 1e-3:  # stands between them: keeps looking where it looked
        return axes
    ahead = (toward[0] * axes[0] + toward[1] * axes[1]) / length
    return np.stack([ahead, np.cross(axes[2], ahead), axes[2]])


def _directions(offset: Array, sight: Array) -> list[tuple[str, Array]]:
    """Direction words that hold with the axis each rests on, the clearest first."""
    ahead, left = float(sight[0] @ offset), float(sight[1] @ offset)
    level = float(np.hypot(ahead, left))
    if level < TOUCHING_M:
        return []
    words = [
        (left, "left of", sight[1]),
        (-left, "right of", -sight[1]),
        (-ahead, "in front of", -sight[0]),
        (ahead, "behind", sight[0]),
    ]
    holding = sorted((w for w in words if w[0] > _SHARE * level), key=lambda w: -w[0])
    return [(word, axis) for _, word, axis in holding]


def _vertical(a: Box3D, b: Box3D, up: Array) -> list[tuple[str, Array]]:
    low_a, high_a = _extent(a, up)
    low_b, high_b = _extent(b, up)
    # Boxes that rest on one another may overlap a little, yet never by half of the flatter one.
    slack = min(TOUCHING_M, (high_a - low_a) / 2, (high_b - low_b) / 2)
    if max(low_a, low_b) < min(high_a, high_b) - slack:
        return []
    gap = max(low_a - high_b, low_b - high_a, 0.0)
    sideways = np.sqrt(max(closest_distance(a, b) ** 2 - gap**2, 0.0))
    if sideways > NEAR_M:
        return []
    return [("above", up)] if low_a + high_a > low_b + high_b else [("below", -up)]


def _extent(box: Box3D, axis: Array) -> tuple[float, float]:
    heights = box.corners @ axis
    return float(heights.min()), float(heights.max())


def _inside(a: Box3D, b: Box3D) -> bool:
    corners = (a.corners - b.center) @ b.rotation
    return bool((np.abs(corners) <= b.size / 2 + TOUCHING_M).all())
