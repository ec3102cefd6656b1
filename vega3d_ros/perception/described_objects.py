"""Which objects a relational description means: names are looked up, relations are measured.

Scores are taken as probabilities: that the object is what its name says, times that the relation
holds, given the covariances of the boxes, times that its rank is the one described. An object
loses its rank to another by the probability that the other is there and comes before it, so that
doubtful detections spoil little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.perception.description_grammar import ModelConfig, Placing, Rank, parse_description
from vega3d_ros.perception.noun_phrases import VIEWER, plain_name
from vega3d_ros.perception.relation_probability import (
    DIRECTIONS,
    between_probability,
    relation_probability,
)
from vega3d_ros.perception.relations import Viewpoint
from vega3d_ros.perception.uncertain_lengths import (
    Length,
    comes_before,
    distance,
    distance_from,
    extent,
    size,
    std_along,
    volume,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vega3d_ros.core.objects import SceneObject

    Array = NDArray[np.float64]

Find = Callable[[str], "Sequence[SceneObject] | None"]
"""Objects of a singular name such as "red chair", best first; None: it cannot be looked for."""

_LAST = 1e9
_UP = np.array([0.0, 0.0, 1.0])
_SIZES: dict[str, tuple[str, int]] = {
    "tallest": ("height", -1),
    "shortest": ("height", 1),
    "widest": ("width", -1),
    "narrowest": ("width", 1),
}


def look_up(text: str, find: Find, camera: Viewpoint | None) -> tuple[SceneObject, ...] | None:
    """The objects of a phrase, whether a plain name or a relational description, best first.

    Args:
        text: "the red chairs", "the largest table".
        find: Looks names up.
        camera: The newest camera's viewpoint, in the frame of the objects; None where unknown.

    Returns:
        None where the phrase is not understood, a name in it cannot be looked for, or it needs the
        camera's place and there is none.
    """
    name = plain_name(text.lower())
    if name is not None and parse_description(text) is None:
        found = find(name)
        return None if found is None else tuple(found)
    return find_described(text, find, camera)


def find_described(
    text: str, find: Find, camera: Viewpoint | None
) -> tuple[SceneObject, ...] | None:
    """The objects of the described name, ranked anew, best first; see :func:`look_up`.

    Returns:
        Objects with the description as ``query`` and their new scores, none above that of the
        detection; empty where something that is named is not here; None also where the text is no
        relational description.
    """
    description = parse_description(text)
    if description is None:
        return None
    try:
        resolved = _Resolver(find, camera).resolve(description)
    except _UnresolvableError:
        return None
    return tuple(replace(item, query=text) for item in resolved)


def meant(text: str, items: Sequence[SceneObject], threshold: float) -> tuple[SceneObject, ...]:
    """Of what ``look_up`` found for a phrase, the objects that it means.

    All from the threshold on; of a rank ("the largest table") the first alone, as probable as it
    is, if there is any object of that rank with that probability: a near tie hides none of them.
    """
    description = parse_description(text)
    if description is not None and description.rank is not None:
        there = sum(item.score for item in items)  # one alone has the rank
        return tuple(items[:1]) if there >= threshold else ()
    return tuple(item for item in items if item.score >= threshold)


class _UnresolvableError(Exception):
    """A name cannot be looked for, or the camera's place is needed and not known."""


