"""Simulated clips: what is asked and what is to be found in each, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from vega3d_ros import __version__
from vega3d_ros.core.console import progress
from vega3d_ros.evaluation.schema import Question
from vega3d_ros.models.checkpoints.model_paths import downloads
from vega3d_ros.simulation.dataset import ClipDataset
from vega3d_ros.simulation.rooms import LABELS
from vega3d_ros.simulation.visibility import SEEN_PIXELS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from vega3d_ros.core.geometry import Box3D
    from vega3d_ros.simulation.dataset import ClipRecord

# A chosen token is on an object that covers at least this share of it (15 of 784 pixels).
ON_OBJECT = 0.02
# An object is thick if no side of it is shorter. Boxes of pictures and screens overlap by luck.
THICK_M = 0.15


@dataclass(frozen=True)
class Query:
    """A description to ground.

    Attributes:
        text: The description.
        kind: "label" (fits every object so called), "described" (fits one object) or "absent".
        targets: Indices into the truth's objects that are right.
    """

    text: str
    kind: str
    targets: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Grounding:
    """A respondent's answer to a description.

    Attributes:
        box: The best object, in the clip's fixed frame; None: absent.
        token: Frame, row and column of the best visual token, whether the object is absent or not;
            None if the respondent has no tokens.
        proposal: The box of the best object, whether it is absent or not.
        score: Of the best object; None: it has none.
    """

    box: Box3D | None
    token: tuple[int, int, int] | None
    proposal: Box3D | None
    score: float | None = None


@dataclass(frozen=True, eq=False)
class Responses:
    """A respondent's answers about one clip; None for a task that it lacks."""

    answers: Sequence[str] | None
    groundings: Sequence[Grounding] | None
    grid: tuple[int, int] = (0, 0)


class Respondent(Protocol):
    """A model or a baseline."""

    @property
    def name(self) -> str:
        """Heading of its column."""

    def respond(
        self, record: ClipRecord, questions: Sequence[Question], texts: Sequence[str]
    ) -> Responses:
        """Answer questions about a clip and ground descriptions in it.

        Of ``record.truth`` only camera, stamps and poses may be read.
        """


def questions(truth: Mapping[str, Any]) -> list[Question]:
    """The questions about a clip, with their answers."""
    return [
        Question(q["question"], kind=q["kind"], answer=q["answer"]) for q in truth["questions"]
    ]


def queries(truth: Mapping[str, Any]) -> list[Query]:
    """The descriptions to ground in a clip: labels seen, and the truth's referring expressions.

    Expressions other than labels that fit several objects are left out: no single box answers
    them.
    """
    objects = truth["objects"]
    index = {item["id"]: i for i, item in enumerate(objects)}
    seen: dict[str, list[int]] = {}
    for i, item in enumerate(objects):
        if max(item["visible_pixels"]) >= SEEN_PIXELS:
            seen.setdefault(item["label"], []).append(i)
    found = [Query(label, "label", tuple(targets)) for label, targets in sorted(seen.items())]
    for expression in truth["referring"]:
        text, targets = expression["text"], tuple(index[name] for name in expression["objects"])
        if targets and text.removeprefix("the ") in LABELS:
            continue  # one of the labels
        if len(targets) <= 1:
            found.append(Query(text, "described" if targets else "absent", targets))
    return found


def open_clips(
    data: Path | None, split: str, count: int, furniture: str | None, console: Console
) -> ClipDataset:
    """Clips of a folder, or of the cache, after making those that it lacks."""
    if data is not None:
        return ClipDataset(data, split)
    from vega3d_ros.simulation.clips import generate  # noqa: PLC0415 - chooses a GL backend

    folder = downloads() / f"clips-{__version__}-{'furniture' if furniture else 'primitives'}"
    made = 0
    with progress(console) as tell:
        for size in generate(folder, split, count, furniture=furniture):
            made += size
            tell(f"{split} clips in {folder}", made, count)
    return ClipDataset(folder, split)
