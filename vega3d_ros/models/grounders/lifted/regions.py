"""Which samples of a frame a 2D detection means: those inside it, and its core.

The core is the connected surface that fills most of the middle of the box: what a box is drawn
around is in its middle, and a depth edge separates it from what is behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vega3d_ros.models.detectors.base import Detection2D
    from vega3d_ros.models.grounders.lifted.points import DepthGrid

    Flags = NDArray[np.bool_]

_MIDDLE = 0.25  # of the box's sides: standard deviation of what counts as its middle
_LEAST_SAMPLES = 6
_BORDER_PX = 2.0


@dataclass(frozen=True, eq=False)
class Region:
    """A 2D detection in the samples of its frame.

    Attributes:
        detection: The detection.
        frame: Index of the frame in the clip.
        rows: Rows of the samples inside its box.
        columns: Columns of them.
        inside: [rows, columns], whether depth is known there, above the floor and in the mask.
        core: [rows, columns], the part of them that the detection most likely means.
        coverage: Share in [0, 1] of the samples in the mask, or the box, whose depth is known.
        cut: Whether the image's border cuts the box.
    """

    detection: Detection2D
    frame: int
    rows: slice
    columns: slice
    inside: Flags
    core: Flags
    coverage: float
    cut: bool


def region(detection: Detection2D, frame: int, grid: DepthGrid, solid: Flags) -> Region | None:
    """Find a detection's samples; None where fewer than a handful have depth.

    Args:
        detection: In pixels of the grid's frame.
        frame: Index of the frame in the clip.
        grid: Its depth.
        solid: [R, C], samples with known depth that are not floor.
    """
    offset, stride = grid.stride // 2, grid.stride
    x0, y0, x1, y1 = ((edge - 0.5 - offset) / stride for edge in detection.box)
    rows = slice(max(0, int(np.ceil(y0))), int(np.floor(y1)) + 1)
    columns = slice(max(0, int(np.ceil(x0))), int(np.floor(x1)) + 1)
    inside = solid[rows, columns]
    if inside.size == 0:
        return None
    known = np.isfinite(grid.depth_m[rows, columns])
    if detection.mask is not None:
        own = detection.mask.pixels()[offset::stride, offset::stride][rows, columns]
        inside, known = inside & own, known[own]
    if np.count_nonzero(inside) < _LEAST_SAMPLES:
        return None
    core = _core(inside, grid.right[rows, columns], grid.down[rows, columns])
    if np.count_nonzero(core) < _LEAST_SAMPLES:
        return None
    return Region(
        detection, frame, rows, columns, inside, core, float(known.mean()), _cut(detection, grid)
    )


def _core(inside: Flags, right: Flags, down: Flags) -> Flags:
    """The connected part of the samples with most weight about the middle."""
    rows, columns = inside.shape
    # Samples at even places, the links between them at odd ones.
    linked = np.zeros((2 * rows - 1, 2 * columns - 1), np.bool_)
    linked[::2, ::2] = inside
    linked[::2, 1::2] = inside[:, 1:] & inside[:, :-1] & right[:rows, : columns - 1]
    linked[1::2, ::2] = inside[1:] & inside[:-1] & down[: rows - 1, :columns]
    labels, count = ndimage.label(linked)
    labels = labels[::2, ::2]
    row = np.exp(-0.5 * (_centred(rows) / _MIDDLE) ** 2)
    column = np.exp(-0.5 * (_centred(columns) / _MIDDLE) ** 2)
    weight = np.bincount(labels.ravel(), np.outer(row, column).ravel(), count + 1)
    weight[0] = -1.0
    core: Flags = labels == int(weight.argmax())
    return core


def _centred(count: int) -> NDArray[np.float64]:
    """Places of samples along a side of length 1, from its middle."""
    return (np.arange(count) + 0.5) / count - 0.5


def _cut(detection: Detection2D, grid: DepthGrid) -> bool:
    x0, y0, x1, y1 = detection.box
    near, camera = _BORDER_PX, grid.camera
    return bool(min(x0, y0) < near or x1 > camera.width - near or y1 > camera.height - near)
