"""Boxes as numbers that a network can predict from one visual token, and back.

Everything is relative to the token, so that the same object looks the same wherever it stands in
the image: the projected centre as an offset from the token, the range along the optical axis as
the logarithm of a focal-length-free distance, the heading relative to the token's ray, and the
footprint without an order of its sides (long side, short side, direction of the long side modulo a
half turn). Where the depth sensor sees a surface, a second range says how far behind it the centre
lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.core.geometry import Box3D
from vega3d_ros.models.grounders.token_head.merging import BoxPrediction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vega3d_ros.core.token_grid import TokenGeometry

    Array = NDArray[np.float64]

HEADINGS = 12
# offset u, v | log range | metres behind the surface | log long, short, height |
# log spread of: lateral, range, behind, size
REGRESSED = 11
OUTPUTS = REGRESSED + HEADINGS
_REFERENCE_FOCAL = 0.9  # focal length over image width at which the range is the distance itself
_NEAREST_M = 0.15
_FARTHEST_OFFSET = 6.0


@dataclass(frozen=True, eq=False)
class Targets:
    """What one token should say of one box: ``values`` [7], ``heading`` in [0, 1) half turns.

    ``behind`` is False where no surface was measured (its value then means nothing).
    """

    values: NDArray[np.float32]
    heading: float
    elongation: float
    behind: bool


def _log_focal(geometry: TokenGeometry) -> float:
    return float(np.log(geometry.camera.fx / geometry.camera.width / _REFERENCE_FOCAL))


def _azimuth(geometry: TokenGeometry, row: int, column: int) -> float:
    x, y, _ = geometry.level_from_optical @ geometry.rays[row, column]
    return float(np.arctan2(y, x))


def encode(geometry: TokenGeometry, row: int, column: int, box: Box3D) -> Targets | None:
    """Targets of a box in the levelled camera frame, or None where a token cannot tell it."""
    center = geometry.level_from_optical.T @ box.center
    if center[2] < _NEAREST_M:
        return None
    pixel = geometry.camera.project(center)
    offset = (pixel - geometry.pixels[row, column]) / geometry.pitch_px
    if np.abs(offset).max() > _FARTHEST_OFFSET:
        return None
    along_x = box.size[0] >= box.size[1]
    long, short = (box.size[0], box.size[1]) if along_x else (box.size[1], box.size[0])
    heading = box.yaw + (0.0 if along_x else np.pi / 2) - _azimuth(geometry, row, column)
    surface = float(geometry.surface_m[row, column, 1])
    behind = bool(np.isfinite(surface))
    values = [
        offset[0],
        offset[1],
        np.log(center[2]) - _log_focal(geometry),
        center[2] - surface if behind else 0.0,
        np.log(long),
        np.log(short),
        np.log(box.size[2]),
    ]
    return Targets(
        np.array(values, np.float32),
        float((heading / np.pi) % 1.0),
        float(np.log(long / short)),
        behind,
    )


def decode(
    geometry: TokenGeometry, row: int, column: int, raw: NDArray[np.float32]
) -> BoxPrediction:
    """The box that a network's raw outputs [OUTPUTS] at a token mean."""
    values = np.clip(raw[:REGRESSED].astype(np.float64), -10, 10)
    surface = float(geometry.surface_m[row, column, 1])
    measured = bool(np.isfinite(surface))
    spread = np.exp(np.clip(values[7:11], -5, 1.5))
    if measured:
        depth, range_std = surface + values[3], spread[2]
    else:
        depth = float(np.exp(values[2] + _log_focal(geometry)))
        range_std = depth * spread[1]
    depth = max(depth, _NEAREST_M)
    pixel = geometry.pixels[row, column] + values[:2] * geometry.pitch_px
    center = geometry.camera.rays(pixel) * depth
    probabilities = np.exp(raw[REGRESSED:] - raw[REGRESSED:].max(), dtype=np.float64)
    probabilities /= probabilities.sum()
    best = int(probabilities.argmax())
    # Between neighbouring bins, the mean of the peak.
    shift = probabilities[(best + 1) % HEADINGS] - probabilities[(best - 1) % HEADINGS]
    near = probabilities[[(best - 1) % HEADINGS, best, (best + 1) % HEADINGS]].sum()
    heading = ((best + 0.5 + shift / near) / HEADINGS) * np.pi + _azimuth(geometry, row, column)
    long, short, high = np.exp(np.clip(values[4:7], -4, 2))
    long, short = max(long, short), min(long, short)
    box = Box3D.upright(geometry.level_from_optical @ center, [long, short, high], heading)
    pitch_m = depth * geometry.pitch_px[0] / geometry.camera.fx
    return BoxPrediction(
        box,
        float(range_std),
        float(spread[0] * pitch_m),
        float(near * min(1.0, np.log(long / short) / 0.2)),
        measured,
    )
