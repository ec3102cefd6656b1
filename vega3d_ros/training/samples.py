"""From simulated clips to what a network is shown and what it should say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.core.frames import Camera
from vega3d_ros.core.geometry import SE3, Box3D
from vega3d_ros.core.token_grid import TokenGeometry, level, surface_percentiles
from vega3d_ros.models.grounders.token_head.losses import SHOWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class FrameTruth:
    """The truth about one frame's visual tokens.

    Attributes:
        geometry: Where the tokens look.
        coverage: [objects, rows, columns], the share of a token that an object covers.
        boxes: The objects' boxes in the levelled camera frame.
    """

    geometry: TokenGeometry
    coverage: NDArray[np.float32]
    boxes: tuple[Box3D, ...]

    @property
    def owners(self) -> NDArray[np.int64]:
        """[rows, columns]: index of the object that a token shows most of, -1 for none."""
        if not len(self.coverage):
            return np.full(self.coverage.shape[1:], -1)
        return np.where(self.coverage.max(axis=0) >= SHOWN, self.coverage.argmax(axis=0), -1)


def coverage(
    instance: NDArray[np.uint8], count: int, rows: int, columns: int
) -> NDArray[np.float32]:
    """Share of each token covered by each of ``count`` objects, from an instance map [H, W]."""
    height, width = instance.shape
    cell_h, cell_w = height // rows, width // columns
    tokens = np.arange(rows * columns).reshape(rows, 1, columns, 1) * (count + 1)
    cells = instance[: rows * cell_h, : columns * cell_w].reshape(rows, cell_h, columns, cell_w)
    counts = np.bincount((tokens + cells).ravel(), minlength=rows * columns * (count + 1))
    shares = counts.reshape(rows, columns, count + 1)[..., 1:] / (cell_h * cell_w)
    by_object: NDArray[np.float32] = shares.transpose(2, 0, 1).astype(np.float32)
    return by_object


def truth_boxes(objects: Sequence[Mapping[str, Any]]) -> list[Box3D]:
    """Boxes of a truth's objects in the fixed frame."""
    return [Box3D.upright(o["center"], o["size"], o["yaw"]) for o in objects]


def frame_truth(
    truth: Mapping[str, Any],
    index: int,
    depth_m: NDArray[np.float32],
    instance: NDArray[np.uint8],
    rows: int,
    columns: int,
    boxes: Sequence[Box3D] | None = None,
) -> FrameTruth:
    """The truth about frame ``index`` of a simulated clip.

    Args:
        truth: The clip's truth (see the simulator's ground truth format).
        index: Frame in the clip.
        depth_m: Its depth [H, W], metres, 0 or NaN where unknown.
        instance: Its instance map [H, W].
        rows: Token rows.
        columns: Token columns.
        boxes: ``truth_boxes`` of the clip, where they are at hand.
    """
    camera = Camera(**truth["camera"])
    attitude, fixed_from_level = level(SE3.from_matrix(truth["poses"][index]))
    u = (np.arange(columns) + 0.5) * camera.width / columns - 0.5
    v = (np.arange(rows) + 0.5) * camera.height / rows - 0.5
    pixels = np.stack(np.meshgrid(u, v), axis=-1)
    geometry = TokenGeometry(
        camera=camera,
        level_from_optical=attitude,
        fixed_from_level=fixed_from_level,
        pixels=pixels,
        rays=camera.rays(pixels),
        surface_m=surface_percentiles(np.asarray(depth_m, np.float32), rows, columns),
    )
    objects = truth["objects"]
    level_from_fixed = fixed_from_level.inverse() if fixed_from_level else SE3.identity()
    fixed = truth_boxes(objects) if boxes is None else boxes
    return FrameTruth(
        geometry,
        coverage(instance, len(objects), rows, columns),
        tuple(box.transformed(level_from_fixed) for box in fixed),
    )
