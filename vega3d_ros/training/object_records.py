"""What the language model is told of a clip's objects, and what each mention should bring back.

In training, wherever a question names a thing, the language model must also recall what it was
told of it (place, size, colour, when it was seen, how many there are) and, some layers later,
relate it to the things named before it (how far away, in which direction). That is a denser lesson
in looking things up than answers alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vega3d_ros.core.geometry import Box3D, distance_between
from vega3d_ros.models.mllms.qwen2_5_vl.object_tokens import VALUES, object_values
from vega3d_ros.simulation.object_mentions import mentions
from vega3d_ros.simulation.primitives import COLORS
from vega3d_ros.simulation.rooms import LABELS
from vega3d_ros.simulation.visibility import GLIMPSED_PIXELS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from vega3d_ros.core.geometry import SE3

COLOR_NAMES = tuple(COLORS)
RECALLED = VALUES + len(COLOR_NAMES) + 2
"""Values, colour (one of n + 1), number of things that the words fit; NaN: not asked."""
RELATED = 10
"""From the last thing named before, and from the one before that, each: offset [3] / 3 m, distance
between the boxes / 3 m; then sine and cosine of the direction for someone who stands at the latter
and faces the former (positive: left). NaN: not asked."""
_SCALE_M = 3.0
_FULLY_SEEN_PIXELS = 400
# How often finding goes wrong: rough guesses, which the last stage replaces by what is found.
_LARGE, _MISSED, _SMALL_MISSED, _MISNAMED, _DOUBLED = 600, 0.08, 0.35, 0.05, 0.08


@dataclass(frozen=True, eq=False)
class Notes:
    """What the language model is told of the objects of a clip.

    Attributes:
        labels: Their names.
        colors: Index of each colour, ``len(COLOR_NAMES)`` for none with a name, [K].
        values: [K, VALUES], see ``object_values``.
    """

    labels: list[str]
    colors: NDArray[np.int64]
    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class ObjectRecord:
    """Notes on a clip that is also seen.

    Attributes:
        notes: What is told; a colour of -1 is not learned from.
        shown: [K, tokens], how much each visual token shows of each object; rows sum to 1 or 0.
    """

    notes: Notes
    shown: NDArray[np.float32]

    @classmethod
    def nothing(cls, tokens: int) -> ObjectRecord:
        """Of a clip of which nothing is told."""
        return cls(true_notes([]), np.zeros((0, tokens), np.float32))


def noticed(objects: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The objects of a truth record of which anything can be seen."""
    return [o for o in objects if max(o["visible_pixels"]) >= GLIMPSED_PIXELS]


def placed(item: Mapping[str, Any], reference_from_fixed: SE3) -> dict[str, Any]:
    """An object of a truth record in another frame with the same vertical."""
    box = Box3D.upright(item["center"], item["size"], item["yaw"])
    box = box.transformed(reference_from_fixed)
    return {**item, "center": box.center, "size": box.size, "yaw": box.yaw}


def color_index(item: Mapping[str, Any]) -> int:
    """Index of the object's colour, the last for one without a name."""
    color = item["color"]
    return COLOR_NAMES.index(color) if color in COLOR_NAMES else len(COLOR_NAMES)


def true_values(item: Mapping[str, Any]) -> NDArray[np.float32]:
    """``object_values`` of an object of a truth record, its box in the reference frame."""
    pixels = np.asarray(item["visible_pixels"], np.float64)
    box = Box3D.upright(item["center"], item["size"], item["yaw"])
    return object_values(box, 1.0, np.minimum(1.0, pixels / _FULLY_SEEN_PIXELS))


def true_notes(objects: Sequence[Mapping[str, Any]]) -> Notes:
    """What a perfect eye would tell; boxes in the reference frame."""
    return Notes(
        [str(o["label"]) for o in objects],
        np.array([color_index(o) for o in objects], np.int64),
        np.stack([true_values(o) for o in objects])
        if objects
        else np.zeros((0, VALUES), np.float32),
    )


@dataclass(frozen=True, eq=False)
class Brought:
    """What a mention should bring back.

    Attributes:
        end: Index of the character behind the mention.
        recalled: [RECALLED]; of words that fit no object or several, only how many is asked.
        related: [RELATED].
    """

    end: int
    recalled: NDArray[np.float32]
    related: NDArray[np.float32]


