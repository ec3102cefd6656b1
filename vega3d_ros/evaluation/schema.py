"""What is asked, what comes back, and how it scores: the types of every evaluation."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.errors import Vega3dError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RELATION = "relation"


class RunError(Vega3dError, RuntimeError):
    """An evaluation that cannot begin or go on; the message says why and what to do."""


@dataclass(frozen=True)
class Question:
    """A question, a thing to ground or to describe, or the relation of two things.

    Attributes:
        text: In words, as it is asked; of a benchmark the official text.
        ask_at_s: When to ask it, seconds after the first message of the recording.
        kind: Kind in the truth record; empty if unknown.
        answer: The true answer; None where unknown, and for a relation.
        subject: Description of a relation's subject; empty for any other question.
        object: Description of its object.
        subject_id: The true subject; empty where unknown.
        object_id: The true object; empty where unknown.
        id: Unique among the questions of a benchmark; empty for any other question.
        source: What a benchmark filmed, such as "scannet/scene0011_00".
        record: Fields of its row in the benchmark's official prediction file, but the prediction.
        known: What else scoring and baselines need of the benchmark's annotation.
    """

    text: str
    ask_at_s: float = 0.0
    kind: str = ""
    answer: str | None = None
    subject: str = ""
    object: str = ""
    subject_id: str = ""
    object_id: str = ""
    id: str = ""
    source: str = ""
    record: Mapping[str, Any] = field(default_factory=dict, compare=False)
    known: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @classmethod
    def relation(
        cls,
        subject: str,
        object_: str,
        ask_at_s: float = 0.0,
        subject_id: str = "",
        object_id: str = "",
    ) -> Question:
        """How the subject lies, as seen from the object."""
        text = f"How lies the {subject} from the {object_}?"
        return cls(text, ask_at_s, RELATION, None, subject, object_, subject_id, object_id)

    @property
    def is_relation(self) -> bool:
        return bool(self.subject)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The reply to a question.

    Attributes:
        question: The question.
        index: Its index among the questions of the run, by time.
        asked_at_s: When it was asked, seconds of the recording.
        text: The answer; empty after an error, and for a relation.
        confidence: The model's confidence; NaN if it gave none.
        predicates: All predicates of a relation that hold.
        distance_m: Distance between the closest points of a relation's things.
        latency_ms: From the request to the reply, as the client measures it.
        error: Why there is no answer; empty on success.
        stamp_ns: Stamp of the newest image of the scene, whose camera is a relation's viewpoint;
            0 without a scene.
    """

    question: Question
    index: int
    asked_at_s: float
    text: str = ""
    confidence: float = math.nan
    predicates: tuple[str, ...] = ()
    distance_m: float = math.nan
    latency_ms: float = 0.0
    error: str = ""
    stamp_ns: int = 0

    @property
    def words(self) -> str:
        """The answer, or the relation, in words; empty after an error."""
        if self.error or not self.question.is_relation:
            return self.text
        return relation_words(self.predicates, self.distance_m)


def relation_words(predicates: Iterable[str], apart_m: float) -> str:
    """A relation as text."""
    return f"{', '.join(predicates) or 'no clear direction'}; {apart_m:.2f} m apart"


@dataclass(frozen=True, kw_only=True)
class AnswerRow:
    """One scored answer.

    Attributes:
        source: What was filmed: name of a recording, or number of a clip.
        index: Index of the question in the plan.
        kind: Kind of question; ``relation`` for a relation.
        question: In words.
        truth: The right answer; None if unknown.
        answer: The answer; empty after an error.
        score: In [0, 1]; None if the truth is unknown.
        error: Why there is no answer.
        confidence: The model's confidence; None if it gave none.
        at_s: When it was asked, seconds of the recording.
        stamp_ns: Stamp of the scene that was asked.
        latency_ms: From question to answer.
    """

    source: str
    index: int
    kind: str
    question: str
    truth: str | None
    answer: str
    score: float | None
    error: str = ""
    confidence: float | None = None
    at_s: float = 0.0
    stamp_ns: int | None = None
    latency_ms: float = 0.0

    @property
    def case(self) -> str:
        """Name of the case, the same in every run."""
        return f"q{self.index:03d}"


