"""The objects of a clip as the language model reads them, and the targets of each mention.

Wherever a question names an object, the language model must also recall that object's record
(place, size, colour, when it was seen, how many fit the words) and, some layers later, relate it
to the objects named before it (distance and direction). These targets are denser than answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vega3d_ros.core.geometry import Box3D, distance_between
from vega3d_ros.models.mllms.qwen2_5_vl.object_tokens import VALUES, object_values
from vega3d_ros.simulation.dataset import truth_box
from vega3d_ros.simulation.object_mentions import mentions
from vega3d_ros.simulation.primitives import COLORS
from vega3d_ros.simulation.rooms import LABELS
from vega3d_ros.simulation.visibility import GLIMPSED_PIXELS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from vega3d_ros.core.geometry import SE3

COLOR_NAMES = tuple(COLORS)
RECALL_SIZE = VALUES + len(COLOR_NAMES) + 2
"""Values, colour (one of n + 1), number of objects that the words fit; NaN: no target."""
RELATION_SIZE = 10
"""From the last object named before, and from the one before that, each: offset [3] / 3 m,
distance between the boxes / 3 m; then sine and cosine of the direction as seen from the latter
facing the former (positive: left). NaN: no target."""
_SCALE_M = 3.0
_FULLY_SEEN_PIXELS = 400
# Rough rates of detection errors; the last stage trains on real detections instead.
_LARGE, _MISSED, _SMALL_MISSED, _MISNAMED, _DOUBLED = 600, 0.08, 0.35, 0.05, 0.08


@dataclass(frozen=True, eq=False)
class ObjectRecords:
    """K objects of a clip, from which object tokens are made.

    Attributes:
        labels: Their names.
        colors: Index of each colour, ``len(COLOR_NAMES)`` for one without a name, -1 for one that
            is no target, [K].
        values: [K, VALUES], see ``object_values``.
        shown: [K, tokens], how much each visual token shows of each object; rows sum to 1 or 0.
    """

    labels: list[str]
    colors: NDArray[np.int64]
    values: NDArray[np.float32]
    shown: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of_truth(cls, objects: Sequence[Mapping[str, Any]], tokens: int = 0) -> ObjectRecords:
        """Exact records of objects of which no token is known; boxes in the reference frame."""
        return cls(
            [str(o["label"]) for o in objects],
            np.array([color_index(o) for o in objects], np.int64),
            np.array([true_values(o) for o in objects], np.float32).reshape(-1, VALUES),
            np.zeros((len(objects), tokens), np.float32),
        )


def in_frame(item: Mapping[str, Any], reference_from_fixed: SE3) -> dict[str, Any]:
    """An object of a truth record in another frame with the same vertical."""
    box = truth_box(item).transformed(reference_from_fixed)
    return {**item, "center": box.center, "size": box.size, "yaw": box.yaw}


def color_index(item: Mapping[str, Any]) -> int:
    """Index of the object's colour, the last for one without a name."""
    color = item["color"]
    return COLOR_NAMES.index(color) if color in COLOR_NAMES else len(COLOR_NAMES)


def true_values(item: Mapping[str, Any]) -> NDArray[np.float32]:
    """``object_values`` of an object of a truth record, its box in the reference frame."""
    pixels = np.asarray(item["visible_pixels"], np.float64)
    return object_values(truth_box(item), 1.0, np.minimum(1.0, pixels / _FULLY_SEEN_PIXELS))


@dataclass(frozen=True, eq=False)
class MentionTargets:
    """What the language model must recall at a mention.

    Attributes:
        end: Index of the character behind the mention.
        recalled: [RECALL_SIZE]; of words that fit no object or several, only their number.
        related: [RELATION_SIZE].
    """

    end: int
    recalled: NDArray[np.float32]
    related: NDArray[np.float32]


def mention_targets(text: str, objects: Sequence[Mapping[str, Any]]) -> list[MentionTargets]:
    """The targets of each mention in a text; ``objects`` are all visible ones, in one frame."""
    targets: list[MentionTargets] = []
    named: list[Box3D | None] = []
    for mention in mentions(text):
        fit = [
            o
            for o in objects
            if o["label"] == mention.label and mention.color in (None, o["color"])
        ]
        recalled = np.full(RECALL_SIZE, np.nan, np.float32)
        related = np.full(RELATION_SIZE, np.nan, np.float32)
        recalled[-1] = len(fit)
        box = None
        if len(fit) == 1:
            recalled[:VALUES] = true_values(fit[0])
            recalled[VALUES:-1] = 0.0
            recalled[VALUES + color_index(fit[0])] = 1.0
            box = truth_box(fit[0])
            _relate(related, box, named)
        targets.append(MentionTargets(mention.end, recalled, related))
        named.append(box)
    return targets


def _relate(related: NDArray[np.float32], box: Box3D, named: Sequence[Box3D | None]) -> None:
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


def augment_detections(
    objects: Sequence[Mapping[str, Any]],
    shown: NDArray[np.float32],
    rng: np.random.Generator,
    *,
    depth: bool,
    poses: bool,
) -> ObjectRecords:
    """Records of true objects with the kinds of errors that detections have.

    Small objects are missed more often, places and sizes are off (more without depth), some
    objects have a wrong name or are detected twice. Without poses, only the newest frame counts.

    Args:
        objects: All objects of the clip, boxes in the reference frame.
        shown: [objects, tokens], share of each token that shows each.
        rng: Draws the errors.
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
        values.append(_noisy_values(item, pixels, rng, 1.0 if depth else 2.5))
        tokens.append(shown[k])
        if rng.random() < _DOUBLED:
            labels.append(str(rng.choice(LABELS)))
            colors.append(-1)
            values.append(_noisy_values(item, pixels, rng, 2.5))
            tokens.append(shown[k])
    if not values:
        return ObjectRecords.of_truth([], shown.shape[1])
    weights = np.stack(tokens)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-6)
    return ObjectRecords(labels, np.array(colors), np.stack(values), weights)


def _noisy_values(
    item: Mapping[str, Any], pixels: NDArray[np.int64], rng: np.random.Generator, scale: float
) -> NDArray[np.float32]:
    distance = float(np.linalg.norm(item["center"]))
    center = item["center"] + scale * rng.normal(0.0, 0.05 + 0.03 * distance, 3)
    size = item["size"] * np.exp(rng.normal(0.0, 0.15 * scale, 3))
    yaw = item["yaw"] + rng.normal(0.0, 0.2 * scale)
    seen = np.minimum(1.0, pixels / _FULLY_SEEN_PIXELS) * rng.uniform(0.5, 1.3, len(pixels))
    box = Box3D.upright(center, size, yaw)
    return object_values(box, rng.uniform(0.5, 1.0), np.minimum(seen, 1.0))
