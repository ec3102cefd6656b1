"""Which objects a relational description means: names are looked up, relations are measured.

Scores are probabilities: that the object is what its name says, times that the relation holds,
given the covariances of the boxes, times that its rank is the one described. An object loses its
rank to another by the probability that the other is there and comes before it, so that doubtful
detections spoil little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
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
    resolved = _Resolver(find, camera).resolve(description)
    if resolved is None:
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


class _Resolver:
    def __init__(self, find: Find, camera: Viewpoint | None) -> None:
        self.find, self.camera = find, camera
        self.up = _UP if camera is None else camera.frame_from_viewer.rotation[:, 2]

    def resolve(self, description: ModelConfig) -> list[SceneObject] | None:
        items = self.find(description.name)
        if items is None:
            return None
        scores: Array | None = np.array([item.score for item in items])
        for placing in description.placings:
            held = self.placing(items, placing)
            scores = None if held is None or scores is None else scores * held
        if scores is not None and description.rank is not None:
            scores = self.rank(items, scores, description.rank)
        if scores is None:
            return None
        order = np.argsort(-scores, kind="stable")
        return [replace(items[i], score=float(scores[i])) for i in order if scores[i] > 0]

    def anchors(self, text: str) -> Sequence[SceneObject] | None:
        return look_up(text, self.find, self.camera)

    def placing(self, items: Sequence[SceneObject], placing: Placing) -> Array | None:
        """Of each item, the probability that it is so placed towards any of the anchors."""
        if placing.anchors[0] in VIEWER:
            return self.towards_viewer(items, placing.word)
        viewpoint = self.camera
        if viewpoint is None:
            if placing.word in DIRECTIONS:
                return None
            viewpoint = Viewpoint.fixed(items[0].frame_id if items else "")
        found = [self.anchors(text) for text in placing.anchors]
        if any(anchors is None for anchors in found):
            return None
        first, *rest = [anchors or () for anchors in found]
        second = rest[0] if rest else ()
        chances = np.zeros(len(items))
        for index, item in enumerate(items):
            if placing.word == "between":
                held = [
                    a.score * b.score * between_probability(item, a, b)
                    for a in first
                    for b in second
                    if not (_same(item, a) or _same(item, b) or _same(a, b))
                ]
            else:
                held = [
                    anchor.score * relation_probability(placing.word, item, anchor, viewpoint)
                    for anchor in first
                    if not _same(item, anchor)
                ]
            chances[index] = 1 - np.prod([1 - chance for chance in held])
        return chances

    def towards_viewer(self, items: Sequence[SceneObject], word: str) -> Array | None:
        """Placed towards the camera itself: "the chair behind me", "the table near me"."""
        if self.camera is None or not self.camera.placed:
            return None
        axes = {"in front of": (0, 1), "behind": (0, -1), "left of": (1, 1), "right of": (1, -1)}
        if word not in axes:
            return None
        axis, sign = axes[word]
        ahead = self.camera.frame_from_viewer.rotation[:, axis] * sign
        origin = self.camera.frame_from_viewer.translation
        origin_m = Length(0.0, 0.0)
        return np.array(
            [
                comes_before(
                    origin_m,
                    Length(
                        float(ahead @ (item.box.center - origin)),
                        std_along(ahead, item.covariance[:3, :3]),
                    ),
                )
                for item in items
            ]
        )

    def rank(self, items: Sequence[SceneObject], scores: Array, rank: Rank) -> Array | None:
        """Scores times the probability that exactly ``place - 1`` of the others come before."""
        lengths = self.lengths(items, rank)
        if lengths is None or not lengths:
            return None if lengths is None else np.zeros(len(items))
        ranked = np.zeros(len(items))
        for i, own in enumerate(lengths):
            before = np.array([1.0])  # probabilities of 0, 1, 2... others before this one
            for j, other in enumerate(lengths):
                if i != j:
                    chance = scores[j] * comes_before(other, own)
                    before = np.convolve(before, [1 - chance, chance])
            ranked[i] = before[rank.place - 1] if rank.place <= len(before) else 0.0
        return np.asarray(scores * ranked)

    def lengths(self, items: Sequence[SceneObject], rank: Rank) -> list[Length] | None:
        """What the items are ordered by, least first; empty where the anchor is missing."""
        if rank.word in _SIZES:
            dimension, sign = _SIZES[rank.word]
            return [_times(sign, size(item, dimension, self.up)) for item in items]
        if rank.word in ("largest", "smallest"):
            sign = -1 if rank.word == "largest" else 1
            return [_times(sign, volume(item)) for item in items]
        if rank.word in ("highest", "lowest"):
            return [self.height(item, rank.word) for item in items]
        if rank.word in ("leftmost", "rightmost"):
            return self.bearings(items, -1 if rank.word == "leftmost" else 1)
        sign = 1 if rank.word == "nearest" else -1
        return self.distances(items, rank.anchor, sign)

    def height(self, item: SceneObject, word: str) -> Length:
        """Of the top for "highest", of the bottom for "lowest"."""
        low, high = extent(item.box, self.up)
        return Length(
            -high if word == "highest" else low, std_along(self.up, item.covariance[:3, :3])
        )

    def bearings(self, items: Sequence[SceneObject], sign: int) -> list[Length] | None:
        """Radians to the left of the items' mean direction, seen from the camera."""
        if self.camera is None:
            return None
        viewer = self.camera.frame_from_viewer
        seen = viewer.inverse().apply(np.array([i.box.center for i in items]).reshape(-1, 3))
        if not self.camera.placed:
            stds = [np.sqrt(np.trace(i.covariance[:3, :3]) / 3) for i in items]
            return [
                Length(sign * float(y), float(std))
                for y, std in zip(seen[:, 1], stds, strict=True)
            ]
        ways = seen[:, 0] + 1j * seen[:, 1]
        ways = ways / np.maximum(np.abs(ways), 1e-9)
        mean = ways.sum() or 1.0
        lengths = []
        for item, way, point in zip(items, ways, seen, strict=True):
            across = viewer.rotation[:, :2] @ np.array([-way.imag, way.real])
            std = np.sqrt(max(float(across @ item.covariance[:3, :3] @ across), 0.0))
            reach = max(float(np.hypot(point[0], point[1])), 1e-3)
            lengths.append(Length(sign * float(np.angle(way * np.conj(mean))), float(std) / reach))
        return lengths

    def distances(
        self, items: Sequence[SceneObject], anchor: str, sign: int
    ) -> list[Length] | None:
        """To the closest of the anchors, or from the camera where no anchor is named."""
        if not anchor:
            if self.camera is None or not self.camera.placed:
                return None
            origin = self.camera.frame_from_viewer.translation
            return [_times(sign, distance_from(origin, item)) for item in items]
        anchors = self.anchors(anchor)
        if anchors is None:
            return None
        if not anchors:
            return []
        likely = [a for a in anchors if a.score >= anchors[0].score / 2]
        lengths = []
        for item in items:
            others = [a for a in likely if not _same(item, a)]
            if not others:
                return []
            nearest = min(distance(item, a) for a in others)
            lengths.append(_times(sign, nearest))
        return lengths


def _times(sign: int, length: Length) -> Length:
    return Length(sign * length.value, length.std)


def _same(a: SceneObject, b: SceneObject) -> bool:
    """Whether two are one object, maybe found by two names."""
    return a is b or bool(
        np.allclose(a.box.center, b.box.center) and np.allclose(a.box.size, b.box.size)
    )
