"""What a viewer of a video can know, and how to name it without ambiguity.

An object is *seen* with at least ``SEEN_PIXELS`` visible pixels in one frame, and *glimpsed* with
fewer but at least ``GLIMPSED_PIXELS``. Glimpsed objects make their label ambiguous, so that no
question counts on them.
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
"""Of an image of 224 x 168."""
GLIMPSED_PIXELS = 30
"""Of an image of 224 x 168."""

# How often a label is seen in a clip, measured on 400 generated training clips; absent labels are
# drawn in proportion to it, so that the label alone does not tell whether it is there.
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
    """The objects of a truth record that are seen or glimpsed in any frame."""
    return [item for item in objects if max(item["visible_pixels"]) >= GLIMPSED_PIXELS]


@dataclass(frozen=True, eq=False)
class VisibleObject:
    """An object of a truth record as a viewer knows it.

    Attributes:
        id: Its id.
        label: What it is.
        color: Named colour or None.
        box: Where it is, in map.
        pixels: Visible pixels per frame [T].
    """

    id: str
    label: str
    color: str | None
    box: Box3D
    pixels: NDArray[np.int64]

    @property
    def first_frame(self) -> int:
        """Index of the frame in which it is first seen."""
        return int(np.argmax(self.pixels >= SEEN_PIXELS))


class Witness:
    """What can be said about a clip without ambiguity.

    Args:
        objects: The ``objects`` of a truth record.
    """

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
        noticed = [s for s in everything if s.pixels.max(initial=0) >= GLIMPSED_PIXELS]
        self.labels = {s.label for s in noticed}
        self._noticed = Counter(s.label for s in noticed)
        self._seen = Counter(s.label for s in self.seen)
        self._colored = Counter((s.label, s.color) for s in noticed)

    def clear(self, label: str) -> bool:
        """Whether every noticed instance of a label is also seen."""
        return self._noticed[label] == self._seen[label]

    def of(self, label: str) -> list[VisibleObject]:
        """Seen instances of a label."""
        return [s for s in self.seen if s.label == label]

    def color_known(self, label: str) -> bool:
        """Whether every noticed instance of a label has a named colour."""
        return self._colored[label, None] == 0

    def names(self, item: VisibleObject) -> list[str]:
        """Descriptions that fit this object alone, without article; empty where there is none."""
        names = []
        if self._noticed[item.label] == 1:
            names.append(item.label)
        alone = self._colored[item.label, item.color] == 1
        if item.color is not None and alone and self.color_known(item.label):
            names.append(f"{item.color} {item.label}")
        return names


class Speaker:
    """Chooses names at random.

    Args:
        witness: Whose objects are named.
        rng: Where choices come from.
    """

    def __init__(self, witness: Witness, rng: np.random.Generator) -> None:
        self.witness, self.rng = witness, rng
        self.named = [s for s in witness.seen if witness.names(s)]

    def absent_label(self) -> str:
        """A label of which nothing was noticed, by the odds of its being there in other clips."""
        labels = [label for label in LABELS if label not in self.witness.labels]
        rates = np.array([SEEN_RATE[label] for label in labels])
        odds = rates / (1.001 - rates)
        return str(self.rng.choice(labels, p=odds / odds.sum()))

    def name(self, item: VisibleObject) -> str:
        """The bare label mostly; with the colour where it must be, and now and then elsewhere."""
        names = self.witness.names(item)
        return names[-1] if len(names) == 1 or self.rng.random() < 0.25 else names[0]
