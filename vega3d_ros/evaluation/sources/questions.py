"""The questions of a recording in the order of asking, and the truth where it is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.geometry import Box3D
from vega3d_ros.core.json_io import JsonError, read_object
from vega3d_ros.evaluation.metrics.simulated import NUMERIC_KINDS, UNKNOWN
from vega3d_ros.evaluation.schema import Question, RunError
from vega3d_ros.simulation.dataset import TRUTH_FILE
from vega3d_ros.simulation.visibility import IMAGE_PIXELS, SEEN_PIXELS
from vega3d_ros.viz.floor_plan import TrueObject

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The ground truth of a simulated recording.

    Attributes:
        fixed_frame: Frame of the boxes.
        objects: True objects by id.
        seen: Ids of the objects that are seen in any image.
        questions: Questions with their answers, in the order of asking.
        shown: For each image, by stamp: the number of objects seen in it plus the share of the
            image that objects fill.
        pixels: For each image, by stamp: visible pixels of each object, scaled to an image of
            224 x 168.
    """

    fixed_frame: str
    objects: Mapping[str, TrueObject]
    seen: frozenset[str]
    questions: tuple[Question, ...]
    shown: Mapping[int, float] = field(default_factory=dict)
    pixels: Mapping[int, Mapping[str, int]] = field(default_factory=dict)


def load_truth(bag: Path) -> Truth | None:
    """The truth in ``truth.json`` beside a bag; None without that file.

    Raises:
        RunError: If it is damaged.
    """
    path = (bag if bag.is_dir() else bag.parent) / TRUTH_FILE
    if not path.is_file():
        return None
    record = _load(path)
    try:
        objects = {item["id"]: _true_object(item) for item in record["objects"]}
        return Truth(
            fixed_frame=record["fixed_frame"],
            objects=objects,
            seen=frozenset(item["id"] for item in record["objects"] if _was_seen(item)),
            questions=_by_time(
                *(_question(item, 0.0) for item in record["questions"]),
                *(_relation(item, 0.0) for item in record.get("relations", [])),
            ),
            shown=_shown(record),
            pixels=_pixels(record),
        )
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{path} is no truth record of a simulated recording: {type(error).__name__} {error}"
        raise RunError(msg) from error


def load_plan(path: Path, duration_s: float) -> tuple[Question, ...]:
    """The user's questions.

    Args:
        path: JSON ``{"questions": [{"question", "answer"?, "ask_at_s"?}], "relations":
            [{"subject", "object", "ask_at_s"?}]}``; those without a time are spread over the
            recording.
        duration_s: Length of the recording.

    Raises:
        RunError: If it cannot be read.
    """
    record = _load(path)
    try:
        questions, relations = record.get("questions", []), record.get("relations", [])
        times = _spread(len(questions) + len(relations), duration_s)
        return _by_time(
            *(_question(item, times[i]) for i, item in enumerate(questions)),
            *(_relation(item, times[len(questions) + i]) for i, item in enumerate(relations)),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        msg = (
            f"{path} does not hold questions ({type(error).__name__} {error}); expected "
            '{"questions": [{"question": "..."}], '
            '"relations": [{"subject": "...", "object": "..."}]}'
        )
        raise RunError(msg) from error


def default_plan(duration_s: float) -> tuple[Question, ...]:
    """Ten questions and three relations for an unknown recording."""
    texts = [f"How many {label}s can you see?" for label in ("chair", "table", "plant")]
    texts += [f"Is there a {label} in the video?" for label in ("chair", "bed", "window")]
    texts += [
        f"How long is the longest side of the {label} in centimetres?"
        for label in ("table", "shelf")
    ]
    texts += ["How many metres are between the chair and the table?", "What colour is the chair?"]
    pairs = [("chair", "table"), ("plant", "table"), ("shelf", "chair")]
    times = _spread(len(texts) + len(pairs), duration_s)
    # Relations fall between the questions.
    relation_times = [times.pop(at) for at in (11, 7, 3)]
    return _by_time(
        *(Question(text, at) for text, at in zip(texts, times, strict=True)),
        *(
            Question.relation(a, b, at)
            for (a, b), at in zip(pairs, sorted(relation_times), strict=True)
        ),
    )


def _by_time(*questions: Question) -> tuple[Question, ...]:
    return tuple(sorted(questions, key=lambda item: item.ask_at_s))


def _spread(count: int, duration_s: float) -> list[float]:
    """Times over the last three quarters of a recording."""
    return [duration_s * (0.25 + 0.72 * i / max(1, count - 1)) for i in range(count)]


def _load(path: Path) -> dict[str, Any]:
    try:
        return read_object(path)
    except JsonError as error:
        raise RunError(str(error)) from error


def _question(item: Mapping[str, Any], at_s: float) -> Question:
    kind, answer = str(item.get("kind", "")), item.get("answer")
    if kind in NUMERIC_KINDS and answer is not None and str(answer) != UNKNOWN:
        float(answer)  # it is scored as a number
    return Question(
        str(item["question"]),
        float(item.get("ask_at_s", at_s)),
        kind,
        None if answer is None else str(answer),
    )


def _relation(item: Mapping[str, Any], at_s: float) -> Question:
    return Question.relation(
        str(item["subject"]),
        str(item["object"]),
        float(item.get("ask_at_s", at_s)),
        str(item.get("subject_id", "")),
        str(item.get("object_id", "")),
    )


def _true_object(item: Mapping[str, Any]) -> TrueObject:
    return TrueObject(str(item["label"]), Box3D.upright(item["center"], item["size"], item["yaw"]))


def _shown(record: Mapping[str, Any]) -> dict[int, float]:
    stamps = record.get("stamps_ns", [])
    counts = [item["visible_pixels"] for item in record["objects"] if "visible_pixels" in item]
    return {
        stamp: sum((pixels[i] >= SEEN_PIXELS) + pixels[i] / IMAGE_PIXELS for pixels in counts)
        for i, stamp in enumerate(stamps)
    }


def _pixels(record: Mapping[str, Any]) -> dict[int, dict[str, int]]:
    return {
        stamp: {item["id"]: int(item["visible_pixels"][i]) for item in record["objects"]}
        for i, stamp in enumerate(record.get("stamps_ns", []))
    }


def _was_seen(item: Mapping[str, Any]) -> bool:
    pixels: Sequence[int] = item.get("visible_pixels", [10**6])
    return max(pixels, default=0) >= SEEN_PIXELS
