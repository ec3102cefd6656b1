"""How probable it is that a track is what its name says.

``p = (1 - prod (1 - s_i)^w) * (k + a) / (n + a)``: each of the k frames that show the thing counts
with the best score s_i of its detections there; w < 1 because frames of one drive err alike, so
that the second tells less than the first. n of the clip's frames saw the place clearly, so n - k
looked at the thing and the detector named nothing; a is how many such frames it takes to halve the
trust in a thing seen hardly at all. p grows with every score and with every view, and falls with
every frame that should have shown the thing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

VIEW_WEIGHT = 0.6
MISSES_ALLOWED = 2.0


def probability(scores: Sequence[float], clear_views: int) -> float:
    """Probability in [0, 1].

    Args:
        scores: Of the detector, one for each frame that shows the thing.
        clear_views: Frames that saw the place clearly, those among them.
    """
    shown = len(scores)
    absent = np.prod((1.0 - np.clip(scores, 0.0, 1.0)) ** VIEW_WEIGHT)
    looked = max(clear_views, shown)
    return float((1.0 - absent) * (shown + MISSES_ALLOWED) / (looked + MISSES_ALLOWED))