def brought(text: str, objects: Sequence[Mapping[str, Any]]) -> list[Brought]:
    """What each mention in a text should bring back.

    Args:
        text: A question or a description.
        objects: All objects that can be noticed, boxes in the reference frame.
    """
    found: list[Brought] = []
    named: list[Box3D | None] = []
    for mention in mentions(text):
        fit = [
            o
            for o in objects
            if o["label"] == mention.label and mention.color in (None, o["color"])
        ]
        recalled = np.full(RECALLED, np.nan, np.float32)
        recalled[-1] = len(fit)
        if len(fit) == 1:
            recalled[:VALUES] = true_values(fit[0])
            recalled[VALUES:-1] = 0.0
            recalled[VALUES + color_index(fit[0])] = 1.0
            box = Box3D.upright(fit[0]["center"], fit[0]["size"], fit[0]["yaw"])
            found.append(Brought(mention.end, recalled, _related(box, named)))
            named.append(box)
        else:
            found.append(Brought(mention.end, recalled, np.full(RELATED, np.nan, np.float32)))
            named.append(None)
    return found


def _related(box: Box3D, named: Sequence[Box3D | None]) -> NDArray[np.float32]:
    related = np.full(RELATED, np.nan, np.float32)
    last = named[-1] if named else None
    before = named[-2] if len(named) > 1 else None
    for place, other in ((0, last), (4, before)):
        if other is not None:
            related[place : place + 3] = (box.center - other.center) / _SCALE_M
            related[place + 3] = distance_between(box, other) / _SCALE_M
    if last is not None and before is not None:
        ahead, aside = (b.center[:2] - before.center[:2] for b in (last, box))
        scale = max(1e-6, float(np.hypot(*ahead) * np.hypot(*aside)))
        related[8] = (ahead[0] * aside[1] - ahead[1] * aside[0]) / scale
        related[9] = ahead @ aside / scale
    return related


def misjudged(
    objects: Sequence[Mapping[str, Any]],
    shown: NDArray[np.float32],
    rng: np.random.Generator,
    *,
    depth: bool,
    poses: bool,
) -> ObjectRecord:
    """The truth with the kinds of errors that finding makes.

    Small objects are missed more often, places and sizes are off (more without depth), some things
    are called by another's name or seen where nothing is. Without poses, only the newest frame
    counts.

    Args:
        objects: All objects of the clip, boxes in the reference frame.
        shown: [objects, tokens], share of each token that shows each.
        rng: Decides.
        depth: Whether ranges are measured.
        poses: Whether frames can be put together.
    """
    labels: list[str] = []
    colors, values, tokens = [], [], []
    for k in rng.permutation(len(objects)):
        item = objects[k]
        pixels = np.asarray(item["visible_pixels"])
        if not poses:
            pixels = np.where(np.arange(len(pixels)) == len(pixels) - 1, pixels, 0)
        most = int(pixels.max())
        if most < GLIMPSED_PIXELS or rng.random() < (_MISSED if most > _LARGE else _SMALL_MISSED):
            continue
        wrong = rng.random() < _MISNAMED
        labels.append(str(rng.choice(LABELS)) if wrong else str(item["label"]))
        colors.append(color_index(item))
        values.append(_blurred(item, pixels, rng, 1.0 if depth else 2.5))
        tokens.append(shown[k])
        if rng.random() < _DOUBLED:
            labels.append(str(rng.choice(LABELS)))
            colors.append(-1)
            values.append(_blurred(item, pixels, rng, 2.5))
            tokens.append(shown[k])
    if not values:
        return ObjectRecord.nothing(shown.shape[1])
    weights = np.stack(tokens)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-6)
    return ObjectRecord(Notes(labels, np.array(colors), np.stack(values)), weights)


def _blurred(
    item: Mapping[str, Any], pixels: NDArray[np.int64], rng: np.random.Generator, scale: float
) -> NDArray[np.float32]:
    distance = float(np.linalg.norm(item["center"]))
    center = item["center"] + scale * rng.normal(0.0, 0.05 + 0.03 * distance, 3)
    size = item["size"] * np.exp(rng.normal(0.0, 0.15 * scale, 3))
    yaw = item["yaw"] + rng.normal(0.0, 0.2 * scale)
    seen = np.minimum(1.0, pixels / _FULLY_SEEN_PIXELS) * rng.uniform(0.5, 1.3, len(pixels))
    box = Box3D.upright(center, size, yaw)
    return object_values(box, rng.uniform(0.5, 1.0), np.minimum(seen, 1.0))
