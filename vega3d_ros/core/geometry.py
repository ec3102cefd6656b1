"""Rigid transforms and boxes in 3D.

Lengths are metres, angles radians. A transform named ``map_from_camera`` takes points given in the
camera's frame to the map. Camera frames are optical (REP-103): x right, y down, z forward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from scipy.spatial.transform import Rotation, Slerp

from vega3d_ros.core.errors import Vega3dError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]


class GeometryError(Vega3dError, ValueError):
    """A transform or a box that cannot exist; the message says which value is wrong."""


def _finite(name: str, value: ArrayLike, shape: tuple[int, ...]) -> Array:
    array = np.array(value, dtype=np.float64)
    if array.shape != shape:
        msg = f"{name} has shape {array.shape}, expected {shape}"
        raise GeometryError(msg)
    if not np.isfinite(array).all():
        msg = f"{name} holds NaN or infinity: {array.tolist()}"
        raise GeometryError(msg)
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class SE3:
    """A rigid transform: rotation [3, 3], then translation [3] in metres."""

    rotation: Array
    translation: Array

    def __post_init__(self) -> None:
        rotation = _finite("rotation", self.rotation, (3, 3))
        if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-4 or np.linalg.det(rotation) < 0:
            msg = "rotation is not a proper rotation matrix (orthonormal, determinant +1)"
            raise GeometryError(msg)
        object.__setattr__(self, "rotation", rotation)
        object.__setattr__(self, "translation", _finite("translation", self.translation, (3,)))

    @classmethod
    def identity(cls) -> SE3:
        return cls(np.eye(3), np.zeros(3))

    @classmethod
    def from_quaternion(cls, xyzw: ArrayLike, translation: ArrayLike) -> SE3:
        """From a quaternion in ROS order (x, y, z, w); it is normalised.

        Raises:
            GeometryError: If the quaternion is all zeros or not finite.
        """
        quaternion = _finite("quaternion", xyzw, (4,))
        # Not NumPy's norm: it gives up the interpreter, which another thread then keeps for long.
        if math.hypot(*quaternion) < 1e-6:
            msg = "quaternion is all zeros; an unset orientation is (0, 0, 0, 1)"
            raise GeometryError(msg)
        return cls(
            Rotation.from_quat(quaternion).as_matrix(), np.asarray(translation, dtype=np.float64)
        )

    @classmethod
    def from_fields(cls, place: Any, turn: Any) -> SE3:
        """From messages with the fields x, y, z and x, y, z, w; raises as ``from_quaternion``."""
        return cls.from_quaternion((turn.x, turn.y, turn.z, turn.w), (place.x, place.y, place.z))

    @classmethod
    def from_matrix(cls, matrix: ArrayLike) -> SE3:
        """From a homogeneous matrix [4, 4]."""
        homogeneous = _finite("matrix", matrix, (4, 4))
        return cls(homogeneous[:3, :3], homogeneous[:3, 3])

    @property
    def quaternion(self) -> Array:
        """Rotation as (x, y, z, w), w >= 0."""
        return Rotation.from_matrix(self.rotation).as_quat(canonical=True)

    @property
    def matrix(self) -> Array:
        """Homogeneous matrix [4, 4]."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.rotation
        matrix[:3, 3] = self.translation
        return matrix

    @property
    def yaw(self) -> float:
        """Heading of the x axis about z, in (-pi, pi]."""
        return float(np.arctan2(self.rotation[1, 0], self.rotation[0, 0]))

    def __matmul__(self, other: SE3) -> SE3:
        """``a_from_b @ b_from_c`` is ``a_from_c``."""
        return SE3(
            self.rotation @ other.rotation, self.rotation @ other.translation + self.translation
        )

    def inverse(self) -> SE3:
        """``b_from_a`` of ``a_from_b``."""
        return SE3(self.rotation.T, -self.rotation.T @ self.translation)

    def apply(self, points: ArrayLike) -> Array:
        """Transform points [..., 3]."""
        return np.asarray(points, dtype=np.float64) @ self.rotation.T + self.translation

    def angle_to(self, other: SE3) -> float:
        """Angle between the two rotations, in [0, pi]."""
        return float(Rotation.from_matrix(self.rotation.T @ other.rotation).magnitude())

    def distance_to(self, other: SE3) -> float:
        """Metres between the two origins."""
        return float(np.linalg.norm(self.translation - other.translation))

    def interpolate(self, other: SE3, fraction: float) -> SE3:
        """As tf2 does: translation along the line, rotation along the shorter arc.

        Args:
            other: The transform at fraction 1.
            fraction: In [0, 1].
        """
        if not 0.0 <= fraction <= 1.0:
            msg = f"fraction {fraction} is outside [0, 1]; transforms are never extrapolated"
            raise GeometryError(msg)
        ends: Any = Rotation.from_matrix(np.stack([self.rotation, other.rotation]))
        arc = Slerp([0.0, 1.0], ends)
        translation = (1 - fraction) * self.translation + fraction * other.translation
        return SE3(arc(fraction).as_matrix(), translation)


