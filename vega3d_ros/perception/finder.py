"""What texts mean in one clip, found by whichever grounder there is."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.nearest import did_you_mean
from vega3d_ros.core.object_evidence import HasLook
from vega3d_ros.models.grounders.base import PointsAtTokens
from vega3d_ros.perception.errors import PerceiverError
from vega3d_ros.perception.noun_phrases import known_name, plain_name
from vega3d_ros.perception.user_text import cleaned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vega3d_ros.core.frames import Clip
    from vega3d_ros.core.object_evidence import FrameLook
    from vega3d_ros.models.grounders.base import Detection, Grounder, PointedToken
    from vega3d_ros.models.mllms.clip_reading import ClipReading
    from vega3d_ros.perception.out_of_memory import OutOfMemory
    from vega3d_ros.perception.stage_timer import StageTimer

# A thing whose name is known may be here from this score on; the language model reads it together
# with its score.
POSSIBLE = 0.3
# Words of a vocabulary that a message names.
_NAMED = 12


class Finder:
    """Looks for texts in one clip.

    Args:
        clip: The clip.
        grounder: What finds; None where a model answers questions only.
        evidence: What the grounder kept of each frame.
        reading: What the language model has read of the clip; None without one.
        queries: What somebody looks for. A description is called by the longest that it contains.
        labels: Other names to look for; the language model reads what is found.
        out_of_memory: Halves batches of texts.
        timer: Times the stage "ground".
    """

    def __init__(
        self,
        clip: Clip,
        grounder: Grounder[Any] | None,
        evidence: Sequence[Any],
        reading: ClipReading | None,
        *,
        queries: tuple[str, ...],
        labels: Sequence[str],
        out_of_memory: OutOfMemory,
        timer: StageTimer,
    ) -> None:
        self.clip = clip
        self._grounder = grounder
        self._evidence = evidence
        self._reading = reading
        self._queries = queries
        self._labels = labels
        self._out_of_memory = out_of_memory
        self._timer = timer

    @property
    def grounds(self) -> bool:
        """Whether anything can be found."""
        return self._grounder is not None

    @property
    def looks(self) -> tuple[FrameLook, ...]:
        """What the frames see of points, of those that can tell."""
        looks = (one.look for one in self._evidence if isinstance(one, HasLook))
        return tuple(look for look in looks if look is not None)

    @property
    def vocabulary(self) -> tuple[str, ...] | None:
        """The names that can be looked for; None: any text."""
        return self._found_by().vocabulary

    @cached_property
    def known(self) -> list[Detection]:
        """All that may be here of what is looked for or known by name; computed once.

        A grounder of fixed names looks for all of them at once and leaves nothing out.
        """
        if self._grounder is None:
            return []
        names = dict.fromkeys((*self._queries, *self._labels, *(self.vocabulary or ())))
        threshold = POSSIBLE if self.vocabulary is None else 0.0
        return [found for each in self.find(list(names), threshold) for found in each]

    def word_of(self, text: str) -> str | None:
        """What the grounder is asked for a text; None where it knows no word for it."""
        if self.vocabulary is None:
            return text
        if text.lower() in self._words:
            return self._words[text.lower()]
        name = plain_name(text.lower())
        word = None if name is None else known_name(name, list(self._singulars))
        return None if word is None else self._singulars[word]

    @cached_property
    def _words(self) -> dict[str, str]:
        """Words of the vocabulary by their small letters."""
        return {word.lower(): word for word in self.vocabulary or ()}

    @cached_property
    def _singulars(self) -> dict[str, str]:
        """The same by their plain names."""
        named = ((plain_name(small), word) for small, word in self._words.items())
        return {name: word for name, word in named if name}

    def require_words(self, texts: Sequence[str]) -> None:
        """Refuse what cannot be looked for.

        Raises:
            PerceiverError: If the grounder knows no word for a text.
        """
        for text in texts:
            if self.word_of(_description(text)) is None:
                hint = did_you_mean(text, self.vocabulary or ())
                msg = f"{text!r} cannot be looked for: {self.words()} are known{hint}"
                raise PerceiverError(msg)

    def words(self) -> str:
        """What can be looked for, for a message."""
        names = self.vocabulary
        if names is None:
            return "any words"
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return ", ".join(names[:_NAMED]) + more

    def find(self, texts: Sequence[str], threshold: float) -> list[list[Detection]]:
        """Of each text what it means, the likeliest first; nothing for unknown words.

        Raises:
            PerceiverError: If nothing can be found here, or a text is empty or too long.
        """
        grounder = self._found_by()
        asked = [_description(text) for text in texts]
        words = {index: word for index, text in enumerate(asked) if (word := self.word_of(text))}
        with self._timer.stage("ground"):
            found = self._out_of_memory.batched(
                lambda part: grounder.find(
                    self.clip, self._evidence, part, threshold, self._reading
                ),
                list(words.values()),
                "texts",
            )
        by_index = dict(zip(words, found, strict=True))
        return [
            [self._named(one, text) for one in by_index.get(index, ())]
            for index, text in enumerate(asked)
        ]

    def likeliest(
        self, texts: Sequence[str]
    ) -> list[tuple[PointedToken | None, Sequence[Detection]]]:
        """Of each text all that it may mean, and the token that it points at, if there are tokens.

        Raises:
            PerceiverError: As ``find``.
        """
        grounder = self._found_by()
        if not isinstance(grounder, PointsAtTokens):
            return [(None, found) for found in self.find(texts, 0.0)]
        asked = [_description(text) for text in texts]
        with self._timer.stage("ground"):
            pointed = self._out_of_memory.batched(
                lambda part: grounder.point(self.clip, self._evidence, part, self._reading),
                asked,
                "texts",
            )
        return [
            (one, [self._named(found, text) for found in one.detections])
            for one, text in zip(pointed, asked, strict=True)
        ]

    def _found_by(self) -> Grounder[Any]:
        if self._grounder is None:
            msg = (
                "this checkpoint has no grounding head; it answers questions, but finds nothing; "
                "give a grounder beside it"
            )
            raise PerceiverError(msg)
        return self._grounder

    def _named(self, found: Detection, text: str) -> Detection:
        """With the text as its query; what is called as it was asked for gets a plain name."""
        label = found.label
        if label == found.query:
            known = [query for query in self._queries if f" {query} " in f" {text.lower()} "]
            label = max(known, key=len, default=label)
        return replace(found, label=label, query=text)


def _description(text: str) -> str:
    return " ".join(cleaned(text, "description").split())
