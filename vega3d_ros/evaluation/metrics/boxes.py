"""Overlap of boxes as the benchmarks write them.

A box is six numbers, centre and full size along the scene's axes in metres, or seven with a
heading about z in radians as the last. The official evaluators know six.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.core.geometry import Box3D, iou_oriented

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

THRESHOLDS = (0.25, 0.5)


def overlap(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Axis-aligned overlap in [0, 1] of boxes [..., 6] and [..., 6], broadcast against each other.

    With the 1e-8 m^3 that VEGA-3D's ``box3d_iou`` adds to the union.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    a_low, a_high = _bounds(first)
    b_low, b_high = _bounds(second)
    shared = np.prod(np.maximum(np.minimum(a_high, b_high) - np.maximum(a_low, b_low), 0), axis=-1)
    union = np.prod(a_high - a_low, axis=-1) + np.prod(b_high - b_low, axis=-1) - shared
    result: NDArray[np.float64] = shared / (union + 1e-8)
    return result


def _bounds(boxes: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    center, half = boxes[..., :3], np.abs(boxes[..., 3:6]) / 2
    return center - half, center + half


def overlap_with_headings(a: Sequence[float], b: Sequence[float]) -> float:
    """Overlap in [0, 1] of two boxes of six or seven numbers, turned by their headings.

    A box without volume, or with a number that is none, overlaps nothing.
    """
    if min(*a[3:6], *b[3:6]) <= 0 or not np.isfinite([*a, *b]).all():
        return 0.0
    first, second = (Box3D.upright(box[:3], box[3:6], *box[6:7]) for box in (a, b))
    return iou_oriented(first, second)


def without_heading(box: Box3D) -> list[float]:
    """The six numbers of the axis-aligned box around a turned one, as it is officially scored."""
    low, high = box.bounds
    return [*((low + high) / 2).tolist(), *(high - low).tolist()]


def with_heading(box: Box3D) -> list[float]:
    """The seven numbers of an upright box."""
    return [*box.center.tolist(), *box.size.tolist(), box.yaw]
