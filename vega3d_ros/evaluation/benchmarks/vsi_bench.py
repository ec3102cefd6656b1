"""VSI-Bench as its hub offers it: ``test.jsonl`` and a folder of videos for each source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from vega3d_ros.core.frames import Clip, Frame, sample_uniformly
from vega3d_ros.evaluation.benchmarks.base import (
    BenchmarkError,
    Question,
    existing,
    read_json,
    unique,
)
from vega3d_ros.evaluation.metrics.vsi_bench import CHOICES, NUMBERS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_SOURCE = (
    "download the data set nyu-visionx/VSI-Bench from Hugging Face, and unpack its zip files there"
)
_BEFORE = "These are frames of a video."
_AFTER_CHOICE = "Answer with the option's letter from the given choices directly."
_AFTER_NUMBER = "Please answer the question using a single word or phrase."


def read_questions(data: Path) -> list[Question]:
    """The questions of ``test.jsonl``.

    Raises:
        BenchmarkError: If it is missing, damaged, or has other fields.
    """
    path = data / "test.jsonl"
    try:
        return unique([_question(doc) for doc in read_json(path, _SOURCE)], path)
    except (KeyError, TypeError) as error:
        msg = f"{path} has other fields than VSI-Bench ({error!r}); {_SOURCE}"
        raise BenchmarkError(msg) from error


def _question(doc: dict[str, object]) -> Question:
    # Truths are compared as texts, also where a number is not written as one.
    record = doc | {"ground_truth": str(doc["ground_truth"])}
    scene = f"{doc['dataset']}/{doc['scene_name']}"
    return Question(str(doc["id"]), scene, str(doc["question_type"]), prompt(doc), record)


def prompt(doc: dict[str, object]) -> str:
    """The official text of a question.

    Raises:
        BenchmarkError: If its type is unknown.
    """
    question = str(doc["question"])
    if doc["question_type"] in NUMBERS:
        return f"{_BEFORE}\n{question}\n{_AFTER_NUMBER}"
    if doc["question_type"] in CHOICES:
        options = doc["options"]
        if not isinstance(options, list):
            msg = f"question {doc['id']} is a choice and has no options; {_SOURCE}"
            raise BenchmarkError(msg)
        return "\n".join([_BEFORE, question, "Options:", *options, _AFTER_CHOICE])
    msg = f"question {doc['id']} has the unknown type {doc['question_type']!r}; {_SOURCE}"
    raise BenchmarkError(msg)


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
        pictures, rate_hz = read_video(path, frames)
        return Clip(
            tuple(
                Frame(round(index / rate_hz * 1e9), picture, scene)
                for index, picture in pictures.items()
            )
        )

    def proposals(self, scene: str) -> list[list[float]]:
        """None: nothing is grounded."""
        del scene
        return []


def read_video(path: Path, frames: int) -> tuple[dict[int, NDArray[np.uint8]], float]:
    """RGB frames at even steps by their number, and frames a second.

    Frames are counted as they are decoded: seeking and a container's own count are not exact.

    Raises:
        BenchmarkError: If it is no video.
    """
    video = cv2.VideoCapture(str(path))
    try:
        count = 0
        while video.grab():
            count += 1
        rate_hz = video.get(cv2.CAP_PROP_FPS)
        if count == 0 or rate_hz <= 0:
            msg = f"{path} holds no frames that can be decoded; {_SOURCE}"
            raise BenchmarkError(msg)
        video.open(str(path))
        wanted = set(sample_uniformly(count, frames))
        pictures = {}
        for index in range(max(wanted) + 1):
            if not video.grab():
                break
            if index in wanted:
                picture = cv2.cvtColor(video.retrieve()[1], cv2.COLOR_BGR2RGB)
                pictures[index] = picture.astype(np.uint8, copy=False)
        return pictures, float(rate_hz)
    finally:
        video.release()
