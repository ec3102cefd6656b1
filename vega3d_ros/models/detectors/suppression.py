"""Non-maximum suppression."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def suppress(
    boxes: NDArray[np.float64], scores: NDArray[np.float32], threshold: float, overlap: float
) -> list[tuple[list[float], float, int]]:
    """The best of overlapping boxes, within each class.

    Args:
        boxes: [n, 4] (x0, y0, x1, y1).
        scores: [n, classes].
        threshold: Scores below are left out.
        overlap: IoU above which the lower score of a class goes; 1: none goes.

    Returns:
        Box, score and class of what is kept, best score first.
    """
    rows, classes = np.nonzero(scores >= threshold)
    if not len(rows):
        return []
    chosen, confidences = boxes[rows], scores[rows, classes]
    corners = np.concatenate([chosen[:, :2], chosen[:, 2:] - chosen[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxesBatched(
        corners.tolist(), confidences.tolist(), classes.tolist(), threshold, overlap
    )
    order = sorted(np.asarray(kept, int).tolist(), key=lambda i: -confidences[i])
    return [(chosen[i].tolist(), float(confidences[i]), int(classes[i])) for i in order]
