"""How 2D detections are lifted elsewhere: each frame alone, then the median over the frames.

All take the same 2D boxes as the lifted grounder. Boxes of one name whose centres are near are one
thing; its corners are the medians over the frames (the union, where the recipe says so).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.core.geometry import Box3D
from vega3d_ros.models.grounders.lifted.points import depth_grid
from vega3d_ros.models.grounders.lifted.regions import region
from vega3d_ros.models.grounders.lifted.standing import stands_on_floor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from vega3d_ros.core.frames import Clip, Frame
    from vega3d_ros.models.detectors.base import Detection2D

    Array = NDArray[np.float64]
    Lift = Callable[[Frame, Detection2D], "tuple[Array, Array] | None"]

_NEAR_M = 0.6
_LEAST_M = 0.02


@dataclass(frozen=True, eq=False)
class NaiveBox:
    """What a naive recipe finds."""

    label: str
    box: Box3D
    score: float


def _points(frame: Frame, found: Detection2D, stride: int = 4) -> Array:
    """Points [N, 3] in the map of the pixels inside a box, every ``stride``-th."""
    assert frame.depth_m is not None
    assert frame.camera is not None
    assert frame.pose is not None
    x0, y0, x1, y1 = (int(v) for v in found.box)
    v, u = np.mgrid[y0:y1:stride, x0:x1:stride]
    depth = frame.depth_m[y0:y1:stride, x0:x1:stride]
    rays = frame.camera.rays(np.stack([u, v], axis=-1).astype(np.float64))
    points = (rays * depth[..., None]).reshape(-1, 3)
    return frame.pose.apply(points[np.isfinite(points[:, 2])])


def centre_pixel(frame: Frame, found: Detection2D) -> tuple[Array, Array] | None:
    """The depth at the middle of the box; as wide, deep and high as the box looks there."""
    assert frame.depth_m is not None
    assert frame.camera is not None
    assert frame.pose is not None
    x0, y0, x1, y1 = found.box
    u, v = (x0 + x1) / 2 - 0.5, (y0 + y1) / 2 - 0.5
    depth = float(frame.depth_m[int(v), int(u)])
    if not np.isfinite(depth):
        return None
    center = frame.pose.apply(frame.camera.rays(np.array([u, v])) * depth)
    width = (x1 - x0) / frame.camera.fx * depth
    size = np.array([width, width, (y1 - y0) / frame.camera.fy * depth])
    return center - size / 2, center + size / 2


def median_deviation(frame: Frame, found: Detection2D) -> tuple[Array, Array] | None:
    """Pixels of the box within three median deviations of its median depth."""
    points = _points(frame, found)
    if len(points) < 4:
        return None
    assert frame.pose is not None
    depth = (points - frame.pose.translation) @ frame.pose.rotation[:, 2]
    middle = np.median(depth)
    deviation = max(float(np.median(np.abs(depth - middle))), 0.02)
    kept = points[np.abs(depth - middle) <= 3 * deviation]
    return kept.min(axis=0), kept.max(axis=0)


def percentiles(frame: Frame, found: Detection2D) -> tuple[Array, Array] | None:
    """10th to 90th percentile of the points in the box, by axis."""
    points = _points(frame, found)
    if len(points) < 4:
        return None
    low, high = np.percentile(points, [10, 90], axis=0)
    return low, high


def merged(clip: Clip, detections: Sequence[Sequence[Detection2D]], lift: Lift) -> list[NaiveBox]:
    """Lift every detection and take medians over those of one thing."""
    groups: list[tuple[str, list[tuple[Array, Array]], list[float]]] = []
    for frame, found in zip(clip.frames, detections, strict=True):
        for one in found:
            corners = lift(frame, one)
            if corners is None:
                continue
            center = (corners[0] + corners[1]) / 2
            for label, boxes, scores in groups:
                middle = np.median([(low + high) / 2 for low, high in boxes], axis=0)
                if label == one.label and np.linalg.norm(middle - center) < _NEAR_M:
                    boxes.append(corners)
                    scores.append(one.score)
                    break
            else:
                groups.append((one.label, [corners], [one.score]))
    return [
        NaiveBox(
            label,
            _box(*(np.median([box[side] for box in boxes], axis=0) for side in (0, 1))),
            float(np.mean(scores)),
        )
        for label, boxes, scores in groups
    ]


def component(clip: Clip, detections: Sequence[Sequence[Detection2D]]) -> list[NaiveBox]:
    """The largest connected surface of each view, united over the views, down to the floor z = 0.

    Connected means no depth edge between; the floor is taken out.
    """
    groups: list[tuple[str, list[Array], list[float]]] = []
    for frame, found in zip(clip.frames, detections, strict=True):
        assert frame.depth_m is not None
        assert frame.camera is not None
        assert frame.pose is not None
        grid = depth_grid(frame.depth_m, frame.camera, frame.pose)
        solid = np.isfinite(grid.depth_m) & (grid.points[..., 2] > 0.06)
        for one in found:
            part = region(one, 0, grid, solid)
            if part is None:
                continue
            points = grid.points[part.rows, part.columns][part.core].astype(np.float64)
            for label, clouds, scores in groups:
                middle = np.median(np.concatenate(clouds), axis=0)
                near = np.linalg.norm(middle - np.median(points, axis=0)) < _NEAR_M
                if label == one.label and near:
                    clouds.append(points)
                    scores.append(one.score)
                    break
            else:
                groups.append((one.label, [points], [one.score]))
    boxes = []
    for label, clouds, scores in groups:
        low, high = np.percentile(np.concatenate(clouds), [2, 98], axis=0)
        if stands_on_floor(label) or (stands_on_floor(label) is None and low[2] < 0.25):
            low[2] = 0.0
        boxes.append(NaiveBox(label, _box(low, high), float(np.mean(scores))))
    return boxes


def _box(low: Array, high: Array) -> Box3D:
    return Box3D.upright((low + high) / 2, np.maximum(high - low, _LEAST_M))
