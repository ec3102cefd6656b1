"""Rooms and the objects in them.

All in the map frame: z up, floor at z = 0, origin in the middle of the room; metres.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.simulation.furniture import (
    HELDOUT_MODELS,
    HELDOUT_VARIANT,
    MODELS,
    MeshModel,
)
from vega3d_ros.simulation.primitives import PRIMITIVES, Part

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

LABELS = tuple(sorted({label for label, _ in MODELS.values()} | set(PRIMITIVES)))
"""All labels of simulated rooms."""
SPLITS = ("train", "heldout")
MAX_OBJECTS = 16
"""Most objects of a room (the renderer has shapes for as many primitives)."""


@dataclass(frozen=True, eq=False)
class PlacedObject:
    """An object of a room.

    Attributes:
        id: Unique in the room, such as "chair_2".
        label: One of ``LABELS``.
        color: Named main colour, or None where it has none (textured).
        center: Centre of its box [3].
        size: Full extents [3] in its own axes.
        yaw: Heading of its x axis about z, radians.
        model: Name of the mesh model, or "primitive <label>".
        variant: Size variant, 0 to ``VARIANTS`` - 1.
        parts: Shapes of a primitive, centred on the box; empty for a mesh.
        mesh: The mesh model, or None.
    """

    id: str
    label: str
    color: str | None
    center: Vector
    size: Vector
    yaw: float
    model: str
    variant: int
    parts: tuple[Part, ...] = ()
    mesh: MeshModel | None = None

    @property
    def heldout(self) -> bool:
        """Whether training clips never hold this model or this size."""
        return self.model in HELDOUT_MODELS or self.variant == HELDOUT_VARIANT

    @property
    def reach(self) -> tuple[float, float]:
        """Half extents along map x and y of the axis-aligned outline."""
        return footprint_reach(self.size, self.yaw)


@dataclass(frozen=True)
class Slab:
    """A piece of floor, ceiling or wall, with its centre and half extents."""

    kind: str
    center: tuple[float, float, float]
    half: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Room:
    """A furnished room.

    Attributes:
        width_m: Extent along x.
        depth_m: Extent along y.
        height_m: Floor to ceiling.
        objects: The objects in it.
        furniture: Whether it may hold meshes.
        slabs: Floor, ceiling and walls.
    """

    width_m: float
    depth_m: float
    height_m: float
    objects: tuple[PlacedObject, ...]
    furniture: bool
    slabs: tuple[Slab, ...] = field(default=())

    def is_free(self, x: float, y: float, clearance_m: float) -> bool:
        """Whether a disc around (x, y) touches no wall and no object on the floor."""
        if abs(x) > self.width_m / 2 - clearance_m or abs(y) > self.depth_m / 2 - clearance_m:
            return False
        for item in self.objects:
            if item.center[2] - item.size[2] / 2 > 0.3:
                continue
            rx, ry = item.reach
            if _near(x - item.center[0], y - item.center[1], rx, ry, clearance_m):
                return False
        for slab in self.slabs:
            inner = (
                abs(slab.center[0]) < self.width_m / 2 and abs(slab.center[1]) < self.depth_m / 2
            )
            low = slab.center[2] - slab.half[2] < 1.0
            if slab.kind == "wall" and inner and low:
                dx, dy = x - slab.center[0], y - slab.center[1]
                if _near(dx, dy, slab.half[0], slab.half[1], clearance_m):
                    return False
        return True


def _near(dx: float, dy: float, half_x: float, half_y: float, distance: float) -> bool:
    """Whether (dx, dy), from a rectangle's centre, is nearer than ``distance`` to it."""
    return bool(np.hypot(max(0.0, abs(dx) - half_x), max(0.0, abs(dy) - half_y)) < distance)


def footprint_reach(size: Vector, yaw: float) -> tuple[float, float]:
    """Half extents along x and y of the axis-aligned outline of a box of that size and heading."""
    c, s = abs(np.cos(yaw)), abs(np.sin(yaw))
    return float(size[0] * c + size[1] * s) / 2, float(size[0] * s + size[1] * c) / 2


def shell(width: float, depth: float, height: float) -> tuple[Slab, ...]:
    """Floor, ceiling and outer walls, 0.1 m thick, around a room."""
    w, d, t = width / 2, depth / 2, 0.05
    return (
        Slab("floor", (0, 0, -t), (w, d, t)),
        Slab("ceiling", (0, 0, height + t), (w, d, t)),
        Slab("wall", (w + t, 0, height / 2), (t, d, height / 2)),
        Slab("wall", (-w - t, 0, height / 2), (t, d, height / 2)),
        Slab("wall", (0, d + t, height / 2), (w, t, height / 2)),
        Slab("wall", (0, -d - t, height / 2), (w, t, height / 2)),
    )
