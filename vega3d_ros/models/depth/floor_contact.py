"""Boxes without depth: where the foot of a 2D box meets the floor.

The ray through the middle of the box's lower edge meets the floor at the thing's near side. Its
extent away from the camera is not seen; it is taken to be as deep as it is wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.core.geometry import Box3D

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vega3d_ros.core.frames import Camera
    from vega3d_ros.core.geometry import SE3
    from vega3d_ros.models.detectors.base import Detection2D

    Array = NDArray[np.float64]

_FAR_M = 6.0
_STEEP = 0.1  # least slope of the ray: flatter ones meet the floor anywhere
_BORDER_PX = 2.0
# Standard deviations, relative to the distance: of where the foot is along the ray, and across it.
_ALONG, _ACROSS = 0.15, 0.05
_GATE = 9.0
_MOST_M, _LEAST_M = 3.0, 0.05


@dataclass(frozen=True, eq=False)
class Contact:
    """One 2D detection placed on the floor.

    Attributes:
        detection: The detection.
        frame: Index of its frame in the clip.
        center: [3] in the working frame.
        size: Width, depth and height.
        yaw: Heading of the width.
        covariance: [3, 3] of the centre.
    """

    detection: Detection2D
    frame: int
    center: Array
    size: Array
    yaw: float
    covariance: Array


def contact(
    detection: Detection2D, frame: int, camera: Camera, working_from_optical: SE3, floor_m: float
) -> Contact | None:
    """Place a detection; None where its foot is not in view or does not meet the floor."""
    x0, y0, x1, y1 = detection.box
    if y1 > camera.height - _BORDER_PX:
        return None
    middle = (x0 + x1) / 2
    pixels = np.array([[middle, y1], [middle, y0]]) - 0.5
    foot, top = camera.rays(pixels) @ working_from_optical.rotation.T
    eye = working_from_optical.translation
    flat = float(np.hypot(foot[0], foot[1]))
    if foot[2] > -_STEEP * np.linalg.norm(foot) or flat < 1e-6:
        return None
    along = (floor_m - eye[2]) / foot[2]  # also the depth along the axis: rays have z = 1
    distance = along * flat
    if not 0 < distance < _FAR_M:
        return None
    ahead = foot[:2] / flat
    width = float(np.clip((x1 - x0) / camera.fx * along, _LEAST_M, _MOST_M))
    rise = top[2] / max(float(top[:2] @ ahead), 1e-3)
    height = float(np.clip(eye[2] + rise * distance - floor_m, _LEAST_M, _MOST_M))
    near = eye[:2] + ahead * distance
    center = np.array([*(near + ahead * width / 2), floor_m + height / 2])
    std = [np.hypot(_ALONG * distance, width / 4), _ACROSS * distance, _ACROSS * distance]
    axes = np.eye(3)
    axes[:2, 0], axes[:2, 1] = ahead, (-ahead[1], ahead[0])
    return Contact(
        detection,
        frame,
        center,
        np.array([width, width, height]),
        float(np.arctan2(ahead[1], ahead[0])),
        axes @ np.diag(np.square(std)) @ axes.T,
    )


def grouped(contacts: Sequence[Contact]) -> list[list[Contact]]:
    """Contacts that show one thing, as far as their uncertainty tells; surest first."""
    groups: list[list[Contact]] = []
    for one in sorted(contacts, key=lambda c: (-c.detection.score, c.frame, c.detection.box)):
        for group in groups:
            first = group[0]
            apart = one.center[:2] - first.center[:2]
            spread = (one.covariance + first.covariance)[:2, :2]
            same = one.detection.label == first.detection.label
            free = all(one.frame != other.frame for other in group)
            if same and free and float(apart @ np.linalg.solve(spread, apart)) < _GATE:
                group.append(one)
                break
        else:
            groups.append([one])
    return groups


def fused(group: Sequence[Contact]) -> tuple[Box3D, Array]:
    """The box of a group and the covariance [3, 3] of its centre.

    The frames of a drive err alike: the variance falls with the root of their number.
    """
    information = [np.linalg.inv(one.covariance) for one in group]
    total = np.linalg.inv(np.sum(information, axis=0))
    center = total @ np.sum(
        [inverse @ one.center for inverse, one in zip(information, group, strict=True)], axis=0
    )
    size = np.median([one.size for one in group], axis=0)
    return Box3D.upright(center, size, group[0].yaw), total * np.sqrt(len(group))
