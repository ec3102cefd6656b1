"""Answers measured from boxes: a question and the objects found give a value with its interval.

Definitions are those of VSI-Bench (arXiv 2412.14171) and of the simulator (docs/ground_truth.md):
a distance is between the closest points of two boxes, and between the closest two where several
things have the name; a size is the longest side of the box; a direction is between centres, seen
from above, and the side named is the one whose middle is nearest in angle (so "behind" beside
"left" and "right" begins at 135 degrees); things appear in the order in which they were seen; a
colour is the one of most pixels of the thing's masks, and as sure as its share of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

from vega3d_ros.perception.described_objects import look_up, meant
from vega3d_ros.perception.noun_phrases import VIEWER
from vega3d_ros.perception.relation_probability import relation_probability
from vega3d_ros.perception.uncertain_lengths import (
    Length,
    comes_before,
    distance,
    distance_from,
    size,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from vega3d_ros.core.objects import SceneObject
    from vega3d_ros.perception.described_objects import Find
    from vega3d_ros.perception.measured_answers.question_grammar import Question
    from vega3d_ros.perception.relations import Viewpoint

    Array = NDArray[np.float64]

Z_95 = 1.96
"""Half the width of an interval that holds 95 % of a normal distribution, in its deviations."""
_SIDE_DEG = {
    "front": 0,
    "front-left": 45,
    "left": 90,
    "back-left": 135,
    "behind": 180,
    "back-right": -135,
    "right": -90,
    "front-right": -45,
}


@dataclass(frozen=True, eq=False)
class ObjectView:
    """What answers are measured from.

    Attributes:
        find: Objects of a singular name such as "red chair", best first, all in one frame; those
            below ``threshold`` too, as far as they are known; None: it cannot be looked for.
        recall: Share in [0, 1] of the things in view that ``find`` finds, as measured for it; how
            sure it is that nothing is there rests on this.
        threshold: Score from which on an object counts as found.
        camera: The newest camera's viewpoint in the objects' frame; None where unknown.
        first_seen_ns: When an object was first seen, nanoseconds; None where unknown.
    """

    find: Find
    recall: float
    threshold: float = 0.5
    camera: Viewpoint | None = None
    first_seen_ns: Callable[[SceneObject], int | None] = lambda _: None


@dataclass(frozen=True, eq=False)
class Measurement:
    """What was measured.

    Attributes:
        value: Metres of "size" and "distance", a number of "count"; True or False of "exists",
            "relation" and "color" with a word, a colour's name without; one of the question's
            choices, or several in order; None where something that the question takes for
            granted was not seen.
        interval: Lowest and highest value, 95 % of the probability; None where it is no number.
        confidence: In [0, 1]: the scores of the things and, where the answer is one of several,
            times the probability that it is the right one.
        objects: The objects it rests on.
        not_seen: Names of what was not seen.
    """

    value: float | bool | str | tuple[str, ...] | None
    interval: tuple[float, float] | None
    confidence: float
    objects: tuple[SceneObject, ...]
    not_seen: tuple[str, ...] = ()


class _CannotMeasureError(Exception):
    """Something is not known here: a word that cannot be looked for, the camera, a stamp."""


def measure(question: Question, view: ObjectView) -> Measurement | None:
    """Measure the answer to a question.

    Returns:
        None where it cannot be measured here: a word cannot be looked for, or the question needs
        the camera's place or first sightings that are not known.
    """
    measuring = _Measuring(question, view)
    try:
        if question.kind in ("count", "exists"):
            return measuring.number()
        kinds: dict[str, Callable[[], Measurement]] = {
            "size": measuring.size,
            "distance": measuring.distance,
            "compare_distance": measuring.compare_distance,
            "direction": measuring.direction,
            "side": measuring.side,
            "relation": measuring.relation,
            "order": measuring.order,
            "color": measuring.color,
        }
        if question.kind == "color":
            measuring.require_colors()
        return measuring.missing() or kinds[question.kind]()
    except _CannotMeasureError:
        return None


class _Measuring:
    def __init__(self, question: Question, view: ObjectView) -> None:
        self.question, self.view = question, view
        self._known: dict[str, tuple[SceneObject, ...]] = {}

    def candidates(self, name: str) -> tuple[SceneObject, ...]:
        if name not in self._known:
            items = look_up(name, self.view.find, self.view.camera)
            if items is None:
                raise _CannotMeasureError
            self._known[name] = items
        return self._known[name]

    def found(self, name: str) -> tuple[SceneObject, ...]:
        return meant(name, self.candidates(name), self.view.threshold)

    def best(self, name: str) -> SceneObject:
        return self.found(name)[0]

    def missing(self) -> Measurement | None:
        """The answer where something named was not seen."""
        names = self.seen_things()
        absent = tuple(name for name in names if not self.found(name))
        if not absent:
            return None
        sure = max(self.absence(name) for name in absent)
        return Measurement(None, None, sure, (), absent)

    def absence(self, name: str) -> float:
        """Probability that nothing of a name is in view."""
        return self.view.recall * float(np.prod([1 - i.score for i in self.candidates(name)]))

    # One method for each kind of question.

    def number(self) -> Measurement:
        """Of "count" and "exists"; scores below the threshold make the number less sure."""
        name = self.question.things[0]
        items = self.found(name)
        chances = np.array([1.0])  # of 0, 1, 2... being there
        for item in self.candidates(name):
            chances = np.convolve(chances, [1 - item.score, item.score])
        if self.question.kind == "exists":
            there = 1 - float(chances[0]) if items else self.absence(name)
            return Measurement(bool(items), None, there, tuple(items))
        below = np.cumsum(chances)
        low = float(np.searchsorted(below, 0.025, side="right"))
        high = float(np.searchsorted(below, 0.975))
        number = len(items)
        sure = float(chances[number]) if items else self.absence(name)
        return Measurement(number, (min(low, number), max(high, number)), sure, tuple(items))

    def size(self) -> Measurement:
        item = self.best(self.question.things[0])
        return _length(size(item, self.question.word, self.up), item)

    def distance(self) -> Measurement:
        if len(self.question.things) == 1:
            item, length = self.to_anchor(self.question.things[0], "me")[1:]
            return _length(length, item)
        one, other, length = self.to_anchor(*self.question.things)
        return _length(length, *([other] if one is None else [one, other]))

    def compare_distance(self) -> Measurement:
        anchor = self.question.things[0]
        sign = 1 if self.question.word == "nearest" else -1
        measured = [self.to_anchor(anchor, name) for name in self.question.choices]
        lengths = [Length(sign * length.value, length.std) for _, _, length in measured]
        first = int(np.argmin([length.value for length in lengths]))
        chance = 1.0
        for index, length in enumerate(lengths):
            if index != first:
                chance *= comes_before(lengths[first], length)
        objects = [i for one, other, _ in measured for i in (one, other) if i is not None]
        return _choice(self.question.choices[first], chance, *objects)

    def direction(self) -> Measurement:
        """Where the third thing is for somebody at the first who faces the second."""

        def bearing(centers: Array) -> float:
            ahead, way = centers[1] - centers[0], centers[2] - centers[0]
            ahead = ahead - (ahead @ self.up) * self.up
            return float(np.arctan2(np.cross(self.up, ahead) @ way, ahead @ way))

        return self.side_of(bearing, [self.best(name) for name in self.question.things])

    def side(self) -> Measurement:
        """The side of another thing, told as ``relate`` tells it, or of the camera itself."""
        things = [self.best(name) for name in self.seen_things()]
        viewer_from_frame = self.camera.frame_from_viewer.inverse()
        turns = self.camera.placed
        if len(things) == 1:
            self.camera_position()

        def bearing(centers: Array) -> float:
            seen = viewer_from_frame.apply(centers)
            ways = seen[:, 0] + 1j * seen[:, 1]  # ahead and left
            if len(ways) == 1:
                return float(np.angle(ways[0]))
            offset, middle = ways[0] - ways[1], ways.mean()
            if turns and abs(middle) > 1e-3:  # the viewer turns to the two
                offset *= np.conj(middle) / abs(middle)
            # In front of another thing is nearer to the viewer: not ahead, but back.
            return float(np.angle(-np.conj(offset)))

        return self.side_of(bearing, things)

    def relation(self) -> Measurement:
        """Whether a relation holds, of any two things that have the names."""
        if len(self.seen_things()) < 2:
            raise _CannotMeasureError
        word, (one, other) = self.question.word, map(self.found, self.question.things)
        held, a, b = max(
            (
                (relation_probability(word, a, b, self.camera), a, b)
                for a, b in product(one, other)
                if a is not b
            ),
            key=lambda pair: pair[0],
            default=(0.0, one[0], other[0]),
        )
        return _choice(held >= 0.5, max(held, 1 - held), a, b)

    def order(self) -> Measurement:
        first: list[tuple[int, str, SceneObject]] = []
        for name in self.question.choices:
            stamps = [(self.view.first_seen_ns(item), item) for item in self.found(name)]
            known = [(stamp, item) for stamp, item in stamps if stamp is not None]
            if len(known) < len(stamps):
                raise _CannotMeasureError
            stamp, item = min(known, key=lambda pair: pair[0])
            first.append((stamp, name, item))
        first.sort(key=lambda entry: entry[0])
        stamps_ns = [stamp for stamp, _, _ in first]
        names, objects = [name for _, name, _ in first], [item for _, _, item in first]
        if self.question.word == "all":
            ties = len(stamps_ns) - len(set(stamps_ns))
            return _choice(tuple(names), 0.5**ties, *objects)
        index = 0 if self.question.word == "first" else -1
        ties = stamps_ns.count(stamps_ns[index])
        return _choice(names[index], 1 / ties, *objects)

    def color(self) -> Measurement:
        item = self.best(self.question.things[0])
        shares = dict(item.colors)
        if not shares:
            raise _CannotMeasureError
        main, wanted = item.colors[0][0], self.question.word
        if not wanted:
            return _choice(main, shares[main], item)
        share = shares.get(wanted, 0.0)
        return _choice(main == wanted, share if main == wanted else 1 - share, item)

    # What they share.

    def require_colors(self) -> None:
        """Leave to others what no mask tells, even where the thing was not seen."""
        if not any(item.colors for item in self.candidates(self.question.things[0])):
            raise _CannotMeasureError

    def seen_things(self) -> list[str]:
        """All that the question names and takes for granted, but for the camera."""
        named = list(self.question.things)
        if self.question.kind in ("compare_distance", "order"):
            named += self.question.choices
        return [name for name in named if name not in VIEWER]

    def camera_position(self) -> Array:
        if not self.camera.placed:
            raise _CannotMeasureError
        return self.camera.frame_from_viewer.translation

    @property
    def camera(self) -> Viewpoint:
        if self.view.camera is None:
            raise _CannotMeasureError
        return self.view.camera

    @property
    def up(self) -> Array:
        """Up in the frame of the objects; z where the camera is not known."""
        known = self.view.camera
        return np.eye(3)[2] if known is None else known.frame_from_viewer.rotation[:, 2]

    def to_anchor(self, anchor: str, name: str) -> tuple[SceneObject | None, SceneObject, Length]:
        """The closest two things of the names, with their distance; no thing for the camera."""
        if name in VIEWER:
            anchor, name = name, anchor
        if anchor in VIEWER:
            origin = self.camera_position()
            one = min(self.found(name), key=lambda item: distance_from(origin, item).value)
            return None, one, distance_from(origin, one)
        pairs = [
            (a, b, distance(a, b))
            for a, b in product(self.found(anchor), self.found(name))
            if a is not b
        ]
        if not pairs:  # one thing that has both names
            raise _CannotMeasureError
        return min(pairs, key=lambda pair: pair[2].value)

    def side_of(
        self, bearing: Callable[[Array], float], things: Sequence[SceneObject]
    ) -> Measurement:
        """The choice whose middle is nearest to a bearing, and how sure that is.

        Args:
            bearing: Radians to the left, of centres [things, 3].
            things: Whose centres.
        """
        middles = np.radians([_SIDE_DEG[choice] for choice in self.question.choices])
        centers = np.array([thing.box.center for thing in things])
        angle, step = bearing(centers), 1e-4
        variance = 0.0
        for index, thing in enumerate(things):
            slope = np.zeros(3)
            for axis in range(3):
                moved = centers.copy()
                moved[index, axis] += step
                slope[axis] = _wrapped(bearing(moved) - angle) / step
            variance += float(slope @ thing.covariance[:3, :3] @ slope)
        off = np.abs(_wrapped(middles - angle))
        best, second = np.argsort(off, kind="stable")[:2]
        to_border = float(off[second] - off[best]) / 2
        chance = float(ndtr(to_border / max(np.sqrt(variance), 1e-9)))
        return _choice(self.question.choices[best], chance, *things)


def _choice(
    value: bool | str | tuple[str, ...], chance: float, *objects: SceneObject
) -> Measurement:
    return Measurement(value, None, chance * _all_right(objects), _once(objects))


def _length(length: Length, *objects: SceneObject) -> Measurement:
    spread = Z_95 * length.std
    interval = max(length.value - spread, 0.0), length.value + spread
    return Measurement(length.value, interval, _all_right(objects), _once(objects))


def _once(objects: Sequence[SceneObject]) -> tuple[SceneObject, ...]:
    return tuple(dict.fromkeys(objects))


def _all_right(objects: Sequence[SceneObject]) -> float:
    """Probability that all are what they are called."""
    return float(np.prod([item.score for item in _once(objects)]))


def _wrapped(angle: Array | float) -> Array:
    return np.asarray((np.asarray(angle) + np.pi) % (2 * np.pi) - np.pi)
