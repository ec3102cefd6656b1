"""Furniture built of boxes, cylinders and spheres, with one named main colour each.

Axes of an object: x points to its front, z up; its lowest point is at z = 0. Metres.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

COLORS: dict[str, tuple[float, float, float]] = {
    "red": (0.80, 0.10, 0.10),
    "orange": (0.96, 0.48, 0.06),
    "yellow": (0.93, 0.84, 0.15),
    "green": (0.15, 0.58, 0.20),
    "blue": (0.12, 0.26, 0.80),
    "purple": (0.50, 0.16, 0.64),
    "brown": (0.40, 0.23, 0.11),
    "black": (0.05, 0.05, 0.05),
    "white": (0.95, 0.95, 0.95),
    "grey": (0.48, 0.48, 0.48),
}
"""Colour names and their reflectances, from which objects deviate a little."""

MAX_PARTS = 10
"""Most parts of a primitive object (the renderer has as many shapes per object)."""

_FIXED = {
    "dark": (0.13, 0.13, 0.14),
    "metal": (0.62, 0.63, 0.65),
    "pale": (0.90, 0.89, 0.86),
    "screen": (0.03, 0.03, 0.05),
    "sky": (0.62, 0.80, 0.95),
    "leaf": (0.16, 0.45, 0.14),
    "leaf2": (0.26, 0.55, 0.18),
}


@dataclass(frozen=True, eq=False)
class Part:
    """One shape: "box", "cylinder" (axis z), "sphere" or "ellipsoid".

    Centre and half extents are in the object's axes; ``rgb`` is its reflectance, 0..1.
    """

    shape: str
    center: Vector
    half: Vector
    rgb: Vector


@dataclass
class _Draft:
    """The parts of an object under construction; its colour decides the tones later."""

    rng: np.random.Generator
    parts: list[tuple[str, tuple[float, ...], tuple[float, ...], str]] = field(
        default_factory=list
    )

    def draw(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def add(
        self,
        shape: str,
        center: tuple[float, float, float],
        size: tuple[float, float, float],
        tone: str = "main",
    ) -> None:
        """Add a part, by centre and full extents."""
        self.parts.append((shape, center, size, tone))

    def box(
        self, x: float, y: float, low: float, size: tuple[float, float, float], tone: str = "main"
    ) -> None:
        """Add a box of full extents ``size`` with its bottom at height ``low`` over (x, y)."""
        self.add("box", (x, y, low + size[2] / 2), size, tone)

    def legs(self, width: float, depth: float, height: float, thick: float, tone: str) -> None:
        for sx in (-1, 1):
            for sy in (-1, 1):
                x, y = sx * (width - thick) / 2, sy * (depth - thick) / 2
                self.box(x, y, 0, (thick, thick, height), tone)


def _chair(d: _Draft) -> None:
    w, b, seat, top = d.draw(0.4, 0.55), d.draw(0.4, 0.55), d.draw(0.4, 0.5), d.draw(0.78, 1.05)
    t = d.draw(0.03, 0.06)
    legs = d.rng.choice(["main", "shade", "dark"])
    d.legs(w, b, seat - t, d.draw(0.03, 0.05), legs)
    d.box(0, 0, seat - t, (w, b, t))
    d.box(-w / 2 + t / 2, 0, seat, (t, b, top - seat))
    if d.rng.random() < 0.3:
        for side in (-1, 1):
            d.box(0, side * (b - t) / 2, seat + 0.18, (w, t, t), "shade")


def _table(d: _Draft) -> None:
    w, b, h, t = d.draw(0.5, 1.0), d.draw(0.6, 1.7), d.draw(0.4, 0.78), d.draw(0.03, 0.06)
    legs = d.rng.choice(["main", "shade", "dark"])
    if d.rng.random() < 0.3:
        b = w
        d.add("cylinder", (0, 0, h - t / 2), (w, w, t))
        d.add("cylinder", (0, 0, (h - t) / 2), (0.09, 0.09, h - t), legs)
        d.add("cylinder", (0, 0, 0.015), (w * 0.6, w * 0.6, 0.03), legs)
        return
    d.box(0, 0, h - t, (w, b, t))
    d.legs(w, b, h - t, d.draw(0.04, 0.08), legs)


def _desk(d: _Draft) -> None:
    w, b, h, t = d.draw(0.55, 0.75), d.draw(1.1, 1.6), d.draw(0.7, 0.78), 0.04
    side = d.rng.choice([-1, 1])
    drawers = 0.4
    d.box(0, 0, h - t, (w, b, t))
    d.box(0, side * (b - drawers) / 2, 0, (w * 0.95, drawers, h - t), "shade")
    d.box(0, -side * (b - t) / 2, 0, (w, t, h - t))
    d.box(-w / 2 + t / 2, 0, h * 0.4, (t, b, h * 0.6 - t), "shade")
    for i in range(3):
        z = 0.06 + i * (h - t - 0.06) / 3
        d.box(
            w * 0.475, side * (b - drawers) / 2, z, (0.02, drawers * 0.85, (h - 0.2) / 3), "main"
        )


def _shelf(d: _Draft) -> None:
    w, b, h, t = d.draw(0.25, 0.4), d.draw(0.6, 1.2), d.draw(0.9, 2.0), 0.03
    for side in (-1, 1):
        d.box(0, side * (b - t) / 2, 0, (w, t, h))
    count = int(d.rng.integers(3, 6))
    for i in range(count):
        d.box(0, 0, (h - t) * i / (count - 1), (w, b, t))
    if d.rng.random() < 0.5:
        d.box(-w / 2 + 0.005, 0, 0, (0.01, b, h), "shade")


def _fronts(d: _Draft, w: float, b: float, h: float, columns: int, rows: int) -> None:
    """Add doors or drawers that protrude a little from the front of a block."""
    for i in range(columns):
        for j in range(rows):
            y, z = (i + 0.5) * b / columns - b / 2, j * h / rows + 0.02
            d.box(w / 2, y, z, (0.03, b / columns * 0.92, h / rows - 0.04), "shade")
    for i in range(columns):
        y = (i + 0.5) * b / columns - b / 2
        y += 0.0 if rows > 1 else -np.sign(y) * b / columns * 0.36
        d.box(
            w / 2 + 0.025,
            y,
            h * (0.6 if rows == 1 else 1 - 0.5 / rows),
            (0.03, 0.06, 0.03),
            "dark",
        )


def _cabinet(d: _Draft) -> None:
    w, b, h = d.draw(0.35, 0.55), d.draw(0.8, 1.5), d.draw(0.5, 1.0)
    d.box(0, 0, 0, (w, b, h))
    _fronts(d, w, b, h, 2, 1)


def _wardrobe(d: _Draft) -> None:
    w, b, h = d.draw(0.5, 0.65), d.draw(0.9, 1.6), d.draw(1.7, 2.1)
    d.box(0, 0, 0, (w, b, h))
    _fronts(d, w, b, h, 2, 1)


def _nightstand(d: _Draft) -> None:
    w, b, h = d.draw(0.35, 0.45), d.draw(0.38, 0.5), d.draw(0.42, 0.58)
    d.box(0, 0, 0, (w, b, h))
    _fronts(d, w, b, h, 1, 2)


def _refrigerator(d: _Draft) -> None:
    w, b, h, split = d.draw(0.55, 0.7), d.draw(0.55, 0.75), d.draw(1.4, 1.9), d.draw(0.55, 0.7)
    d.box(-0.03, 0, 0, (w - 0.06, b, h))
    d.box(w / 2 - 0.03, 0, 0.05, (0.06, b, h * split - 0.06))
    d.box(w / 2 - 0.03, 0, h * split, (0.06, b, h * (1 - split)))
    for z in (h * split - 0.4, h * split + 0.06):
        d.box(w / 2 + 0.015, b * 0.4, z, (0.03, 0.03, 0.3), "metal")


def _box(d: _Draft) -> None:
    w, b, h = d.draw(0.25, 0.6), d.draw(0.25, 0.6), d.draw(0.2, 0.55)
    d.box(0, 0, 0, (w, b, h))
    if d.rng.random() < 0.5:
        d.box(0, 0, h, (w, 0.06, 0.004), "pale")


def _floor_lamp(d: _Draft) -> None:
    h, shade, tall = d.draw(1.3, 1.75), d.draw(0.28, 0.45), d.draw(0.2, 0.32)
    pole = d.rng.choice(["dark", "metal", "main"])
    d.add("cylinder", (0, 0, 0.015), (shade * 0.7, shade * 0.7, 0.03), pole)
    d.add("cylinder", (0, 0, (h - tall) / 2), (0.035, 0.035, h - tall), pole)
    d.add("cylinder", (0, 0, h - tall / 2), (shade, shade, tall))


def _bed(d: _Draft) -> None:
    w, b, h = d.draw(1.9, 2.15), d.draw(0.9, 1.8), d.draw(0.4, 0.6)
    d.box(0, 0, 0, (w, b, h * 0.5), "shade")
    d.box(0.02, 0, h * 0.5, (w - 0.06, b * 0.97, h * 0.5))
    d.box(-w / 2 + 0.03, 0, 0, (0.06, b, h + d.draw(0.3, 0.55)), "shade")
    pillows = 2 if b > 1.3 else 1
    for i in range(pillows):
        y = (i - (pillows - 1) / 2) * b / 2
        d.box(-w / 2 + 0.3, y, h, (0.35, b / pillows * 0.7, 0.1), "pale")


def _sofa(d: _Draft) -> None:
    w, b, seat, h = d.draw(0.75, 0.95), d.draw(1.3, 2.2), d.draw(0.36, 0.45), d.draw(0.7, 0.9)
    arm, back = d.draw(0.12, 0.22), d.draw(0.16, 0.24)
    d.box(0, 0, 0.05, (w, b, seat - 0.1))
    d.box(-w / 2 + back / 2, 0, 0.05, (back, b, h - 0.05))
    for side in (-1, 1):
        d.box(0, side * (b - arm) / 2, 0.05, (w, arm, seat + 0.1))
    for side in (-1, 1):
        y = side * (b - 2 * arm) / 4
        d.box(back / 2, y, seat - 0.05, (w - back, (b - 2 * arm) / 2 * 0.96, 0.12), "shade")
    for side in (-1, 1):
        d.box(w * 0.4, side * b * 0.45, 0, (0.06, 0.06, 0.05), "dark")


def _trash_bin(d: _Draft) -> None:
    r, h = d.draw(0.22, 0.36), d.draw(0.3, 0.65)
    d.add("cylinder", (0, 0, h / 2), (r, r, h))
    d.add(
        "cylinder", (0, 0, h + 0.01), (r * 1.06, r * 1.06, 0.03), d.rng.choice(["shade", "dark"])
    )


def _tv(d: _Draft) -> None:
    b = d.draw(0.8, 1.4)
    h, t = b * 0.57, d.draw(0.04, 0.08)
    d.box(0, 0, 0, (t, b, h), "dark")
    d.box(t / 2, 0, 0.03, (0.01, b - 0.05, h - 0.06), "screen")


def _picture(d: _Draft) -> None:
    b, h, t = d.draw(0.4, 1.0), d.draw(0.35, 0.8), 0.04
    d.box(0, 0, 0, (t, b, h), d.rng.choice(["dark", "pale"]))
    d.box(t / 2, 0, 0.03, (0.01, b - 0.06, h - 0.06))
    d.box(t / 2 + 0.003, d.draw(-0.2, 0.2) * b, h * 0.3, (0.01, b * 0.25, h * 0.3), "shade")


def _door(d: _Draft) -> None:
    b, h = d.draw(0.8, 0.95), d.draw(1.95, 2.1)
    d.box(0, 0, 0, (0.05, b, h))
    for z in (0.15, 1.1):
        d.box(0.025, 0, z, (0.02, b * 0.7, h * 0.38), "shade")
    d.add("sphere", (0.06, b * 0.42, 1.0), (0.06, 0.06, 0.06), "metal")


def _window(d: _Draft) -> None:
    b, h = d.draw(0.8, 1.5), d.draw(0.8, 1.3)
    d.box(0, 0, 0, (0.06, b, h), "pale")
    for side in (-1, 1):
        d.box(0.03, side * b * 0.24, 0.06, (0.012, b * 0.42, h - 0.12), "sky")


def _ball(d: _Draft) -> None:
    r = d.draw(0.22, 0.45)
    d.add("sphere", (0, 0, r / 2), (r, r, r))


def _plant(d: _Draft) -> None:
    r, pot, h = d.draw(0.22, 0.35), d.draw(0.2, 0.35), d.draw(0.7, 1.4)
    d.add("cylinder", (0, 0, pot / 2), (r, r, pot))
    d.add("cylinder", (0, 0, h * 0.4), (0.04, 0.04, h * 0.7), "leaf")
    for i in range(5):
        size, angle = d.draw(0.2, 0.36), i * 2.4 + d.draw(0, 1)
        z = d.draw(pot + 0.15, h - 0.1)
        d.add(
            "ellipsoid",
            (0.13 * np.cos(angle), 0.13 * np.sin(angle), z),
            (size, size, size * 0.8),
            ("leaf", "leaf2")[i % 2],
        )


@dataclass(frozen=True)
class PrimitiveKind:
    """The builder of a label, its place ("floor", "wall") and whether its colour has a name."""

    build: Callable[[_Draft], None]
    place: str = "floor"
    named_color: bool = True


PRIMITIVES: dict[str, PrimitiveKind] = {
    "ball": PrimitiveKind(_ball),
    "bed": PrimitiveKind(_bed),
    "box": PrimitiveKind(_box),
    "cabinet": PrimitiveKind(_cabinet),
    "chair": PrimitiveKind(_chair),
    "desk": PrimitiveKind(_desk),
    "door": PrimitiveKind(_door, "wall"),
    "floor lamp": PrimitiveKind(_floor_lamp),
    "nightstand": PrimitiveKind(_nightstand),
    "picture": PrimitiveKind(_picture, "wall"),
    "plant": PrimitiveKind(_plant, named_color=False),
    "refrigerator": PrimitiveKind(_refrigerator),
    "shelf": PrimitiveKind(_shelf),
    "sofa": PrimitiveKind(_sofa),
    "table": PrimitiveKind(_table),
    "trash bin": PrimitiveKind(_trash_bin),
    "tv": PrimitiveKind(_tv, "wall", named_color=False),
    "wardrobe": PrimitiveKind(_wardrobe),
    "window": PrimitiveKind(_window, "wall", named_color=False),
}
"""All kinds of objects that need no furniture folder, by label."""


def build_primitive(
    label: str, color: str, scale: float, rng: np.random.Generator
) -> tuple[tuple[Part, ...], Vector]:
    """An object of random proportions; ``scale`` multiplies every length.

    Returns:
        Its parts, with the box around them centred on the origin, and the full extents [3] of that
        box.
    """
    draft = _Draft(rng)
    PRIMITIVES[label].build(draft)
    main = np.clip(np.array(COLORS[color]) + rng.normal(0, 0.025, 3), 0.02, 0.98)
    tones = {"main": main, "shade": main * 0.85, **{k: np.array(v) for k, v in _FIXED.items()}}
    centers = np.array([part[1] for part in draft.parts]) * scale
    halves = np.array([part[2] for part in draft.parts]) * scale / 2
    low, high = (centers - halves).min(axis=0), (centers + halves).max(axis=0)
    parts = tuple(
        Part(shape, center, half, tones[str(tone)])
        for (shape, _, _, tone), center, half in zip(
            draft.parts, centers - (low + high) / 2, halves, strict=True
        )
    )
    return parts, high - low
