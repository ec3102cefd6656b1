"""The truth about the visual tokens of a simulated clip's frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from vega3d_ros.core.frames import Camera
from vega3d_ros.core.geometry import SE3
from vega3d_ros.core.token_grid import camera_token_geometry, level_pose
from vega3d_ros.models.grounders.token_head.losses import SHOWN
from vega3d_ros.simulation.dataset import truth_box

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray
    from torch import Tensor

    from vega3d_ros.core.geometry import Box3D
    from vega3d_ros.core.token_grid import TokenGeometry


@dataclass(frozen=True, eq=False)
class FrameTruth:
    """The truth about one frame's visual tokens.

    Attributes:
        geometry: Rays and depth of the tokens.
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
    return [truth_box(item) for item in objects]


def image_tensor(rgb: NDArray[np.uint8], device: str) -> Tensor:
    """Images [N, H, W, 3] uint8 as [N, 3, H, W] float32 in [0, 1]."""
    # A copy: clips are mapped from disk, read-only.
    return torch.from_numpy(rgb.copy()).to(device).permute(0, 3, 1, 2).float() / 255


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

    ``depth_m`` [H, W] is 0 or NaN where unknown, ``instance`` is [H, W]; ``boxes`` are the clip's
    ``truth_boxes`` if already computed.
    """
    pose = SE3.from_matrix(truth["poses"][index])
    depth_m = np.asarray(depth_m, np.float32)
    fixed = truth_boxes(truth["objects"]) if boxes is None else boxes
    level_from_fixed = level_pose(pose).inverse()
    return FrameTruth(
        camera_token_geometry(Camera(**truth["camera"]), pose, depth_m, rows, columns),
        coverage(instance, len(fixed), rows, columns),
        tuple(box.transformed(level_from_fixed) for box in fixed),
    )