class _Resolver:
    def __init__(self, find: Find, camera: Viewpoint | None) -> None:
        self.find, self.known_camera = find, camera
        self.up = _UP if camera is None else camera.frame_from_viewer.rotation[:, 2]

    def resolve(self, description: ModelConfig) -> list[SceneObject]:
        items = self.find(description.name)
        if items is None:
            raise _UnresolvableError
        scores = np.array([item.score for item in items])
        for placing in description.placings:
            scores = scores * [self.held(item, placing) for item in items]
        if description.rank is not None:
            scores = self.ranked(items, scores, description.rank)
        order = np.argsort(-scores, kind="stable")
        return [replace(items[i], score=float(scores[i])) for i in order if scores[i] > 0]

    @property
    def camera(self) -> Viewpoint:
        if self.known_camera is None:
            raise _UnresolvableError
        return self.known_camera

    def camera_position(self) -> Array:
        if not self.camera.placed:
            raise _UnresolvableError
        return self.camera.frame_from_viewer.translation

    def anchors(self, text: str) -> Sequence[SceneObject]:
        found = look_up(text, self.find, self.known_camera)
        if found is None:
            raise _UnresolvableError
        return found

    # Relations

    def held(self, item: SceneObject, placing: Placing) -> float:
        """Probability that an item is so placed towards any of the anchors."""
        if placing.anchors[0] in VIEWER:
            return self.held_of_camera(item, placing.word)
        anchors = [
            [anchor for anchor in self.anchors(text) if not _same(item, anchor)]
            for text in placing.anchors
        ]
        if placing.word == "between":
            chances = [
                a.score * b.score * between_probability(item, a, b)
                for a, b in product(*anchors)
                if not _same(a, b)
            ]
        else:
            told_by_camera = placing.word in DIRECTIONS or self.known_camera is not None
            viewpoint = self.camera if told_by_camera else Viewpoint.fixed(item.frame_id)
            chances = [
                anchor.score * relation_probability(placing.word, item, anchor, viewpoint)
                for anchor in anchors[0]
            ]
        return 1 - float(np.prod([1 - chance for chance in chances]))

    def held_of_camera(self, item: SceneObject, word: str) -> float:
        """Of "the chair behind me": behind the plane through the camera."""
        if word not in DIRECTIONS:
            raise _UnresolvableError
        # In front of a thing is nearer to the viewer, in front of the viewer is ahead.
        sign = -1 if word in ("in front of", "behind") else 1
        axis = self.camera.frame_from_viewer.rotation @ (sign * DIRECTIONS[word])
        margin = float(axis @ (item.box.center - self.camera_position()))
        return comes_before(Length(0, 0), Length(margin, _std(item, axis)))

    # Ranks

    def ranked(self, items: Sequence[SceneObject], scores: Array, rank: Rank) -> Array:
        """Scores times the probability that exactly ``place - 1`` of the others come before."""
        anchors = [] if not rank.anchor else self.anchors(rank.anchor)
        if rank.anchor and not anchors:
            return np.zeros(len(items))
        if rank.word in ("leftmost", "rightmost"):
            lengths = self.bearings(items, -1 if rank.word == "leftmost" else 1)
        else:
            lengths = [self.length(item, rank.word, anchors) for item in items]
        chances = np.zeros(len(items))
        for i, own in enumerate(lengths):
            before = np.array([1.0])  # probabilities of 0, 1, 2... others before this one
            for j, other in enumerate(lengths):
                if i != j:
                    chance = scores[j] * comes_before(other, own)
                    before = np.convolve(before, [1 - chance, chance])
            chances[i] = before[rank.place - 1] if rank.place <= len(before) else 0.0
        there = max((anchor.score for anchor in anchors), default=1.0)
        return np.asarray(scores * chances * there)

    def length(self, item: SceneObject, word: str, anchors: Sequence[SceneObject]) -> Length:
        """What items are ordered by, the least first: distances go to the closest anchor."""
        if word in _SIZES:
            dimension, sign = _SIZES[word]
            return _times(sign, size(item, dimension, self.up))
        if word in ("largest", "smallest"):
            return _times(-1 if word == "largest" else 1, volume(item))
        if word in ("highest", "lowest"):
            low, high = extent(item.box, self.up)
            return Length(-high if word == "highest" else low, _std(item, self.up))
        sign = 1 if word == "nearest" else -1
        if not anchors:
            return _times(sign, distance_from(self.camera_position(), item))
        others = [
            distance(item, anchor)
            for anchor in anchors
            if anchor.score >= anchors[0].score / 2 and not _same(item, anchor)
        ]
        # An anchor that was found by the item's name too is neither near nor far from itself.
        return _times(sign, min(others)) if others else Length(_LAST, 0.0)

    def bearings(self, items: Sequence[SceneObject], sign: int) -> list[Length]:
        """Radians to the left of the items' mean direction, seen from the camera."""
        position, axes = self.camera_position(), self.camera.frame_from_viewer.rotation
        seen = np.array([item.box.center - position for item in items]).reshape(-1, 3) @ axes
        ways = seen[:, 0] + 1j * seen[:, 1]  # ahead and left
        reach = np.maximum(np.abs(ways), 1e-3)
        mean = (ways / reach).sum() or 1.0
        across = np.stack([-ways.imag, ways.real], axis=1) / reach[:, None] @ axes[:, :2].T
        return [
            Length(sign * float(np.angle(way * np.conj(mean))), _std(item, axis) / float(far))
            for item, way, axis, far in zip(items, ways, across, reach, strict=True)
        ]


def _times(sign: int, length: Length) -> Length:
    return Length(sign * length.value, length.std)


def _std(item: SceneObject, axis: Array) -> float:
    return std_along(axis, item.covariance[:3, :3])


def _same(a: SceneObject, b: SceneObject) -> bool:
    """Whether two are one object, maybe found by two names."""
    return a is b or bool(
        np.allclose(a.box.center, b.box.center) and np.allclose(a.box.size, b.box.size)
    )
