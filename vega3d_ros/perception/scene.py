"""What one clip was understood to be, and what can be asked of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from vega3d_ros.core.objects import Answer, SceneObject
from vega3d_ros.models.grounders.distinct import distinct
from vega3d_ros.perception.errors import PerceiverError
from vega3d_ros.perception.finder import POSSIBLE
from vega3d_ros.perception.object_prompt import tokens_of
from vega3d_ros.perception.relations import Relation, relate
from vega3d_ros.perception.user_text import cleaned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from vega3d_ros.core.frames import Clip
    from vega3d_ros.core.object_evidence import FrameLook
    from vega3d_ros.models.grounders.base import Detection
    from vega3d_ros.models.mllms.clip_reading import ClipReading
    from vega3d_ros.perception.clip_objects import ClipObjects
    from vega3d_ros.perception.finder import Finder
    from vega3d_ros.perception.object_prompt import ObjectPrompt
    from vega3d_ros.perception.out_of_memory import OutOfMemory
    from vega3d_ros.perception.stage_timer import StageTimer

_MOST_IN_PROMPT = 32


@dataclass(frozen=True, eq=False)
class LikeliestMatch:
    """What a text means most likely, whether or not it is thought to be here.

    Attributes:
        score: In [0, 1], the higher the likelier that it is here.
        found: What ``ground`` returns first or, where it returns nothing, the likeliest object
            that it left out; None where there is none, as where the camera is not calibrated.
        place: Frame of the clip, and row and column of the token grid, of the visual token that
            the text points at; None for a grounder without tokens.
    """

    score: float
    found: SceneObject | None
    place: tuple[int, int, int] | None


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """From which score on something counts as here.

    Attributes:
        asked: A description that somebody asks for.
        listed: Each of the queries, most of which are not here.
    """

    asked: float
    listed: float


class Scene:
    """What one clip was understood to be (made by ``Perceiver.observe``).

    Args:
        clip: The clip, as far as it was read.
        queries: What ``objects`` looks for.
        thresholds: What counts as here.
        finder: Finds things in the clip.
        measured: Answers what geometry can give; None: the language model alone answers.
        described: Resolves relational descriptions; None: the grounder alone does.
        reading: What the language model has read of it; None without a language model.
        prompt: Lets the language model read what was found; None where it was not trained to.
        gate: See below.
        frames_left_out: See below.
        out_of_memory: Halves batches of questions.
        timer: Times what is asked.

    Attributes:
        clip: The clip, as far as it was read.
        frames_left_out: Frames, the oldest, for which memory did not suffice.
        gate: [frames, rows, columns] in [0, 1], the generator's share in each fused token; None
            for a model without gate.
        reading: What the language model has read of it, or None.
    """

    def __init__(
        self,
        clip: Clip,
        *,
        queries: tuple[str, ...],
        thresholds: Thresholds,
        finder: Finder,
        measured: ClipObjects | None,
        described: ClipObjects | None,
        reading: ClipReading | None,
        prompt: ObjectPrompt | None,
        gate: NDArray[np.float32] | None,
        frames_left_out: int,
        out_of_memory: OutOfMemory,
        timer: StageTimer,
    ) -> None:
        self.clip = clip
        self.frames_left_out = frames_left_out
        self.gate = gate
        self.reading = reading
        self._queries = queries
        self._thresholds = thresholds
        self._finder = finder
        self._measured = measured
        self._described = described
        self._prompt = prompt
        self._out_of_memory = out_of_memory
        self._timer = timer

    @property
    def stages_ms(self) -> Mapping[str, float]:
        """Milliseconds of each stage so far."""
        return self._timer.stages_ms

    @property
    def looks(self) -> tuple[FrameLook, ...]:
        """What its frames see of points, of those that can tell (for the object map)."""
        return self._finder.looks

    @cached_property
    def objects(self) -> tuple[SceneObject, ...]:
        """The objects found for the queries, best first; computed once.

        Empty for a model without a grounder.
        """
        listed = self._known(self._thresholds.listed)
        return tuple(found.scene_object(self.clip) for found in distinct(listed))

    @cached_property
    def prompted(self) -> list[Detection]:
        """What may be here, best first: what the language model reads beside the clip."""
        possible = [found for found in self._finder.known if found.score >= POSSIBLE]
        return distinct(possible)[:_MOST_IN_PROMPT]

    def ground(self, text: str) -> tuple[SceneObject, ...]:
        """The objects that a description means, best first; empty where it is not here.

        Raises:
            PerceiverError: If the model finds nothing at all, or the text is empty or too long.
        """
        return self.ground_all([text])[0]

    def ground_all(self, texts: Sequence[str]) -> list[tuple[SceneObject, ...]]:
        """``ground`` for many descriptions at once, at the cost of little more than one."""
        self._prompt_with_objects()
        objects = self._described
        described = {
            index: found
            for index, text in enumerate(texts)
            if objects is not None and (found := objects.described(text)) is not None
        }
        plain = [text for index, text in enumerate(texts) if index not in described]
        if self._finder.grounds:
            self._finder.require_words(plain)
        found_plain = iter(self._finder.find(plain, self._thresholds.asked))
        return [
            described[index]
            if index in described
            else tuple(one.scene_object(self.clip) for one in next(found_plain))
            for index in range(len(texts))
        ]

    def likeliest_all(self, texts: Sequence[str]) -> list[LikeliestMatch]:
        """What each description means most likely, whether or not it is thought to be here."""
        self._prompt_with_objects()
        matches = []
        for text, (pointed, detections) in zip(texts, self._finder.likeliest(texts), strict=True):
            described = self._likeliest_described(text)
            if described is not None:
                matches.append(described)
                continue
            sure = [item for item in detections if item.score >= self._thresholds.asked]
            best = next((item.scene_object(self.clip) for item in [*sure, *detections]), None)
            if pointed is not None:
                matches.append(LikeliestMatch(pointed.score, best, pointed.place))
            else:
                matches.append(LikeliestMatch(best.score if best else 0.0, best, None))
        return matches

    def _likeliest_described(self, text: str) -> LikeliestMatch | None:
        """Of a relational description; None where it is none or nothing of the name is seen."""
        ranked = self._described.ranked(text) if self._described is not None else None
        if self._described is None or not ranked:
            return None
        meant = self._described.described(text)
        best, place = ranked[0], None
        if self.reading is not None:
            rows, columns = grid = self.reading.tokens.grid
            token = int(tokens_of(self._described.view(best), self.clip, grid)[0])
            frame, cell = divmod(token, rows * columns)
            place = (frame, *divmod(cell, columns))
        score = max(best.score, self._thresholds.asked) if meant else best.score
        return LikeliestMatch(score, best, place)

    def ask(self, question: str) -> Answer:
        """Answer a question about the clip.

        Raises:
            PerceiverError: If it cannot be answered here; or if it is empty or too long.
        """
        return self.ask_all([question])[0]

    def ask_all(self, questions: Sequence[str], max_tokens: int = 16) -> list[Answer]:
        """``ask`` for many questions at once, in at most ``max_tokens`` tokens each."""
        if not questions:
            return []
        asked = [cleaned(question, "question") for question in questions]
        self._prompt_with_objects()
        answers: dict[int, Answer] = {}
        if self._measured is not None:
            with self._timer.stage("measure"):
                for index, question in enumerate(asked):
                    answer = self._measured.answer(question)
                    if answer is not None:
                        answers[index] = replace(answer, question=questions[index])
        left = [index for index in range(len(asked)) if index not in answers]
        if left:
            said = self._said([asked[index] for index in left], max_tokens)
            for index, (text, confidence) in zip(left, said, strict=True):
                named = self._named_in(questions[index])
                answers[index] = Answer(
                    questions[index], text, confidence, named, self.clip.stamp_ns
                )
        return [answers[index] for index in range(len(asked))]

    def _said(self, questions: Sequence[str], max_tokens: int) -> list[tuple[str, float]]:
        """The language model's answers, with their confidence."""
        reading = self.reading
        if reading is None:
            msg = (
                f"{questions[0]!r} cannot be measured, and there is no language model to answer "
                "it; ask how many, how far, how large, where, which first, or whether there is "
                f"one, of: {self._finder.words()}"
            )
            raise PerceiverError(msg)
        with self._timer.stage("answer"):
            return self._out_of_memory.batched(
                lambda part: reading.answers(part, max_tokens), questions, "questions"
            )

    def relation(self, a: str, b: str, viewpoint: str = "camera") -> Relation:
        """How the best match of ``a`` lies from the best match of ``b``; see ``relate``.

        Args:
            a: Description of the thing placed.
            b: Description of the thing it is placed against.
            viewpoint: "camera", the clip's fixed frame, or the description of an object to stand
                at while facing ``b``.

        Raises:
            PerceiverError: If one of them is not here.
        """
        named = viewpoint in ("camera", self.clip.fixed_frame)
        texts = [a, b] if named else [a, b, viewpoint]
        best = []
        for text, found in zip(texts, self.ground_all(texts), strict=True):
            if not found:
                msg = f"{text!r} was not found in the clip"
                raise PerceiverError(msg)
            best.append(found[0])
        place = viewpoint if named else best[2]
        return relate(best[0], best[1], viewpoint=place, frame=self.clip.frames[-1])

    def features(self) -> Tensor:
        """Fused tokens [frames, rows, columns, D], for example for a policy.

        Raises:
            PerceiverError: Without a language model.
        """
        if self.reading is None:
            msg = "there is no language model here, so no tokens; give a model to the perceiver"
            raise PerceiverError(msg)
        return self.reading.tokens.tokens

    def _prompt_with_objects(self) -> None:
        """Let the language model read what was found, once, before all that is asked."""
        reading = self.reading
        if self._prompt is None or reading is None or reading.prefix.objects:
            return
        if self.prompted:
            with self._timer.stage("prompt"):
                self._prompt.add(reading, self.clip, self.prompted)

    def _known(self, threshold: float) -> list[Detection]:
        """What was found for the queries."""
        return [
            found
            for found in self._finder.known
            if found.query in self._queries and found.score >= threshold
        ]

    def _named_in(self, question: str) -> tuple[SceneObject, ...]:
        """The objects that a question names, plurals included."""
        words = f" {question.lower()}"
        return tuple(
            found.scene_object(self.clip)
            for found in self._known(self._thresholds.asked)
            if f" {found.query}" in words
        )
