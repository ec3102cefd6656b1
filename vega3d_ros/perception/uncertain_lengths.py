"""Lengths of boxes with their standard deviations, from the covariances of the boxes' poses.

A covariance tells how sure a centre is and says nothing of the size. Two opposite faces with
independent errors of variance f put the centre at variance f / 2 and the size at 2 f: so a face is
taken to have twice the variance of the centre along its normal, and a size four times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import ndtr

from vega3d_ros.perception.relations import closest_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vega3d_ros.core.geometry import Box3D
    from vega3d_ros.core.objects import SceneObject

    Array = NDArray[np.float64]

_FACE, _SIZE = 2.0, 4.0


class Length(NamedTuple):
    """A length and its standard deviation, in the same unit."""

    value: float
    std: float


def distance(a: SceneObject, b: SceneObject) -> Length:
    """Metres between the closest points of two boxes (as VSI-Bench and the simulator measure)."""
    on_a, on_b = closest_points(a.box, b.box)
    spread = _FACE * (a.covariance[:3, :3] + b.covariance[:3, :3])
    return _along(on_a - on_b, a.box.center - b.box.center, spread)


def distance_from(point: Array, item: SceneObject) -> Length:
    """Metres from a point [3] to the closest point of a box."""
    box = item.box
    local = (point - box.center) @ box.rotation
    closest = box.center + box.rotation @ np.clip(local, -box.size / 2, box.size / 2)
    return _along(closest - point, box.center - point, _FACE * item.covariance[:3, :3])


def _along(gap: Array, fallback: Array, spread: Array) -> Length:
    """Length of ``gap`` [3]; where it is 0, its direction is that of ``fallback``."""
    value = float(np.linalg.norm(gap))
    touching = value < 1e-6
    axis = fallback if touching else gap
    axis = axis / max(float(np.linalg.norm(axis)), 1e-9)
    return Length(0.0 if touching else value, std_along(axis, spread))


def size(item: SceneObject, dimension: str, up: Array) -> Length:
    """Metres of one dimension of a box.

    Args:
        item: Whose box.
        dimension: "longest" of the box's three sides (as VSI-Bench and the simulator measure);
            "height", from its lowest to its highest point; "width" or "depth", the longer and the
            shorter of its two level sides.
        up: [3], unit vector.

    Raises:
        ValueError: If the dimension is another word.
    """
    box, spread = item.box, _SIZE * item.covariance[:3, :3]
    if dimension == "height":
        return Length(extent(box, up)[1] - extent(box, up)[0], std_along(up, spread))
    by_length = list(np.argsort(-box.size, kind="stable"))
    upright = int(np.abs(up @ box.rotation).argmax())
    level = [side for side in by_length if side != upright]
    sides = {"longest": by_length[0], "width": level[0], "depth": level[1]}
    if dimension not in sides:
        msg = f"dimension must be 'height' or one of {', '.join(sides)}, not {dimension!r}"
        raise ValueError(msg)
    side = sides[dimension]
    return Length(float(box.size[side]), std_along(box.rotation[:, side], spread))


def volume(item: SceneObject) -> Length:
    """Cubic metres of a box."""
    box = item.box
    shares = [
        std_along(axis, _SIZE * item.covariance[:3, :3]) / side
        for axis, side in zip(box.rotation.T, box.size, strict=True)
    ]
    return Length(box.volume, box.volume * float(np.linalg.norm(shares)))


def extent(box: Box3D, axis: Array) -> tuple[float, float]:
    """Lowest and highest coordinate of a box along an axis [3]."""
    along = box.corners @ axis
    return float(along.min()), float(along.max())


def std_along(axis: Array, covariance: Array) -> float:
    """Standard deviation along an axis [3], of a covariance [3, 3]."""
    return float(np.sqrt(np.maximum(axis @ covariance @ axis, 0.0)))


def comes_before(a: Length, b: Length) -> float:
    """Probability that the first is less than the second."""
    return float(ndtr((b.value - a.value) / max(float(np.hypot(a.std, b.std)), 1e-9)))
