"""What one clip was understood to be, and what can be asked of it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.core.geometry import SE3
from vega3d_ros.core.objects import LONGEST_TEXT, Answer, SceneObject
from vega3d_ros.core.token_grid import TokenGeometry, features, level, token_geometry
from vega3d_ros.models.checkpoints.device_memory import retried
from vega3d_ros.models.grounders.merging import Candidate, distinct, group, merge, promising
from vega3d_ros.models.grounders.token_head.box_coding import decode
from vega3d_ros.models.grounders.token_head.head import presence
from vega3d_ros.perception.object_prompt import Detection, told
from vega3d_ros.perception.relations import Relation, relate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from vega3d_ros.core.frames import Clip
    from vega3d_ros.models.mllms.qwen2_5_vl.language import Prefix
    from vega3d_ros.perception.keyframe_cache import FusedFrame
    from vega3d_ros.perception.perceiver import Perceiver

# The language model is told of anything that may be here; it is told the score, too.
_TOLD_THRESHOLD = 0.3
_MOST_TOLD = 32


class PerceiverError(Vega3dError, ValueError):
    """A clip or a question that cannot be used; the message says what to change."""


@dataclass(frozen=True, eq=False)
class PointedToken:
    """The token that a query points at, before boxes are merged.

    Attributes:
        frame: Index of the frame in the clip.
        row: Row of the token.
        column: Column of the token.
        score: Probability in [0, 1] that the token shows what is meant.
        found: What ``ground`` returns first or, where it returns nothing, the likeliest object
            that it left out; None where the camera is not calibrated.
    """

    frame: int
    row: int
    column: int
    score: float
    found: SceneObject | None


class Scene:
    """What one clip was understood to be.

    Attributes:
        clip: The clip.
        gate: [frames, rows, columns] in [0, 1], the generator's share in each fused token; None
            for a model without gate.
        stages_ms: Milliseconds of each stage so far.
    """

    def __init__(self, perceiver: Perceiver, clip: Clip) -> None:
        self.clip = clip
        self.gate: NDArray[np.float32] | None = None
        self.stages_ms: dict[str, float] = {}
        self._perceiver = perceiver
        self._modules = perceiver.modules
        self._language = perceiver.modules.language
        self._queries = tuple(_clean(query, "query") for query in perceiver.queries)
        self._geometry: list[TokenGeometry | None] = []
        self._tokens: Tensor
        self._seen: Tensor
        self._features: Tensor
        self._prefix: Prefix

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to ``stages_ms``."""
        start = time.perf_counter()
        yield
        spent = (time.perf_counter() - start) * 1e3
        self.stages_ms[name] = self.stages_ms.get(name, 0.0) + spent

    def take_newest(self, kept: list[FusedFrame]) -> None:
        """:meth:`take` the newest half of the clip, which becomes the scene's clip."""
        half = -(-len(kept) // 2)
        self.clip = replace(self.clip, frames=self.clip.frames[-half:])
        self.take(kept[-half:])

    @torch.inference_mode()
    def take(self, kept: list[FusedFrame], earlier: Scene | None = None) -> None:
        """Read the clip's fused tokens into the language model (called by ``observe``).

        Args:
            kept: Of each frame.
            earlier: A scene whose reading is used as far as it is the same.
        """
        tokens = torch.stack([fused.tokens for fused in kept])
        if kept[0].gate is not None:
            gates = [fused.gate for fused in kept if fused.gate is not None]
            self.gate = torch.stack(gates).float().cpu().numpy()
        count, rows, columns, dim = tokens.shape
        self._geometry = [token_geometry(frame, rows, columns) for frame in self.clip.frames]
        reference = level(self.clip.frames[-1].pose)[1] if self.clip.fixed_frame else None
        values = np.stack([features(g, reference, (rows, columns)) for g in self._geometry])
        self._features = torch.from_numpy(values).to(tokens).view(count * rows * columns, -1)
        self._tokens = tokens.view(-1, dim)
        seen = self._tokens
        if self._modules.positions is not None:
            seen = seen + self._modules.positions(self._features)
        if self._modules.settings.get("blind"):
            seen = torch.zeros_like(seen)  # a baseline that was trained without images
        self._seen = seen.view(count, rows, columns, dim)
        self._language = self._language.on_grid(rows, columns)
        same_model = earlier is not None and earlier._modules is self._modules  # noqa: SLF001
        read = earlier._prefix if earlier is not None and same_model else None  # noqa: SLF001
        self._prefix = self._language.read(self._seen, read)

    @torch.inference_mode()
    def logits(self, ids: Tensor) -> Tensor:
        """Logits [1, L, vocabulary] of a sequence of token ids [1, L] about this clip.

        To hold a model against another implementation; ``ask`` does not run a sequence anew.
        """
        return self._language.logits(self._seen, ids)

    @cached_property
    def objects(self) -> tuple[SceneObject, ...]:
        """The objects found for the perceiver's queries, best first; computed once.

        Empty for a model without a grounding head.
        """
        threshold = self._perceiver.listing_threshold
        sure = [
            item.object
            for item in self._everything
            if item.object.query in self._queries and item.object.score >= threshold
        ]
        return tuple(sure[i] for i in distinct(sure))

    @cached_property
    def findings(self) -> list[Detection]:
        """What the language model is told of: all that may be here, best first."""
        every = self._everything
        return [every[i] for i in distinct([item.object for item in every])][:_MOST_TOLD]

    @cached_property
    def _everything(self) -> list[Detection]:
        """All that may be here of what the model knows by name and of what is looked for."""
        if not self._perceiver.grounds:
            return []
        known = self._modules.settings.get("labels", ())
        queries = list(dict.fromkeys((*self._queries, *known)))
        return [item for found in self._find(queries, _TOLD_THRESHOLD) for item in found]

    def ground(self, text: str) -> tuple[SceneObject, ...]:
        """The objects that a description means, best first; empty where it is not here.

        Raises:
            PerceiverError: If the model has no grounding head.
        """
        return self.ground_all([text])[0]

    def ground_all(self, texts: Sequence[str]) -> list[tuple[SceneObject, ...]]:
        """``ground`` for many descriptions at once, at the cost of little more than one."""
        self._tell()
        return [
            tuple(item.object for item in found)
            for found in self._find(texts, self._perceiver.threshold)
        ]

    def _find(self, texts: Sequence[str], threshold: float) -> list[list[Detection]]:
        return [
            self._merge(text, sightings, threshold)
            for text, _, sightings in self._search(texts, threshold)
        ]

    def locate_all(self, texts: Sequence[str]) -> list[PointedToken]:
        """The token that each description points at, whether or not it is thought to be here."""
        self._tell()
        located = []
        rows, columns = self._language.grid
        for text, scores, sightings in self._search(texts, 0.0):
            best = int(scores.argmax())
            frame, cell = divmod(best, rows * columns)
            found = [item.object for item in self._merge(text, sightings, 0.0)]
            sure = [item for item in found if item.score >= self._perceiver.threshold]
            located.append(
                PointedToken(
                    frame,
                    *divmod(cell, columns),
                    float(scores[best]),
                    next(iter([*sure, *found]), None),
                )
            )
        return located

    def ask(self, question: str) -> Answer:
        """Answer a question about the clip."""
        return self.ask_all([question])[0]

    @torch.inference_mode()
    def ask_all(self, questions: Sequence[str], max_tokens: int = 16) -> list[Answer]:
        """``ask`` for many questions at once, in at most ``max_tokens`` tokens each."""
        if not questions:
            return []
        asked = [_clean(question, "question") for question in questions]
        self._tell()
        with self.stage("answer"):
            answer = self._language.answers
            answers = retried(
                lambda: answer(self._prefix, asked, max_tokens),
                lambda: [
                    pair for text in asked for pair in answer(self._prefix, [text], max_tokens)
                ],
                lambda said: self._perceiver.free(f"{said}; questions are answered one by one"),
            )
        return [
            Answer(question, text, confidence, self._spoken_of(question), self.clip.stamp_ns)
            for question, (text, confidence) in zip(asked, answers, strict=True)
        ]

    @torch.inference_mode()
    def _tell(self) -> None:
        """Let the language model read what was found, once.

        It comes before all questions and descriptions, which read it too.
        """
        module, language = self._modules.objects, self._language
        if module is None or self._prefix.objects or self._modules.settings.get("blind"):
            return
        findings = self.findings
        if not findings:
            return
        with self.stage("tell"):
            values, shown = self.told(findings)
            weights = torch.from_numpy(shown).to(self._tokens)
            tokens = module(
                language.words([item.object.label for item in findings]),
                module.colors(weights @ self._tokens),
                language.words(self._modules.settings["colors"]),
                torch.from_numpy(values).to(self._tokens),
            )
            self._prefix = language.tell(self._prefix, tokens)

    def told(
        self, findings: Sequence[Detection]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What the language model is told of findings; see :func:`telling.told`."""
        newest = self._geometry[-1]
        reference = SE3.identity()
        if newest is not None:
            pose = newest.fixed_from_level if self.clip.fixed_frame else None
            reference = pose.inverse() if pose else SE3(newest.level_from_optical, np.zeros(3))
        return told(findings, reference, len(self.clip), len(self._tokens))

    def relation(self, a: str, b: str, viewpoint: str = "camera") -> Relation:
        """How the best match of ``a`` lies from the best match of ``b``; see ``scene.relations``.

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

    def _spoken_of(self, question: str) -> tuple[SceneObject, ...]:
        """Objects of the known labels that a question names, plurals included."""
        words = f" {question.lower()}"
        return tuple(
            found
            for found, _ in self._everything
            if found.score >= self._perceiver.threshold
            and found.query in self._queries
            and f" {found.query}" in words
        )

    @torch.inference_mode()
    def _search(
        self, texts: Sequence[str], threshold: float
    ) -> list[tuple[str, NDArray[np.float32], list[Candidate]]]:
        """For each text: presence of every token [T], and placed proposals of the promising ones.

        Where no token reaches the threshold, none is promising.
        """
        if not texts:
            return []
        asked = [" ".join(_clean(text, "description").split()) for text in texts]
        head = self._modules.grounding
        if head is None:
            msg = "this checkpoint has no grounding head; it answers questions, but finds nothing"
            raise PerceiverError(msg)
        with self.stage("ground"):
            search = self._language.ground_states
            states = retried(
                lambda: search(self._prefix, asked),
                lambda: torch.cat([search(self._prefix, [text]) for text in asked]),
                lambda said: self._perceiver.free(f"{said}; texts are searched one by one"),
            )
            scores = presence(head.scores(self._tokens, self._features, states)).cpu().numpy()
            pairs = [
                (query, int(token))
                for query, row in enumerate(scores)
                if row.max() >= threshold
                for token in promising(row, len(self.clip))
            ]
            numbers = torch.tensor(pairs, dtype=torch.long, device=states.device).view(-1, 2)
            queries, tokens = numbers[:, 0], numbers[:, 1]
            raw = head.boxes(self._tokens[tokens], self._features[tokens], states[queries])
            sightings: list[list[Candidate]] = [[] for _ in texts]
            for (query, token), values in zip(pairs, raw.cpu().numpy(), strict=True):
                sighting = self._place(token, float(scores[query, token]), values)
                if sighting is not None:
                    sightings[query].append(sighting)
        return list(zip(asked, scores, sightings, strict=True))

    def _place(self, token: int, score: float, raw: NDArray[np.float32]) -> Candidate | None:
        rows, columns = self._language.grid
        index, cell = divmod(token, rows * columns)
        geometry = self._geometry[index]
        last = len(self.clip) - 1
        if geometry is None or (not self.clip.fixed_frame and index != last):
            return None
        pose = geometry.fixed_from_level if self.clip.fixed_frame else None
        return Candidate(
            token,
            index,
            self.clip.frames[index].stamp_ns,
            score,
            decode(geometry, *divmod(cell, columns), raw),
            pose or SE3.identity(),
        )

    def _merge(self, text: str, sightings: list[Candidate], threshold: float) -> list[Detection]:
        output_from_working = SE3.identity()
        if not self.clip.fixed_frame and self._geometry[-1] is not None:
            output_from_working = SE3(self._geometry[-1].level_from_optical.T, np.zeros(3))
        return [
            Detection(
                merge(one, self._label(text), text, self.clip.output_frame, output_from_working),
                one,
            )
            for one in group(sightings, threshold)
        ]

    def _label(self, text: str) -> str:
        """The longest known label that a description contains, else the description."""
        known = [q for q in self._queries if f" {q} " in f" {text.lower()} "]
        return max(known, key=len, default=text)


def _clean(text: str, what: str) -> str:
    lines = (" ".join(line.split()) for line in text.splitlines())
    cleaned = "\n".join(line for line in lines if line)
    if not cleaned:
        msg = f"the {what} is empty"
        raise PerceiverError(msg)
    if len(cleaned) > LONGEST_TEXT:
        msg = f"the {what} has {len(cleaned)} characters; {LONGEST_TEXT} are allowed"
        raise PerceiverError(msg)
    return cleaned
