"""How probable it is that a relation word holds between boxes of uncertain place.

The words mean what :func:`relate` takes them to mean: with no uncertainty, a word is more probable
than not exactly where ``relate`` names it. Beyond that, "near", "touching", "on", "inside" and
"between" are vague words, and fade over a stated width instead of ending at an edge. "Under" is
"below", or within the box of a thing such as a table, lower than its top.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

from vega3d_ros.perception.relations import NEAR_M, TOUCHING_M
from vega3d_ros.perception.uncertain_lengths import distance, extent, std_along

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vega3d_ros.core.objects import SceneObject
    from vega3d_ros.perception.relations import Viewpoint

    Array = NDArray[np.float64]

AHEAD, LEFT, UP = np.eye(3)
DIRECTIONS = {"left of": LEFT, "right of": -LEFT, "behind": AHEAD, "in front of": -AHEAD}
RELATIONS = (*DIRECTIONS, "above", "below", "under", "on", "inside", "touching", "near")
"""Words for two things; "between" is for three."""

# A direction word holds where it covers this share of the way, as in ``relate``.
_SHARE = float(np.sin(np.pi / 8))
_NEAR_WIDTH_M = NEAR_M / 2
_BETWEEN_RAD, _BETWEEN_WIDTH_RAD = np.radians(120), np.radians(20)


def relation_probability(
    word: str, subject: SceneObject, object_: SceneObject, viewpoint: Viewpoint
) -> float:
    """Probability in [0, 1] that the subject is <word> the object, were both what they are called.

    Args:
        word: One of ``RELATIONS``.
        subject: The thing placed.
        object_: The thing it is placed against.
        viewpoint: Where left and right are told from, and what is up.

    Raises:
        ValueError: If the word is not known.
    """
    if word not in RELATIONS:
        msg = f"relation {word!r} is not known; use one of {', '.join(RELATIONS)}"
        raise ValueError(msg)
    a, b = _to_viewer(subject, viewpoint), _to_viewer(object_, viewpoint)
    if word in DIRECTIONS:
        return _direction(DIRECTIONS[word], a, b, viewpoint)
    if word in ("above", "below", "on"):
        return _over(b, a) if word == "below" else _over(a, b, resting=word == "on")
    if word == "inside":
        return _inside(a, b)
    if word == "under":
        return max(_over(b, a), _inside(a, b) * _lower(a, b))
    limit, width = (NEAR_M, _NEAR_WIDTH_M) if word == "near" else (TOUCHING_M, TOUCHING_M)
    gap = distance(a, b)
    return _positive(limit - gap.value, float(np.hypot(gap.std, width)))


def between_probability(subject: SceneObject, one: SceneObject, other: SceneObject) -> float:
    """Probability in [0, 1] that the subject is between two things.

    It is where they are seen from it in opposite directions: 120 degrees apart or more.
    """
    ways = [item.box.center - subject.box.center for item in (one, other)]
    lengths = [float(np.linalg.norm(way)) for way in ways]
    if min(lengths) < TOUCHING_M:
        return 0.0
    angle = float(np.arccos(np.clip(ways[0] @ ways[1] / (lengths[0] * lengths[1]), -1, 1)))
    std = np.sqrt(np.trace(subject.covariance[:3, :3]) / 3) / min(lengths)
    return _positive(angle - _BETWEEN_RAD, float(np.hypot(std, _BETWEEN_WIDTH_RAD)))


def _to_viewer(item: SceneObject, viewpoint: Viewpoint) -> SceneObject:
    """The object in the viewer's axes: x ahead, y left, z up."""
    viewer_from_frame = viewpoint.frame_from_viewer.inverse()
    turn = np.kron(np.eye(2), viewer_from_frame.rotation)
    return replace(
        item,
        box=item.box.transformed(viewer_from_frame),
        covariance=turn @ item.covariance @ turn.T,
    )


def _direction(axis: Array, a: SceneObject, b: SceneObject, viewpoint: Viewpoint) -> float:
    if viewpoint.placed:
        axis = _turned(axis, (a.box.center + b.box.center) / 2)
    offset = a.box.center - b.box.center
    level = float(np.hypot(offset[0], offset[1]))
    if level < TOUCHING_M:
        return 0.0
    return _positive(float(axis @ offset) - _SHARE * level, _std(axis, a, b))


def _turned(axis: Array, middle: Array) -> Array:
    """The axis for a viewer who turns to ``middle``; one who stands there looks on as before."""
    length = float(np.hypot(middle[0], middle[1]))
    if length < 1e-3:
        return axis
    c, s = middle[0] / length, middle[1] / length
    return np.array([c * axis[0] - s * axis[1], s * axis[0] + c * axis[1], axis[2]])


def _over(upper: SceneObject, lower: SceneObject, *, resting: bool = False) -> float:
    """Clear of the other in height and close sideways; resting: with no gap in height either."""
    (low_a, high_a), (low_b, high_b) = extent(upper.box, UP), extent(lower.box, UP)
    gap = low_a - high_b
    slack = min(TOUCHING_M, (high_a - low_a) / 2, (high_b - low_b) / 2)
    apart = distance(upper, lower)
    sideways = float(np.sqrt(max(apart.value**2 - max(gap, 0.0) ** 2, 0.0)))
    std = _std(UP, upper, lower)
    held = _positive(gap + slack, std) * _positive(NEAR_M - sideways, apart.std)
    if resting:
        held *= _positive(2 * TOUCHING_M - gap, float(np.hypot(std, TOUCHING_M)))
    return held


def _inside(a: SceneObject, b: SceneObject) -> float:
    corners = np.abs((a.box.corners - b.box.center) @ b.box.rotation)
    room = float((b.box.size / 2 + TOUCHING_M - corners).min())
    std = max(_std(axis, a, b) for axis in b.box.rotation.T)
    return _positive(room, float(np.hypot(std, TOUCHING_M)))


def _lower(a: SceneObject, b: SceneObject) -> float:
    """The top of the first is lower than the top of the second."""
    return _positive(extent(b.box, UP)[1] - extent(a.box, UP)[1], _std(UP, a, b))


def _std(axis: Array, a: SceneObject, b: SceneObject) -> float:
    return std_along(axis, a.covariance[:3, :3] + b.covariance[:3, :3])


def _positive(margin: float, std: float) -> float:
    """Probability that a margin with this standard deviation is positive."""
    return float(ndtr(margin / max(std, 1e-6)))
