"""Raw outputs of one-stage networks as boxes and scores.

Sources: NanoDet-Plus (github.com/RangiLyu/nanodet), YOLOX (github.com/Megvii-BaseDetection/YOLOX).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NANODET_STRIDES = (8, 16, 32, 64)
YOLOX_STRIDES = (8, 16, 32)
NANODET_BINS = 8  # of the distribution over each side's distance, 0 to 7 strides


def grid_points(
    size: tuple[int, int], strides: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where the rows of an output lie in the input.

    Args:
        size: (height, width) of the input, pixels.
        strides: Of the feature maps, in the order of the output.

    Returns:
        Points [n, 2] (x, y), pixels of the input: the upper left corner of each cell, row by row;
        and the stride [n, 1] of each.
    """
    points, sizes = [], []
    for stride in strides:
        rows, columns = (-(-side // stride) for side in size)
        y, x = np.divmod(np.arange(rows * columns), columns)
        points.append(np.stack([x, y], axis=1) * stride)
        sizes.append(np.full((rows * columns, 1), stride))
    return np.concatenate(points).astype(np.float32), np.concatenate(sizes).astype(np.float32)


def decode_nanodet(
    output: NDArray[np.float32], size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes and scores of NanoDet-Plus.

    Args:
        output: [n, classes + 32]: class scores in [0, 1], then for left, top, right and bottom
            the logits of 8 distances from the point, 0 to 7 strides.
        size: (height, width) of the input, pixels.

    Returns:
        Boxes [n, 4] (x0, y0, x1, y1), pixels of the input; scores [n, classes].
    """
    points, strides = grid_points(size, NANODET_STRIDES)
    scores, sides = np.split(output, [output.shape[1] - 4 * NANODET_BINS], axis=1)
    logits = sides.reshape(-1, 4, NANODET_BINS)
    weights = np.exp(logits - logits.max(axis=2, keepdims=True))
    bins = np.arange(NANODET_BINS, dtype=np.float32)
    distances = weights @ bins / weights.sum(axis=2) * strides
    return np.concatenate([points - distances[:, :2], points + distances[:, 2:]], axis=1), scores


def decode_yolox(
    output: NDArray[np.float32], size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes and scores of YOLOX.

    Args:
        output: [n, 5 + classes]: centre x, y from the cell's corner and log width, log height, all
            in strides; then objectness and class scores in [0, 1].
        size: (height, width) of the input, pixels.

    Returns:
        Boxes [n, 4] (x0, y0, x1, y1), pixels of the input; scores [n, classes], objectness times
        class score.
    """
    points, strides = grid_points(size, YOLOX_STRIDES)
    center = points + output[:, :2] * strides
    half = np.exp(output[:, 2:4]) * strides / 2
    return np.concatenate([center - half, center + half], axis=1), output[:, 4:5] * output[:, 5:]