@dataclass(frozen=True, eq=False)
class Box3D:
    """An oriented box.

    Attributes:
        center: [3], metres.
        size: Full extents along the box's own axes [3], metres, all positive.
        rotation: [3, 3], frame from box.
    """

    center: Array
    size: Array
    rotation: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "center", _finite("center", self.center, (3,)))
        size = _finite("size", self.size, (3,))
        if (size <= 0).any():
            msg = f"size must be positive along every axis, not {size.tolist()}"
            raise GeometryError(msg)
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "rotation", SE3(self.rotation, np.zeros(3)).rotation)

    @classmethod
    def upright(cls, center: ArrayLike, size: ArrayLike, yaw: float = 0.0) -> Box3D:
        """A box whose z axis is the frame's z axis, turned by ``yaw`` about it."""
        c, s = np.cos(yaw), np.sin(yaw)
        rotation = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        return cls(np.asarray(center, np.float64), np.asarray(size, np.float64), rotation)

    @classmethod
    def from_message(cls, pose: Any, size: Any) -> Box3D:
        """From a geometry_msgs/Pose and Vector3, as in vision_msgs and this package's messages."""
        placed = SE3.from_fields(pose.position, pose.orientation)
        return cls(placed.translation, np.array([size.x, size.y, size.z]), placed.rotation)

    @property
    def yaw(self) -> float:
        """Heading of the box's x axis about the frame's z axis, in (-pi, pi]."""
        return float(np.arctan2(self.rotation[1, 0], self.rotation[0, 0]))

    @property
    def volume(self) -> float:
        """Cubic metres."""
        return float(np.prod(self.size))

    @property
    def corners(self) -> Array:
        """[8, 3]; corner i has sign +1 along x, y, z where bits 2, 1, 0 of i are set."""
        signs = np.array([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)]) * 2.0 - 1.0
        return (signs * self.size / 2) @ self.rotation.T + self.center

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Smallest and largest corner of the axis-aligned box around this one, each [3]."""
        corners = self.corners
        return corners.min(axis=0), corners.max(axis=0)

    def transformed(self, target_from_source: SE3) -> Box3D:
        return Box3D(
            target_from_source.apply(self.center),
            self.size,
            target_from_source.rotation @ self.rotation,
        )

    def footprint(self) -> shapely.Polygon:
        """Outline seen from above, for a box whose z axis is upright (either way up).

        Raises:
            GeometryError: If it is not.
        """
        if abs(self.rotation[2, 2]) < 1 - 1e-6:
            msg = "only upright boxes have a footprint; bring both to a frame whose z is up"
            raise GeometryError(msg)
        half_x, half_y = (
            self.size[0] / 2 * self.rotation[:2, 0],
            self.size[1] / 2 * self.rotation[:2, 1],
        )
        outline = [half_x + half_y, -half_x + half_y, -half_x - half_y, half_x - half_y]
        return shapely.Polygon(self.center[:2] + np.array(outline))


def iou_axis_aligned(a: Box3D, b: Box3D) -> float:
    """Overlap of the axis-aligned bounds of two boxes, in [0, 1] (as ScanRefer scores)."""
    (a_low, a_high), (b_low, b_high) = a.bounds, b.bounds
    overlap = np.prod(np.clip(np.minimum(a_high, b_high) - np.maximum(a_low, b_low), 0, None))
    union = np.prod(a_high - a_low) + np.prod(b_high - b_low) - overlap
    return float(overlap / union)


def iou_oriented(a: Box3D, b: Box3D) -> float:
    """Overlap of two upright boxes with their headings, in [0, 1].

    Raises:
        GeometryError: If a box's z axis is not upright.
    """
    low = max(a.center[2] - a.size[2] / 2, b.center[2] - b.size[2] / 2)
    high = min(a.center[2] + a.size[2] / 2, b.center[2] + b.size[2] / 2)
    overlap = a.footprint().intersection(b.footprint()).area * max(0.0, high - low)
    return float(min(1.0, overlap / (a.volume + b.volume - overlap)))


def distance_between(a: Box3D, b: Box3D) -> float:
    """Metres between the closest points of two upright boxes; 0 where they touch.

    Raises:
        GeometryError: If a box's z axis is not upright.
    """
    gap = abs(a.center[2] - b.center[2]) - (a.size[2] + b.size[2]) / 2
    return float(np.hypot(a.footprint().distance(b.footprint()), max(0.0, gap)))
