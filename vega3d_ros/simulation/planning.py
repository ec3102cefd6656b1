"""Fills rooms with objects at random, without overlaps."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.simulation.furniture import (
    HELDOUT_MODELS,
    HELDOUT_VARIANT,
    VARIANTS,
    MeshModel,
    variant_scale,
)
from vega3d_ros.simulation.primitives import COLORS, PRIMITIVES, Part, build_primitive
from vega3d_ros.simulation.rooms import (
    MAX_OBJECTS,
    SPLITS,
    PlacedObject,
    Room,
    Slab,
    footprint_reach,
    shell,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

_SURFACES = frozenset({"table", "desk", "nightstand", "cabinet"})
_FREE_STANDING = frozenset({"chair", "table", "box", "ball", "trash bin", "plant"})


class RoomError(Vega3dError, ValueError):
    """A room that cannot be planned; the message says which argument to change."""


@dataclass(frozen=True, eq=False)
class _Candidate:
    label: str
    color: str | None
    size: Vector
    place: str
    model: str
    variant: int
    parts: tuple[Part, ...]
    mesh: MeshModel | None


class _Planner:
    """Fills one room.

    ``keep_free`` is a rectangle (x low, y low, x high, y high) without objects, for a doorway;
    ``neighbour`` plans another room of the same home, and both share meshes and ids.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        split: str,
        models: Sequence[MeshModel],
        extent: tuple[float, float, float],
        keep_free: tuple[float, float, float, float] | None = None,
        neighbour: _Planner | None = None,
    ) -> None:
        self.rng = rng
        self.extent = extent
        self.heldout = split == "heldout"
        self.models = [m for m in models if self.heldout or m.name not in HELDOUT_MODELS]
        self.objects: list[PlacedObject] = []
        self.keep_free = keep_free
        self.used: set[tuple[str, int]] = neighbour.used if neighbour else set()
        self.numbers: Counter[str] = neighbour.numbers if neighbour else Counter()
        self.on_walls: list[tuple[int, float, float, float, float]] = []
        self.labels = sorted({m.label for m in self.models} | set(PRIMITIVES))

    def fill(self, wanted: int) -> None:
        """Place that many objects, or as many as fit."""
        for _ in range(6 * wanted):
            if len(self.objects) == wanted:
                break
            item = self.draw()
            if item is not None:
                self.place(item)

    def draw(self) -> _Candidate | None:
        """A random object, or None where every instance of the drawn model is in use."""
        rng = self.rng
        repeat = self.objects and rng.random() < 0.35
        small = [m for m in self.models if m.place == "top"]
        if small and rng.random() < 0.12:
            return self._mesh(small[rng.integers(len(small))])
        label = str(
            self.objects[rng.integers(len(self.objects))].label
            if repeat
            else self.labels[rng.integers(len(self.labels))]
        )
        meshes = [m for m in self.models if m.label == label]
        if meshes and (label not in PRIMITIVES or rng.random() < 0.6):
            return self._mesh(meshes[rng.integers(len(meshes))])
        variant = self._variant()
        kind = PRIMITIVES[label]
        color = list(COLORS)[rng.integers(len(COLORS))]
        scale = rng.uniform(0.86 + 0.08 * variant, 0.94 + 0.08 * variant)
        parts, size = build_primitive(label, color, scale, rng)
        named = color if kind.named_color else None
        return _Candidate(
            label, named, size, kind.place, f"primitive {label}", variant, parts, None
        )

    def _variant(self) -> int:
        return int(self.rng.integers(VARIANTS if self.heldout else HELDOUT_VARIANT))

    def _mesh(self, mesh: MeshModel) -> _Candidate | None:
        variant = self._variant()
        if (mesh.name, variant) in self.used:
            return None
        size = (mesh.high - mesh.low) * variant_scale(mesh.name, variant)
        return _Candidate(mesh.label, None, size, mesh.place, mesh.name, variant, (), mesh)

    def place(self, item: _Candidate) -> bool:
        """Place it; returns whether it fits."""
        finder = {"floor": self._on_floor, "wall": self._on_wall, "top": self._on_top}[item.place]
        for _ in range(12):
            spot = finder(item)
            if spot is None:
                continue
            center, yaw = spot
            self.numbers[item.label] += 1
            self.objects.append(
                PlacedObject(
                    f"{item.label.replace(' ', '_')}_{self.numbers[item.label]}",
                    item.label,
                    item.color,
                    center,
                    item.size,
                    float((yaw + np.pi) % (2 * np.pi) - np.pi),
                    item.model,
                    item.variant,
                    item.parts,
                    item.mesh,
                )
            )
            if item.mesh is not None:
                self.used.add((item.model, item.variant))
            return True
        return False

    def _on_floor(self, item: _Candidate) -> tuple[Vector, float] | None:
        rng, (width, depth, height) = self.rng, self.extent
        size = item.size
        if size[2] > height - 0.02:
            return None
        against_wall = rng.random() < (0.2 if item.label in _FREE_STANDING else 0.7)
        side = int(rng.integers(4))
        if against_wall:
            # A primitive's front (+x) faces the room; that of a mesh is unknown.
            yaw = (np.pi, 0.0, -np.pi / 2, np.pi / 2)[side] + rng.normal(0, 0.02)
            if item.mesh is not None:
                yaw += np.pi / 2 * rng.integers(4)
        elif rng.random() < 0.4:
            yaw = np.pi / 2 * rng.integers(4) + rng.normal(0, 0.06)
        else:
            yaw = rng.uniform(-np.pi, np.pi)
        rx, ry = footprint_reach(size, yaw)
        room_x, room_y = width / 2 - rx - 0.03, depth / 2 - ry - 0.03
        if room_x < 0 or room_y < 0:
            return None
        x, y = rng.uniform(-room_x, room_x), rng.uniform(-room_y, room_y)
        if against_wall:
            x, y = ((room_x, y), (-room_x, y), (x, room_y), (x, -room_y))[side]
        if self._blocked(x, y, rx, ry):
            return None
        for other in self.objects:
            ox, oy = other.reach
            gap_z = other.center[2] - other.size[2] / 2 - size[2]
            near = abs(x - other.center[0]) < rx + ox + 0.06
            near = near and abs(y - other.center[1]) < ry + oy + 0.06
            if near and gap_z < 0.02:
                return None
        return np.array([x, y, size[2] / 2]), float(yaw)

    def _blocked(self, x: float, y: float, rx: float, ry: float) -> bool:
        if self.keep_free is None:
            return False
        low_x, low_y, high_x, high_y = self.keep_free
        return low_x - rx < x < high_x + rx and low_y - ry < y < high_y + ry

    def _on_wall(self, item: _Candidate) -> tuple[Vector, float] | None:
        rng, (width, depth, height) = self.rng, self.extent
        thin = 0 if item.size[0] < item.size[1] else 1
        breadth, tall, thickness = item.size[1 - thin], item.size[2], item.size[thin]
        side = int(rng.integers(4))
        half = (depth if side < 2 else width) / 2 - breadth / 2 - 0.05
        if half < 0 or tall > height - 0.05:
            return None
        along = rng.uniform(-half, half)
        if item.label in ("door", "curtain"):
            z = tall / 2
        elif item.label == "air conditioner":
            z = rng.uniform(1.9, 2.2)
        else:
            z = rng.uniform(1.0, 1.65)
        z = float(np.clip(z, tall / 2, height - tall / 2 - 0.03))
        for taken, other, wide, other_z, other_tall in self.on_walls:
            apart = abs(along - other) > (breadth + wide) / 2 + 0.08
            if taken == side and not (apart or abs(z - other_z) > (tall + other_tall) / 2 + 0.05):
                return None
        away = (width if side < 2 else depth) / 2 - thickness / 2 - 0.004
        x, y = ((away, along), (-away, along), (along, away), (along, -away))[side]
        yaw = (np.pi, 0.0, -np.pi / 2, np.pi / 2)[side] + (np.pi / 2 if thin else 0.0)
        reach = (thickness / 2, breadth / 2) if side < 2 else (breadth / 2, thickness / 2)
        if self._blocked(x, y, *reach):
            return None
        for other_object in self.objects:
            ox, oy = other_object.reach
            top = other_object.center[2] + other_object.size[2] / 2
            near = abs(x - other_object.center[0]) < reach[0] + ox
            if near and abs(y - other_object.center[1]) < reach[1] + oy and top > z - tall / 2:
                return None
        self.on_walls.append((side, along, float(breadth), z, float(tall)))
        return np.array([x, y, z]), float(yaw)

    def _on_top(self, item: _Candidate) -> tuple[Vector, float] | None:
        rng = self.rng
        carriers = [o for o in self.objects if o.label in _SURFACES]
        if not carriers:
            return None
        carrier = carriers[rng.integers(len(carriers))]
        radius = np.hypot(*item.size[:2]) / 2
        half = carrier.size[:2] / 2 - radius
        if (half < 0).any():
            half = np.maximum(half, 0.0)
            if (carrier.size[:2] < item.size[:2].max()).any():
                return None
        local = rng.uniform(-half, half)
        c, s = np.cos(carrier.yaw), np.sin(carrier.yaw)
        xy = carrier.center[:2] + np.array(
            [c * local[0] - s * local[1], s * local[0] + c * local[1]]
        )
        z = carrier.center[2] + carrier.size[2] / 2 + item.size[2] / 2
        for other in self.objects:
            if other is carrier:
                continue
            apart = np.hypot(*(other.center[:2] - xy)) > radius + np.hypot(*other.size[:2]) / 2
            if not apart and abs(other.center[2] - z) < (other.size[2] + item.size[2]) / 2:
                return None
        return np.array([*xy, z]), float(rng.uniform(-np.pi, np.pi))


