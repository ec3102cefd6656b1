"""The common parts of all benchmarks: questions, tasks and files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from vega3d_ros.core import json_io
from vega3d_ros.core.nearest import nearest
from vega3d_ros.evaluation.schema import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from vega3d_ros.core.frames import Clip
    from vega3d_ros.evaluation.metrics.intervals import Estimate
    from vega3d_ros.evaluation.schema import Question
    from vega3d_ros.perception.perceiver import Scene

    Row = dict[str, Any]


_NUMBERED = re.compile(r"(scene)?[\d_]+")


class SceneReader(Protocol):
    """Where a benchmark's frames come from."""

    def clip(self, scene: str, frames: int) -> Clip:
        """At most ``frames`` frames of a scene, sampled as officially.

        Raises:
            RunError: If files are missing or damaged.
        """

    def proposals(self, scene: str) -> list[list[float]]:
        """Boxes that a detector found, six numbers each; empty where the benchmark has none."""


class Baseline(Protocol):
    """A baseline without images, fitted without the annotations of the question's scene."""

    def __call__(self, questions: Sequence[Question], reader: SceneReader) -> list[Row]:
        """Predicted fields of each question."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A benchmark.

    Attributes:
        name: As the command line calls it.
        questions: Reads the annotations of a data folder.
        reader: Opens the frames of a data folder.
        respond: Predicted fields of each question about a scene.
        refused: What stands in a row whose question the model refused, such as a text too long.
        key: Field of a row that holds the question's id.
        summarise: Figures of rows (with the fields of ``Question.known`` and ``scene`` added).
        headline: The figures that people compare.
        baselines: By name.
    """

    name: str
    questions: Callable[[Path], list[Question]]
    reader: Callable[[Path], SceneReader]
    respond: Callable[[Scene, Sequence[Question], SceneReader], list[Row]]
    refused: Row
    key: str
    summarise: Callable[[Sequence[Mapping[str, Any]]], dict[str, Estimate]]
    headline: tuple[str, ...]
    baselines: Mapping[str, Baseline]

    @property
    def needed(self) -> str:
        """The predicted field that the official evaluator reads."""
        return next(iter(self.refused))


def existing(path: Path, source: str) -> Path:
    """The path itself.

    Args:
        path: A file or folder.
        source: Where to get it, for people.

    Raises:
        RunError: If it is not there; names what looks like it.
    """
    if path.exists():
        return path
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    # A numbered file is one of a series: its neighbour is not the same file by another name.
    numbered = _NUMBERED.fullmatch(path.stem)
    close = "" if numbered else nearest(path.name, beside)
    hint = f" ({close} is there: rename it if it is this file)" if close else ""
    msg = f"{path} is missing{hint}; {source}"
    raise RunError(msg)


def read_json(path: Path, source: str) -> Any:
    """A JSON file, or one of JSON lines by its suffix.

    Raises:
        RunError: If it is missing or damaged.
    """
    existing(path, source)
    try:
        return json_io.read_lines(path) if path.suffix == ".jsonl" else json_io.read_json(path)
    except json_io.JsonError as error:
        msg = f"{error}; {source}"
        raise RunError(msg) from error


def unique(questions: list[Question], path: Path) -> list[Question]:
    """The questions, if no two have one id.

    Raises:
        RunError: If two do.
    """
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            msg = f"{path} holds two questions with the id {question.id}; get the file again"
            raise RunError(msg)
        seen.add(question.id)
    return questions