@dataclass(frozen=True, kw_only=True)
class ObjectRow:
    """One true object that a scene shows.

    Attributes:
        source: Name of the recording.
        stamp_ns: Stamp of the scene.
        at_s: The same, seconds of the recording.
        id: Id of the true object.
        label: Its label.
        found: Whether an object of its label is near (1.5 m).
        score: Score of that object; None if not found.
        iou: Axis-aligned overlap with it; 0 if not found.
        iou_oriented: The same with headings.
        error_m: Between the centres; None if not found.
        distance_m: From the newest camera to its centre.
        size_m: Its longest side.
        share: How much of an image it fills at most; None where unknown.
        place: Its box in the levelled camera: centre, size, heading.
    """

    source: str
    stamp_ns: int
    at_s: float
    id: str
    label: str
    found: bool
    score: float | None
    iou: float
    iou_oriented: float
    error_m: float | None
    distance_m: float
    size_m: float
    share: float | None
    place: tuple[float, ...]

    @property
    def case(self) -> str:
        """Name of the case, the same in every run."""
        return f"o{self.stamp_ns}_{self.id}"


@dataclass(frozen=True, kw_only=True)
class ClaimRow:
    """One object that a scene claims; with a topic as truth, only labels of that topic.

    Attributes:
        source: Name of the recording.
        stamp_ns: Stamp of the scene.
        at_s: The same, seconds of the recording.
        label: Its label.
        score: Its score.
        right: Whether it overlaps its own true object by at least a quarter.
    """

    source: str
    stamp_ns: int
    at_s: float
    label: str
    score: float
    right: bool


@dataclass(frozen=True, kw_only=True)
class GroundingRow:
    """One description that was grounded in a clip.

    Attributes:
        source: Number of the clip.
        kind: "label" (fits every object so called), "described" (fits one) or "absent".
        text: The description.
        found: Whether an object was returned.
        on_object: Whether the best token shows a right object; None without token or object.
        iou: Axis-aligned overlap of the best object with the best right one; 0 if none returned.
        iou_oriented: The same with headings.
        iou_proposal: Axis-aligned overlap of ``Grounding.proposal``.
        error_m: From the returned centre to the nearest right one; None if none returned.
        thick: Whether all right objects are thick; None if only some are, or there is none.
        score: Of the returned object; None if none was returned, or it has no score.
        at_s: Of the clip, which counts as a whole.
    """

    source: str
    kind: str
    text: str
    found: bool
    on_object: bool | None
    iou: float
    iou_oriented: float
    iou_proposal: float
    error_m: float | None
    thick: bool | None
    score: float | None = None
    at_s: float = 0.0


@dataclass
class ResultRows:
    """All rows of one or several runs."""

    answers: list[AnswerRow] = field(default_factory=list)
    objects: list[ObjectRow] = field(default_factory=list)
    claims: list[ClaimRow] = field(default_factory=list)
    groundings: list[GroundingRow] = field(default_factory=list)

    def extend(self, other: ResultRows) -> None:
        for name, rows in vars(self).items():
            rows.extend(getattr(other, name))

    def json(self) -> dict[str, list[dict[str, Any]]]:
        return {name: [asdict(row) for row in rows] for name, rows in vars(self).items()}

    @classmethod
    def read(cls, plain: Mapping[str, Iterable[Mapping[str, Any]]]) -> ResultRows:
        """The rows behind ``json``.

        Raises:
            RunError: If they were written by a version with other fields.
        """
        try:
            return cls(
                [AnswerRow(**row) for row in plain["answers"]],
                [ObjectRow(**{**row, "place": tuple(row["place"])}) for row in plain["objects"]],
                [ClaimRow(**row) for row in plain["claims"]],
                [GroundingRow(**row) for row in plain["groundings"]],
            )
        except (KeyError, TypeError) as error:
            msg = f"rows of another version of this package ({error}); evaluate again"
            raise RunError(msg) from error
