"""VSI-Bench as its hub offers it: ``test.jsonl`` and a folder of videos for each source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vega3d_ros.evaluation.metrics.vsi_bench import CHOICES, NUMBERS
from vega3d_ros.evaluation.schema import Question, RunError
from vega3d_ros.evaluation.sources.benchmark import existing, read_json, unique
from vega3d_ros.models.checkpoints.official.wording import LETTER, ONE_WORD, OPENING
from vega3d_ros.sensing.video import clip_from_video

if TYPE_CHECKING:
    from pathlib import Path

    from vega3d_ros.core.frames import Clip

_SOURCE = (
    "download the data set nyu-visionx/VSI-Bench from Hugging Face, and unpack its zip files there"
)


def read_questions(data: Path) -> list[Question]:
    """The questions of ``test.jsonl``.

    Raises:
        RunError: If it is missing, damaged, or has other fields.
    """
    path = data / "test.jsonl"
    try:
        return unique([_question(doc) for doc in read_json(path, _SOURCE)], path)
    except (KeyError, TypeError) as error:
        msg = f"{path} has other fields than VSI-Bench ({error!r}); {_SOURCE}"
        raise RunError(msg) from error


def _question(doc: dict[str, object]) -> Question:
    # Truths are compared as texts, also where a number is not written as one.
    record = doc | {"ground_truth": str(doc["ground_truth"])}
    scene = f"{doc['dataset']}/{doc['scene_name']}"
    return Question(
        id=str(doc["id"]),
        source=scene,
        kind=str(doc["question_type"]),
        text=prompt(doc),
        record=record,
    )


def prompt(doc: dict[str, object]) -> str:
    """The official text of a question.

    Raises:
        RunError: If its type is unknown.
    """
    question = str(doc["question"])
    if doc["question_type"] in NUMBERS:
        return f"{OPENING}\n{question}\n{ONE_WORD}"
    if doc["question_type"] in CHOICES:
        options = doc["options"]
        if not isinstance(options, list):
            msg = f"question {doc['id']} is a choice and has no options; {_SOURCE}"
            raise RunError(msg)
        return "\n".join([OPENING, question, "Options:", *options, LETTER])
    msg = f"question {doc['id']} has the unknown type {doc['question_type']!r}; {_SOURCE}"
    raise RunError(msg)


class Videos:
    """Reads clips of ``<source>/<scene>.mp4``; a video has no camera, no depth and no poses.

    Args:
        data: The downloaded folder.
    """

    def __init__(self, data: Path) -> None:
        self._data = data

    def clip(self, scene: str, frames: int) -> Clip:
        """Frames at even steps from the first to the last."""
        path = existing(self._data / f"{scene}.mp4", _SOURCE)
        return clip_from_video(path, frames)

    def proposals(self, scene: str) -> list[list[float]]:
        """None: nothing is grounded."""
        del scene
        return []