def plan_room(
    rng: np.random.Generator,
    split: str,
    models: Sequence[MeshModel] = (),
    *,
    side_m: tuple[float, float] = (4.0, 7.0),
    objects: tuple[int, int] = (6, 14),
) -> Room:
    """A random room of ``objects`` (fewest, most; fewer where they do not fit).

    Training rooms hold no held-out model or size.

    Raises:
        RoomError: If the split is unknown or there are too many objects.
    """
    if split not in SPLITS:
        msg = f"split must be one of {', '.join(SPLITS)}, not {split!r}"
        raise RoomError(msg)
    if objects[1] > MAX_OBJECTS:
        msg = f"a room holds at most {MAX_OBJECTS} objects, not {objects[1]}"
        raise RoomError(msg)
    width, depth = rng.uniform(*side_m, 2)
    height = rng.uniform(2.4, 3.0)
    planner = _Planner(rng, split, models, (width, depth, height))
    planner.fill(int(rng.integers(objects[0], objects[1] + 1)))
    return Room(
        float(width),
        float(depth),
        float(height),
        tuple(planner.objects),
        bool(models),
        shell(width, depth, height),
    )


def plan_home(rng: np.random.Generator, split: str, models: Sequence[MeshModel] = ()) -> Room:
    """Two furnished rooms side by side along x, joined by a doorway without a door."""
    depth, height, wall = rng.uniform(4.2, 5.2), rng.uniform(2.5, 2.9), 0.1
    widths = rng.uniform(3.8, 5.0, 2)
    total = float(widths.sum() + wall)
    opening, door_y = 0.55, rng.uniform(-depth / 2 + 1.3, depth / 2 - 1.3)
    inner_x = -total / 2 + widths[0] + wall / 2
    objects: list[PlacedObject] = []
    planner = None
    for side, width in zip((-1, 1), widths, strict=True):
        door_x = -side * width / 2
        free = (door_x - 0.9, door_y - 0.75, door_x + 0.9, door_y + 0.75)
        planner = _Planner(rng, split, models, (width, depth, height), free, planner)
        planner.fill(MAX_OBJECTS // 2)
        center_x = side * (total - width) / 2
        objects += [
            replace(o, center=o.center + np.array([center_x, 0.0, 0.0])) for o in planner.objects
        ]
    slabs = [*shell(total, depth, height)]
    for low, high, bottom in (
        (-depth / 2, door_y - opening, 0.0),
        (door_y + opening, depth / 2, 0.0),
        (door_y - opening, door_y + opening, 2.05),
    ):
        center = (float(inner_x), float(low + high) / 2, (bottom + height) / 2)
        slabs.append(
            Slab("wall", center, (wall / 2, float(high - low) / 2, (height - bottom) / 2))
        )
    return Room(total, float(depth), float(height), tuple(objects), bool(models), tuple(slabs))
