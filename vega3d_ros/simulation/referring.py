"""Referring expressions from ground truth, as in ScanRefer (arXiv 1912.08830) but shorter."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.geometry import distance_between
from vega3d_ros.simulation.primitives import COLORS
from vega3d_ros.simulation.visibility import ClipVisibility, ObjectNaming, VisibleObject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy as np

_DISTANCE_RATIO = 1.25
_VOLUME_RATIO = 1.3
_MIN_DIFFERENCE_M = 0.2
_ABSENT_SHARE, _SUPERLATIVE_SHARE = 0.28, 0.3


@dataclass(frozen=True)
class Referring:
    """A description and the ids of all objects it fits; none where they are absent."""

    text: str
    objects: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """The form in a truth record."""
        return asdict(self) | {"objects": list(self.objects)}


def make_referring(
    objects: Sequence[Mapping[str, Any]],
    rng: np.random.Generator,
    wanted: tuple[int, int] = (12, 20),
) -> list[Referring]:
    """Descriptions of objects that are seen, and of some that are absent.

    A label, with or without a colour, means all seen objects that it fits; a superlative ("the
    largest chair", "the chair nearest to the bed") means one. None depends on the viewpoint. There
    are ``wanted`` (fewest, most) of them, fewer where the clip shows little.
    """
    visibility = ClipVisibility(objects)
    naming = ObjectNaming(visibility, rng)
    labels = sorted({s.label for s in visibility.seen})
    present: dict[str, tuple[str, ...]] = {}
    absent: dict[str, tuple[str, ...]] = {}
    rare: dict[str, tuple[str, ...]] = {}
    for label in labels:
        items = visibility.with_label(label)
        _describe(present, rng, label, items)
        if visibility.colors_named(label) and visibility.countable(label):
            colors = sorted({str(s.color) for s in items})
            for color in colors:
                _describe(present, rng, f"{color} {label}", [s for s in items if s.color == color])
            others = [color for color in COLORS if color not in colors]
            _describe(absent, rng, f"{others[rng.integers(len(others))]} {label}", [])
        if len(items) > 1 and visibility.countable(label):
            _superlatives(
                rare, items, [s for s in naming.nameable if s.label != label], naming.name
            )
    for _ in range(5):
        label = naming.absent_label()
        _describe(absent, rng, label, [])
        if naming.nameable and rng.random() < 0.3:
            anchor = naming.nameable[rng.integers(len(naming.nameable))]
            absent[f"the {label} nearest to the {naming.name(anchor)}"] = ()
    number = int(rng.integers(wanted[0], wanted[1] + 1))
    missing = _some(rng, absent, round(_ABSENT_SHARE * number))
    special = _some(rng, rare, round(_SUPERLATIVE_SHARE * number))
    plain = _some(rng, present, number - len(missing) - len(special))
    chosen = {**plain, **special, **missing}
    texts = list(chosen)
    return [Referring(texts[i], chosen[texts[i]]) for i in rng.permutation(len(texts))]


def _describe(
    into: dict[str, tuple[str, ...]],
    rng: np.random.Generator,
    name: str,
    items: Iterable[VisibleObject],
) -> None:
    into[name if rng.random() < 0.5 else f"the {name}"] = tuple(s.id for s in items)


def _superlatives(
    into: dict[str, tuple[str, ...]],
    items: Sequence[VisibleObject],
    anchors: Sequence[VisibleObject],
    name: Callable[[VisibleObject], str],
) -> None:
    label = items[0].label
    by_size = sorted(items, key=lambda s: s.box.volume)
    if by_size[-1].box.volume > _VOLUME_RATIO * by_size[-2].box.volume:
        into[f"the largest {label}"] = (by_size[-1].id,)
    if by_size[1].box.volume > _VOLUME_RATIO * by_size[0].box.volume:
        into[f"the smallest {label}"] = (by_size[0].id,)
    for anchor in anchors:
        by_distance = sorted((distance_between(s.box, anchor.box), s.id) for s in items)
        (near, first), (next_near, _) = by_distance[:2]
        (next_far, _), (far, last) = by_distance[-2:]
        if next_near > _DISTANCE_RATIO * near and next_near > near + _MIN_DIFFERENCE_M:
            into[f"the {label} nearest to the {name(anchor)}"] = (first,)
        if far > _DISTANCE_RATIO * next_far and far > next_far + _MIN_DIFFERENCE_M:
            into[f"the {label} farthest from the {name(anchor)}"] = (last,)


def _some(
    rng: np.random.Generator, texts: dict[str, tuple[str, ...]], count: int
) -> dict[str, tuple[str, ...]]:
    names = list(texts)
    return {names[i]: texts[names[i]] for i in rng.permutation(len(names))[: max(0, count)]}
