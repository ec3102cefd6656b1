"""Which objects a clip shows, and names that fit one of them alone.

An object is *seen* with at least ``SEEN_PIXELS`` visible pixels in one frame, and *glimpsed* with
fewer but at least ``GLIMPSED_PIXELS``; seen or glimpsed, it is *visible*. A glimpsed object makes
its label ambiguous, so no question depends on it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vega3d_ros.simulation.dataset import truth_box
from vega3d_ros.simulation.rooms import LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from vega3d_ros.core.geometry import Box3D

SEEN_PIXELS = 150
"""Of the ``IMAGE_PIXELS`` of an image."""
GLIMPSED_PIXELS = 30
"""Of the ``IMAGE_PIXELS`` of an image."""
IMAGE_PIXELS = 224 * 168
"""Images of other sizes are counted as if they had so many pixels."""

# Share of clips in which a label is seen, measured on 400 generated training clips. Absent labels
# are drawn in proportion to it, so that the label alone does not tell whether it is present.
SEEN_RATE: dict[str, float] = {
    "air conditioner": 0.07,
    "ball": 0.16,
    "barbell": 0.09,
    "bed": 0.20,
    "box": 0.23,
    "cabinet": 0.23,
    "chair": 0.20,
    "curtain": 0.08,
    "desk": 0.22,
    "door": 0.19,
    "exercise machine": 0.10,
    "floor lamp": 0.22,
    "nightstand": 0.22,
    "picture": 0.20,
    "plant": 0.27,
    "refrigerator": 0.24,
    "shelf": 0.23,
    "shoe rack": 0.11,
    "sofa": 0.19,
    "table": 0.25,
    "tableware": 0.08,
    "trash bin": 0.18,
    "tv": 0.19,
    "vase": 0.03,
    "wardrobe": 0.22,
    "window": 0.21,
}


def visible_objects(objects: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The visible objects of a truth record."""
    return [item for item in objects if max(item["visible_pixels"]) >= GLIMPSED_PIXELS]


@dataclass(frozen=True, eq=False)
class VisibleObject:
    """An object of a truth record, its box in map; ``pixels`` [T] are visible in each frame."""

    id: str
    label: str
    color: str | None
    box: Box3D
    pixels: NDArray[np.int64]

    @property
    def first_frame(self) -> int:
        """Index of the frame in which it is first seen."""
        return int(np.argmax(self.pixels >= SEEN_PIXELS))


class ClipVisibility:
    """The objects that a clip shows, and what about them is unambiguous."""

    def __init__(self, objects: Sequence[Mapping[str, Any]]) -> None:
        everything = [
            VisibleObject(
                item["id"],
                item["label"],
                item["color"],
                truth_box(item),
                np.asarray(item["visible_pixels"], dtype=np.int64),
            )
            for item in objects
        ]
        self.seen = [s for s in everything if s.pixels.max(initial=0) >= SEEN_PIXELS]
        visible = [s for s in everything if s.pixels.max(initial=0) >= GLIMPSED_PIXELS]
        self.labels = {s.label for s in visible}
        self._visible = Counter(s.label for s in visible)
        self._seen = Counter(s.label for s in self.seen)
        self._colored = Counter((s.label, s.color) for s in visible)

    def countable(self, label: str) -> bool:
        """Whether every visible instance of a label is seen."""
        return self._visible[label] == self._seen[label]

    def with_label(self, label: str) -> list[VisibleObject]:
        """Seen instances of a label."""
        return [s for s in self.seen if s.label == label]

    def colors_named(self, label: str) -> bool:
        """Whether every visible instance of a label has a named colour."""
        return self._colored[label, None] == 0

    def unique_names(self, item: VisibleObject) -> list[str]:
        """Names, without article, that fit this object alone: its label, and with its colour."""
        names = []
        if self._visible[item.label] == 1:
            names.append(item.label)
        alone = self._colored[item.label, item.color] == 1
        if item.color is not None and alone and self.colors_named(item.label):
            names.append(f"{item.color} {item.label}")
        return names


class ObjectNaming:
    """Names the objects of a clip, at random where several names fit."""

    def __init__(self, visibility: ClipVisibility, rng: np.random.Generator) -> None:
        self.visibility, self.rng = visibility, rng
        self.nameable = [s for s in visibility.seen if visibility.unique_names(s)]

    def absent_label(self) -> str:
        """A label with no visible object, drawn by its odds of being seen in other clips."""
        labels = [label for label in LABELS if label not in self.visibility.labels]
        rates = np.array([SEEN_RATE[label] for label in labels])
        odds = rates / (1.001 - rates)
        return str(self.rng.choice(labels, p=odds / odds.sum()))

    def name(self, item: VisibleObject) -> str:
        """Mostly the bare label; with the colour where it is needed, and sometimes elsewhere."""
        names = self.visibility.unique_names(item)
        return names[-1] if len(names) == 1 or self.rng.random() < 0.25 else names[0]
