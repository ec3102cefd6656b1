"""One thing, one name: what every grounder's detections go through before they become objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vega3d_ros.models.grounders.base import Detection


def distinct(detections: Sequence[Detection]) -> list[Detection]:
    """Of those that fill the same space, the one with the best score: one thing, one name.

    Returns:
        Those to keep, best first.
    """
    kept: list[Detection] = []
    for found in sorted(detections, key=lambda found: -found.score):
        for other in kept:
            apart = np.linalg.norm(found.box.center - other.box.center)
            if apart < 0.3 * np.linalg.norm(np.minimum(found.box.size, other.box.size)):
                break
        else:
            kept.append(found)
    return kept
