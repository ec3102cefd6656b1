"""From objects found in a clip to what the language model is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vega3d_ros.models.mllms.qwen2_5_vl.object_tokens import VALUES, object_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vega3d_ros.core.geometry import SE3
    from vega3d_ros.core.objects import SceneObject
    from vega3d_ros.models.grounders.merging import Candidate


class Detection(NamedTuple):
    """An object and the sightings it was merged from."""

    object: SceneObject
    sightings: list[Candidate]


def told(
    findings: Sequence[Detection], reference_from_output: SE3, frames: int, tokens: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the language model is told of findings beside their names.

    Args:
        findings: K objects.
        reference_from_output: From the frame of their boxes to the levelled newest camera.
        frames: Frames of the clip.
        tokens: Visual tokens of the clip.

    Returns:
        [K, VALUES] (see ``object_values``) and [K, tokens], how much each visual token shows of
        each, rows of sum 1.
    """
    values = np.zeros((len(findings), VALUES), np.float32)
    shown = np.zeros((len(findings), tokens), np.float32)
    for k, (found, sightings) in enumerate(findings):
        seen = np.zeros(frames)
        for sighting in sightings:
            shown[k, sighting.token] = sighting.score
            seen[sighting.frame] = max(seen[sighting.frame], sighting.score)
        box = found.box.transformed(reference_from_output)
        values[k] = object_values(box, found.score, seen)
    return values, shown / np.maximum(shown.sum(axis=1, keepdims=True), 1e-6)
