"""Questions and answers from ground truth.

Wording follows VSI-Bench (arXiv 2412.14171), shortened. A question names a single object only by
a description that fits it alone, and none asks about a near-tie.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from vega3d_ros.core.geometry import distance_between
from vega3d_ros.simulation.primitives import PRIMITIVES
from vega3d_ros.simulation.visibility import (
    GLIMPSED_PIXELS,
    ClipVisibility,
    ObjectNaming,
    VisibleObject,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

UNKNOWN = "unknown"
KINDS = (
    "count",
    "absolute_distance",
    "size",
    "relative_distance",
    "relative_direction",
    "appearance_order",
    "attribute",
    "yes_no",
)
_MIN_RATIO = 1.25
_MARGIN_RAD = np.radians(15)
_BEHIND_RAD = np.radians(135)
_UNKNOWN_SHARE = 0.08
_COLORED = frozenset(label for label, kind in PRIMITIVES.items() if kind.named_color)

# Kinds that name single objects, and how many.
_NAMED = {
    "absolute_distance": 2,
    "size": 1,
    "relative_distance": 3,
    "relative_direction": 3,
    "appearance_order": 2,
    "attribute": 1,
}

_WORDING: dict[str, tuple[str, ...]] = {
    "count": ("How many {a} are in the video?", "How many {a} can you see?", "Count the {a}."),
    "absolute_distance": (
        "How many metres are between the {a} and the {b}?",
        "What is the distance between the {a} and the {b} in metres?",
        "How far is the {a} from the {b} in metres?",
    ),
    "size": (
        "How long is the longest side of the {a} in centimetres?",
        "What is the longest side of the {a} in centimetres?",
        "How large is the {a} in centimetres?",
    ),
    "relative_distance": (
        "Which is closer to the {a}, the {b} or the {c}?",
        "What is nearer to the {a}, the {b} or the {c}?",
    ),
    "relative_direction": (
        "Standing at the {a} and facing the {b}, is the {c} to my left, to my right or behind me?",
        "I stand at the {a} and face the {b}. Is the {c} left, right or behind?",
    ),
    "appearance_order": (
        "Which appears first in the video, the {a} or the {b}?",
        "What do you see first, the {a} or the {b}?",
    ),
    "attribute": ("What colour is the {a}?", "Which colour does the {a} have?"),
    "yes_no": ("Is there {a} in the video?", "Do you see {a}?", "Can you see {a}?"),
}


@dataclass(frozen=True)
class Question:
    """A question with its only right answer and the ids of the objects that decide it."""

    kind: str
    question: str
    answer: str
    objects: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """The form in a truth record."""
        return asdict(self) | {"objects": list(self.objects)}


def plural(label: str) -> str:
    """The label for two or more."""
    if label == "tableware":
        return "tableware sets"
    if label.endswith("shelf"):
        return label[:-1].replace("shel", "shelv") + "es"
    return label + ("es" if label.endswith(("x", "s", "ch")) else "s")


def _article(label: str) -> str:
    return f"{'an' if label[0] in 'aeiou' else 'a'} {label}"


def direction(
    standing: NDArray[np.float64], facing: NDArray[np.float64], item: NDArray[np.float64]
) -> str | None:
    """Direction of ``item`` from ``standing`` facing ``facing``; points are [>= 2].

    Returns:
        "left" or "right" (up to 135 degrees off the view), "behind", or None within 15 degrees
        of a boundary or where points are closer together than 0.4 m.
    """
    ahead, aside = facing[:2] - standing[:2], item[:2] - standing[:2]
    if min(np.hypot(*ahead), np.hypot(*aside)) < 0.4:
        return None
    angle = np.arctan2(ahead[0] * aside[1] - ahead[1] * aside[0], ahead @ aside)
    if abs(angle) < _MARGIN_RAD or abs(abs(angle) - _BEHIND_RAD) < _MARGIN_RAD:
        return None
    if abs(angle) > _BEHIND_RAD:
        return "behind"
    return "left" if angle > 0 else "right"


class _QuestionMaker(ObjectNaming):
    """Makes questions of each kind; None where the clip allows none."""

    def __init__(self, visibility: ClipVisibility, rng: np.random.Generator) -> None:
        super().__init__(visibility, rng)
        self.makers: dict[str, Callable[[], Question | None]] = {
            kind: getattr(self, f"_{kind}") for kind in KINDS
        }

    def wording(self, kind: str, **names: str) -> str:
        options = _WORDING[kind]
        return options[self.rng.integers(len(options))].format(**names)

    def pick(self, count: int) -> list[VisibleObject] | None:
        if len(self.nameable) < count:
            return None
        return [self.nameable[i] for i in self.rng.permutation(len(self.nameable))[:count]]

    def ask(self, kind: str, answer: str, *items: VisibleObject, **names: str) -> Question:
        names = names or {k: self.name(s) for k, s in zip("abc", items, strict=False)}
        return Question(kind, self.wording(kind, **names), answer, tuple(s.id for s in items))

    def _count(self) -> Question | None:
        counts: dict[int, list[str]] = {}
        for label in sorted(self.visibility.labels):
            if self.visibility.countable(label):
                counts.setdefault(len(self.visibility.with_label(label)), []).append(label)
        if not counts:
            return None
        # Most labels occur once, so larger numbers are drawn more often.
        numbers = sorted(counts)
        number = int(self.rng.choice(numbers, p=np.array(numbers) / sum(numbers)))
        label = counts[number][self.rng.integers(len(counts[number]))]
        return self.ask("count", str(number), *self.visibility.with_label(label), a=plural(label))

    def _absolute_distance(self) -> Question | None:
        for _ in range(6):
            pair = self.pick(2)
            if pair is None:
                return None
            metres = distance_between(pair[0].box, pair[1].box)
            if metres >= 0.15:
                return self.ask("absolute_distance", f"{metres:.1f}", *pair)
        return None

    def _size(self) -> Question | None:
        item = self.pick(1)
        return self.ask("size", f"{100 * item[0].box.size.max():.0f}", *item) if item else None

    def _relative_distance(self) -> Question | None:
        for _ in range(8):
            items = self.pick(3)
            if items is None:
                return None
            anchor, one, two = items
            d1, d2 = distance_between(anchor.box, one.box), distance_between(anchor.box, two.box)
            if max(d1, d2) >= _MIN_RATIO * min(d1, d2) and max(d1, d2) > min(d1, d2) + 0.2:
                names = {k: self.name(s) for k, s in zip("abc", items, strict=True)}
                answer = names["b"] if d1 < d2 else names["c"]
                return self.ask("relative_distance", answer, *items, **names)
        return None

    def _relative_direction(self) -> Question | None:
        for _ in range(8):
            items = self.pick(3)
            if items is None:
                return None
            roles: dict[str, list[tuple[VisibleObject, ...]]] = {}
            for order in permutations(items):
                answer = direction(*(s.box.center for s in order))
                if answer:
                    roles.setdefault(answer, []).append(order)
            if roles:
                # "behind" needs two of three objects in line; where possible it is preferred.
                answers = list(roles)
                weights = np.array([6.0 if a == "behind" else 1.0 for a in answers])
                answer = str(self.rng.choice(answers, p=weights / weights.sum()))
                order = roles[answer][self.rng.integers(len(roles[answer]))]
                return self.ask("relative_direction", answer, *order)
        return None

    def _appearance_order(self) -> Question | None:
        for _ in range(8):
            pair = self.pick(2)
            if pair is None:
                return None
            first, second = sorted(pair, key=lambda s: s.first_frame)
            if first.first_frame == second.first_frame:
                continue
            if second.pixels[: first.first_frame + 1].max() >= GLIMPSED_PIXELS:
                continue
            names = {k: self.name(s) for k, s in zip("ab", pair, strict=True)}
            answer = names["a"] if pair[0] is first else names["b"]
            return self.ask("appearance_order", answer, *pair, **names)
        return None

    def _attribute(self) -> Question | None:
        items = [
            s for s in self.nameable if s.color and s.label in self.visibility.unique_names(s)
        ]
        if not items:
            return None
        item = items[self.rng.integers(len(items))]
        return self.ask("attribute", str(item.color), item, a=item.label)

    def _yes_no(self) -> Question | None:
        if self.rng.random() < 0.5:
            labels = sorted({s.label for s in self.visibility.seen})
            if not labels:
                return None
            label = labels[self.rng.integers(len(labels))]
            return self.ask("yes_no", "yes", *self.visibility.with_label(label), a=_article(label))
        absent = self.absent_label()
        return Question("yes_no", self.wording("yes_no", a=_article(absent)), "no", ())

    def unknown(self) -> Question | None:
        """A question in which an absent object takes the place of one of its objects."""
        kinds = [kind for kind, need in _NAMED.items() if len(self.nameable) >= need - 1]
        kind = kinds[self.rng.integers(len(kinds))]
        absent, others = self.absent_label(), self.pick(_NAMED[kind] - 1)
        if kind == "attribute" and absent not in _COLORED:
            return None
        if others is None:
            return None
        names = [absent, *(self.name(s) for s in others)]
        order = self.rng.permutation(len(names))
        fill = {k: names[i] for k, i in zip("abc", order, strict=False)}
        return Question(kind, self.wording(kind, **fill), UNKNOWN, tuple(s.id for s in others))


def make_questions(
    objects: Sequence[Mapping[str, Any]],
    rng: np.random.Generator,
    wanted: tuple[int, int] = (16, 24),
) -> list[Question]:
    """Questions about the ``objects`` of a truth record, ``wanted`` (fewest, most) of them.

    Returns:
        Different questions in random order, fewer where the clip shows little; kinds as even as
        the clip allows, about 8 % of them unanswerable (answer "unknown").
    """
    maker = _QuestionMaker(ClipVisibility(objects), rng)
    number = int(rng.integers(wanted[0], wanted[1] + 1))
    found: dict[str, Question] = {}
    for _ in range(rng.binomial(number, _UNKNOWN_SHARE)):
        _keep(found, maker.unknown())
    open_kinds = list(KINDS)
    per_kind: Counter[str] = Counter()
    for _ in range(6 * number):
        if len(found) >= number or not open_kinds:
            break
        # The kind that occurs least so far.
        kind = min(open_kinds, key=lambda k: (per_kind[k], rng.random()))
        question = maker.makers[kind]()
        if question is None and kind != "yes_no":
            open_kinds.remove(kind)
        per_kind[kind] += 1
        if per_kind[kind] > 6:
            open_kinds = [k for k in open_kinds if k != kind]
        _keep(found, question)
    questions = list(found.values())
    return [questions[i] for i in rng.permutation(len(questions))]


def _keep(found: dict[str, Question], question: Question | None) -> None:
    if question is not None:
        found.setdefault(question.question, question)
