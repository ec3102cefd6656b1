"""Asks a model a benchmark's questions, scene by scene, and writes the answers as they come."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vega3d_ros.core.json_io import read_lines
from vega3d_ros.evaluation.schema import Question, RunError
from vega3d_ros.evaluation.whole_clip import observe_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from vega3d_ros.evaluation.sources.benchmark import Row, SceneReader, Task
    from vega3d_ros.perception.perceiver import Perceiver, Scene


@dataclass(frozen=True)
class Shard:
    """One of several parts of the scenes, counted from 1."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From "2/4".

        Raises:
            ValueError: If it is no part of a whole.
        """
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            msg = f"a shard is written 1/4, 2/4, 3/4 or 4/4, not {text!r}"
            raise ValueError(msg)
        return cls(int(found[1]), int(found[2]))

    @property
    def file(self) -> str:
        """Name of its prediction file."""
        if self.count == 1:
            return "predictions.jsonl"
        return f"predictions-{self.number}-of-{self.count}.jsonl"

    def of(self, questions: Sequence[Question]) -> dict[str, list[Question]]:
        """Its questions by scene; the questions of a scene stay together."""
        scenes: dict[str, list[Question]] = {}
        for question in questions:
            scenes.setdefault(question.source, []).append(question)
        mine = list(scenes)[self.number - 1 :: self.count]
        return {scene: scenes[scene] for scene in mine}


@dataclass(frozen=True)
class Run:
    """How a benchmark is run.

    Attributes:
        task: The benchmark.
        model: What rows give as ``model_id``.
        frames: Frames of each scene.
        batch: Questions asked at once.
    """

    task: Task
    model: str
    frames: int = 32
    batch: int = 16

    def answers(
        self, perceiver: Perceiver, reader: SceneReader, questions: Mapping[str, list[Question]]
    ) -> Iterator[list[Row]]:
        """The rows of each scene.

        Raises:
            RunError: If nothing is answered of the first scene, as by a model that cannot
                ground where a benchmark asks for boxes; or if the scene cannot be read.
        """
        for number, (scene, asked) in enumerate(questions.items()):
            # Stamps repeat from scene to scene, and no keyframe is seen twice.
            perceiver.reset()
            seen = observe_whole(perceiver, reader.clip(scene, self.frames))
            rows = []
            for start in range(0, len(asked), self.batch):
                rows += self._rows(seen, asked[start : start + self.batch], reader)
            if number == 0 and len(rows) > 1 and all("refused" in row for row in rows):
                msg = f"the model refused every question about {scene}: {rows[0]['refused']}"
                raise RunError(msg)
            yield rows

    def _rows(self, seen: Scene, asked: Sequence[Question], reader: SceneReader) -> list[Row]:
        from vega3d_ros.perception.perceiver import PerceiverError  # noqa: PLC0415 - scoring needs no torch

        try:
            predictions = self.task.respond(seen, asked, reader)
        except PerceiverError as error:
            if len(asked) == 1:
                # Such as a question that is too long: written down, counted and reported.
                return [self._row(asked[0], self.task.refused | {"refused": str(error)})]
            return [row for question in asked for row in self._rows(seen, [question], reader)]
        return [self._row(q, p) for q, p in zip(asked, predictions, strict=True)]

    def _row(self, question: Question, prediction: Row) -> Row:
        return {
            **question.record,
            "model_id": self.model,
            "scene": question.source,
            **prediction,
        }


class Predictions:
    """A prediction file that grows scene by scene and survives interruption.

    Args:
        folder: Of the run.
        shard: Whose file it is.
        key: Field of the question's id.

    Raises:
        JsonError: If the file is damaged.
    """

    def __init__(self, folder: Path, shard: Shard, key: str) -> None:
        self.path = folder / shard.file
        self.path.touch()
        self.done = {str(row.get(key)) for row in read_lines(self.path, mend=True)}

    def add(self, rows: Sequence[Row]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def joined(task: Task, questions: Sequence[Question], predictions: Sequence[Row]) -> list[Row]:
    """Rows as they are scored: the annotation's fields, and the prediction's of the same id.

    Truth is taken from the annotations, so that a file of the official code scores alike.

    Raises:
        RunError: If a prediction has no id or no predicted field, or answers no question.
    """
    by_id = {question.id: question for question in questions}
    rows = []
    for row in predictions:
        question = by_id.get(str(row.get(task.key)))
        if question is None:
            msg = (
                f"a prediction has the {task.key} {row.get(task.key)!r}, which no question of "
                f"{task.name} has; are these predictions of another benchmark or split?"
            )
            raise RunError(msg)
        if task.needed not in row:
            msg = f"the prediction {question.id} has no field {task.needed!r}"
            raise RunError(msg)
        rows.append(scored_row(question, row))
    return rows


def scored_row(question: Question, prediction: Row) -> Row:
    """A prediction with all that scoring needs."""
    return {**prediction, **question.record, **question.known, "scene": question.source}
