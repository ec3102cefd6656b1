"""What a question asks about which things, where geometry can answer it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, cast

from vega3d_ros.perception.description_grammar import RELATION_WORDS, is_name
from vega3d_ros.perception.measured_answers.question_wording import (
    ADJECTIVES,
    FARTHER,
    MEASURES,
    SIDES,
    UNITS,
    WORDINGS,
    compiled,
)
from vega3d_ros.perception.noun_phrases import VIEWER

Kind = Literal[
    "count",
    "exists",
    "size",
    "distance",
    "compare_distance",
    "direction",
    "side",
    "relation",
    "order",
    "color",
]


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        kind: "count" and "exists": of the first thing. "size": its dimension ``word``, as
            ``uncertain_lengths.size`` takes it. "distance": between both things, or of one from
            the camera. "compare_distance": which of ``choices`` is ``word``, "nearest" or
            "farthest", to the thing. "direction": of ``choices``, where the third thing is for
            somebody at the first who faces the second. "side": of ``choices``, where the first
            thing is of the second, or for the camera. "relation": whether ``word`` holds between
            them. "order": which of ``choices`` appeared "first" or "last", or "all" in order.
            "color": of the first thing; whether it is ``word``, where that is not empty.
        things: Names or descriptions, without article.
        word: See ``kind``.
        choices: See ``kind``.
        unit: "m", "cm", "mm", "ft" or "in", where the question wants it; else empty.
        options: Lettered answers to choose from, as (letter, text).
        single_word: Whether a number alone is wanted, even where no unit is named.
    """

    kind: Kind
    things: tuple[str, ...] = ()
    word: str = ""
    choices: tuple[str, ...] = ()
    unit: str = ""
    options: tuple[tuple[str, str], ...] = ()
    single_word: bool = False


_LONGEST = 400  # characters without asides; the patterns' time grows with the square
_WORDINGS = tuple((cast("Kind", kind), compiled(wording)) for kind, wording in WORDINGS)
_FOUR_SIDES = ("left", "right", "behind", "front")
# What benchmarks say beside the question: how it is meant and how to answer.
_ASIDE = re.compile(
    r"these are frames of a video\.?"
    r"|(?:if there are multiple|an object is to my|the directions refer to)[^.?!(]*"
    r"(?:\([^)]*\))?\.?"
    r"|measuring from the closest points? of each object,?"
    r"|\((?:length|width|height)[^)]*\)|\(s\)"
    r"|answer with the option's letter.*|(?:please )?answer .*single (?:word|number).*"
    r"|do not respond anything other than a single number.*"
    r"|^(?:please|can you tell me|could you tell me|do you know),? (?=how|what|which|where|count)"
)
_SINGLE_WORD = re.compile(r"single (?:word|number)", re.IGNORECASE)
_OPTION = re.compile(r"(?:^|\s)([A-H])[.):]\s*(.+?)(?=[,;.]?\s+[A-H][.):]\s|\s*$)", re.DOTALL)
_AFTER_OPTIONS = re.compile(r"\s(?=Answer with|Please answer)")
_SIDE = re.compile("|".join(rf"(?P<s{i}>{side})" for i, side in enumerate(SIDES.values())))


def parse_question(text: str) -> Question | None:
    """What a text asks; None where it is worded in no known way.

    Args:
        text: The question, with the choices and instructions of a benchmark or without.
    """
    asked, _, listed = text.partition("Options:")
    options = tuple(
        (letter, " ".join(said.split()))
        for letter, said in _OPTION.findall(_AFTER_OPTIONS.split(listed)[0])
    )
    asked = _plain(asked)
    if len(asked) > _LONGEST:
        return None
    for kind, wording in _WORDINGS:
        found = wording.fullmatch(asked)
        read = found and _read(kind, found.groupdict(), options)
        if read:
            single = bool(_SINGLE_WORD.search(text))
            return replace(read, options=options, single_word=single)
    return None


def _plain(text: str) -> str:
    """Lower case, one line, without asides, brackets and end marks."""
    text = _ASIDE.sub(" ", " ".join(text.lower().replace("\u2019", "'").split()))
    text = re.sub(r"\s+([,.:;])", r"\1", " ".join(re.sub(r"[()\"?!]", " ", text).split()))
    return text.strip(" .,;:")


def _read(
    kind: Kind, said: dict[str, str | None], options: tuple[tuple[str, str], ...]
) -> Question | None:
    """The question of a match; None where a thing in it has no proper name."""
    things = tuple(_bare(name) for name in map(said.get, ("a", "b", "c", "of")) if name)
    if kind == "count" and said.get("relation"):
        things = (f"{things[0]} {said['relation']} the {things[1]}",)
    choices: tuple[str, ...] = ()
    if kind in ("compare_distance", "order"):
        listed = said.get("list")
        choices = _listed(listed) if listed else tuple(_bare(text.lower()) for _, text in options)
        if len(choices) < 2:
            return None
    if not all(map(is_name, (*things, *choices))):
        return None
    if kind in ("direction", "side"):
        choices = _sides(said.get("sides"))
        things = things[:3]  # "left or right of the tv" names again what is faced
    if kind == "distance" and things[-1] in VIEWER:
        things = things[:1]
    return Question(kind, things, _word(kind, said), choices, _key(UNITS, said.get("unit")))


def _word(kind: Kind, said: dict[str, str | None]) -> str:
    if kind == "size":
        return _key(ADJECTIVES, said.get("adjective")) or _key(MEASURES, said.get("measure"))
    if kind == "compare_distance":
        return "farthest" if re.fullmatch(FARTHER, said["nearer"] or "") else "nearest"
    if kind == "relation":
        return next(w for w, phrases in RELATION_WORDS.items() if said["relation"] in phrases)
    if kind == "color":
        return (said.get("hue") or "").replace("gray", "grey")
    return (said.get("end") or "all") if kind == "order" else ""


def _key(patterns: dict[str, str], said: str | None) -> str:
    """The key whose pattern reads a text; empty without a text."""
    return next((key for key, p in patterns.items() if said and re.fullmatch(p, said)), "")


def _sides(said: str | None) -> tuple[str, ...]:
    if said is None:
        return _FOUR_SIDES
    words = tuple(SIDES)
    found = [int(str(match.lastgroup)[1:]) for match in _SIDE.finditer(said)]
    return tuple(dict.fromkeys(words[index] for index in found))


def _listed(text: str) -> tuple[str, ...]:
    names = re.split(r",(?: or| and)? | (?:or|and) (?:to |from )?", text)
    return tuple(_bare(name) for name in names if name.strip())


def _bare(name: str) -> str:
    """Without the article."""
    return re.sub(r"^(?:the|an?|any|some) ", "", name.strip())
