"""What the lifted grounder keeps of one keyframe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vega3d_ros.core.geometry import SE3
from vega3d_ros.models.grounders.lifted.floor import facing_up, level_frame
from vega3d_ros.models.grounders.lifted.points import depth_grid
from vega3d_ros.models.grounders.lifted.voxels import frame_voxels, visibility

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vega3d_ros.core.frames import Frame
    from vega3d_ros.models.depth.base import DepthSource
    from vega3d_ros.models.detectors.base import Detection2D
    from vega3d_ros.models.grounders.lifted.points import DepthGrid
    from vega3d_ros.models.grounders.lifted.voxels import FrameVoxels


@dataclass(frozen=True, eq=False)
class FrameGeometry:
    """A frame's depth in its working frame: the fixed one, or level at a camera without pose.

    Attributes:
        grid: Samples of the depth image.
        voxels: The same by voxel.
        facing_up: [N, 3], where the surface faces up.
        optical_from_working: Back to the camera.
        gravity_known: Whether z is up by TF or by a floor in view, not by assumption.
        stamp_ns: Stamp of the frame.
        fixed: Whether the working frame is the fixed one.
    """

    grid: DepthGrid
    voxels: FrameVoxels
    facing_up: NDArray[np.float32]
    optical_from_working: SE3
    gravity_known: bool
    stamp_ns: int
    fixed: bool

    def visibility(
        self, points: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
        """See ``FrameLook``."""
        return visibility(self.grid, points)


def frame_geometry(frame: Frame, source: DepthSource) -> FrameGeometry | None:
    """Sort a frame's depth into voxels; None without depth or calibration.

    Args:
        frame: Whose camera and pose.
        source: Gives its depth.
    """
    if frame.camera is None or (depth := source.depth(frame)) is None:
        return None
    told = (depth.source, depth.scale_error)
    working_from_optical, gravity_known = frame.pose, True
    if working_from_optical is None:
        seen = depth_grid(depth.metres, frame.camera, SE3.identity(), *told)
        working_from_optical, gravity_known = level_frame(seen)
    grid = depth_grid(depth.metres, frame.camera, working_from_optical, *told)
    return FrameGeometry(
        grid,
        frame_voxels(grid),
        facing_up(grid),
        working_from_optical.inverse(),
        gravity_known=gravity_known,
        stamp_ns=frame.stamp_ns,
        fixed=frame.pose is not None,
    )


@dataclass(eq=False)
class FrameEvidence:
    """What one keyframe shows.

    Attributes:
        detections: Of the detector, for all that it was asked.
        asked: The texts that it was asked; a detector of fixed names is asked nothing.
        geometry: None for a frame without depth or calibration.
    """

    detections: list[Detection2D]
    asked: set[str] = field(default_factory=set)
    geometry: FrameGeometry | None = None

    @property
    def look(self) -> FrameGeometry | None:
        """See ``HasLook``."""
        return self.geometry if self.geometry is not None and self.geometry.fixed else None
