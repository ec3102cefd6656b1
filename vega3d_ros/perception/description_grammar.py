"""Descriptions that place a thing: "the second door from the left", "the lamp by the sofa".

A description is a name, relations to other things, and a rank among the things of that name.
Every pattern is made of the word lists below; a phrase that none of them reads in full is not
relational.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from vega3d_ros.perception.noun_phrases import VIEWER, plain_name

RELATION_WORDS: dict[str, tuple[str, ...]] = {
    "near": (
        "near to", "near", "nearby", "next to", "close to", "close by", "beside", "besides", "by",
        "at", "adjacent to", "alongside", "neighbouring", "neighboring", "in the vicinity of",
        "on the side of", "at the side of",
    ),
    "left of": (
        "left of", "to the left of", "on the left of", "on the left side of",
        "to the left side of", "on the left hand side of", "left from",
    ),
    "right of": (
        "right of", "to the right of", "on the right of", "on the right side of",
        "to the right side of", "on the right hand side of", "right from",
    ),
    "in front of": ("in front of", "ahead of", "at the front of"),
    "behind": ("behind", "in back of", "at the back of", "in the back of", "to the rear of"),
    "on": ("on", "on top of", "atop", "upon", "resting on"),
    "above": ("above", "over"),
    "below": ("below",),
    "under": ("under", "underneath", "beneath"),
    "inside": ("inside", "inside of", "in", "within"),
    "touching": ("touching", "against", "leaning against", "leaning on", "in contact with"),
    "between": ("between", "in between"),
    "nearest": (
        "nearest", "nearest to", "closest", "closest to", "the shortest distance from",
        "the least distance from",
    ),
    "farthest": (
        "farthest from", "furthest from", "farthest away from", "furthest away from",
        "most distant from", "the greatest distance from", "the longest distance from",
    ),
}  # fmt: skip
RANK_WORDS: dict[str, tuple[str, ...]] = {
    "largest": ("largest", "biggest", "larger", "bigger", "most voluminous"),
    "smallest": ("smallest", "smaller", "tiniest", "littlest"),
    "tallest": ("tallest", "taller"),
    "shortest": ("shortest", "shorter"),
    "widest": ("widest", "wider", "longest", "longer"),
    "narrowest": ("narrowest", "narrower"),
    "highest": ("highest", "higher", "topmost", "uppermost", "upper"),
    "lowest": ("lowest", "bottommost", "lower"),
    "leftmost": ("leftmost", "left most", "left-most", "far left"),
    "rightmost": ("rightmost", "right most", "right-most", "far right"),
    "nearest": ("nearest", "closest", "nearer", "closer"),
    "farthest": ("farthest", "furthest", "farther", "further", "most distant", "remotest"),
}
_OPPOSITE_ENDS = {"left": "leftmost", "right": "rightmost"}
_LONGEST = 160  # characters; people say less, and patterns need time
_RANKS_BY_ANCHOR = ("nearest", "farthest")
_ORDINALS = {
    word: place
    for place, words in enumerate(
        ("first 1st", "second 2nd", "third 3rd", "fourth 4th", "fifth 5th", "sixth 6th"), start=1
    )
    for word in words.split()
}


@dataclass(frozen=True)
class Placing:
    """A relation that holds: "is <word> the <anchors>"; two anchors for "between", else one."""

    word: str
    anchors: tuple[str, ...]


@dataclass(frozen=True)
class Rank:
    """A place among the things of one name: number ``place`` of those ordered by ``word``.

    Attributes:
        word: A key of ``RANK_WORDS``.
        place: 1 for "the largest", 2 for "the second largest".
        anchor: What distances are measured to; empty: the camera.
    """

    word: str
    place: int = 1
    anchor: str = ""


@dataclass(frozen=True)
class ModelConfig:
    """What a relational description says. Anchors may be descriptions themselves.

    Attributes:
        name: Singular name with its attributes, which a detector is asked for: "red chair".
        placings: Relations that hold.
        rank: Rank among the things of that name for which they hold, or None.
    """

    name: str
    placings: tuple[Placing, ...] = ()
    rank: Rank | None = None


def alternatives(words: dict[str, tuple[str, ...]]) -> str:
    """A pattern of all phrases of a word list, the longest first."""
    phrases = {phrase for group in words.values() for phrase in group}
    return "|".join(sorted(map(re.escape, phrases), key=len, reverse=True))


_CANONICAL = {phrase: word for word, group in RELATION_WORDS.items() for phrase in group}
_RANK = {phrase: word for word, group in RANK_WORDS.items() for phrase in group}
_THE = r"(?:(?:the|a|an|any|some|that|this|my) )?"
_ORDINAL = rf"(?:(?P<ordinal>{'|'.join(_ORDINALS)}) )?"
_RANK_WORD = rf"(?P<rank>{alternatives(RANK_WORDS)})"
# "that is standing right" in "the chair that is standing right next to the table"
FILLER = (
    r"(?:(?:that|which|who) (?:is|are|stands?|sits?|lies|lie|hangs?) |that's )?"
    r"(?:(?:standing|located|placed|positioned|situated|sitting|lying|hanging|found|seen) )?"
    r"(?:(?:right|just|directly|immediately|straight|most|very) )?"
)
_RELATION = re.compile(rf"(?= {FILLER}(?:the )?(?P<relation>{alternatives(RELATION_WORDS)}) )")
_FROM_END = r"(?:from|on|to|at) (?:the |my )?(?:far |very )?(?P<end>left|right)(?: side| end)?"
_RANKED = tuple(
    re.compile(pattern)
    for pattern in (
        # the (second) largest (of the two) chair(s)
        rf"{_THE}{_ORDINAL}{_RANK_WORD} (?:of (?:the |all )?(?:two |three )?)?(?P<name>.+)",
        # the second door from the left; the chair on the far right
        rf"{_THE}{_ORDINAL}(?P<name>.+?)(?: counting| counted)? {_FROM_END}",
        # the nearest chair to the door
        rf"{_THE}{_ORDINAL}(?P<rank>nearest|closest) (?P<name>.+?) to (?P<anchor>.+)",
        rf"{_THE}{_ORDINAL}(?P<rank>farthest|furthest) (?P<name>.+?) from (?P<anchor>.+)",
    )
)


@lru_cache(maxsize=1024)  # descriptions within descriptions are met again and again
def parse_description(text: str) -> ModelConfig | None:
    """What a relational description says; None where it is not relational or not understood."""
    if len(text) > _LONGEST:
        return None
    text = " ".join(re.sub(r"[,;.!?\"()]", " ", text.lower()).split())
    return _ranked(text) or _placed(text)


def is_name(text: str) -> bool:
    """Whether a phrase names something: the viewer, a plain name or a relational description."""
    return text in VIEWER or plain_name(text) is not None or parse_description(text) is not None


def _ranked(text: str) -> ModelConfig | None:
    for pattern in _RANKED:
        found = pattern.fullmatch(text)
        if found is None:
            continue
        parts = {"rank": "", "end": "", "anchor": "", **found.groupdict()}
        name, anchor = plain_name(parts["name"]), _bare(parts["anchor"])
        if name is None or (anchor and not is_name(anchor)):
            continue
        word = _OPPOSITE_ENDS[parts["end"]] if parts["end"] else _RANK[parts["rank"]]
        place = _ORDINALS.get(parts["ordinal"] or "first", 1)
        return ModelConfig(name, rank=Rank(word, place, "" if anchor in VIEWER else anchor))
    return None


def _placed(text: str) -> ModelConfig | None:
    """A name or a ranked name, then the first relation at which both sides are names."""
    for found in _RELATION.finditer(text):
        head = text[: found.start()]
        word = _CANONICAL[found["relation"]]
        anchors = _anchors(word, text[found.end("relation") :].strip())
        name = plain_name(head)
        described = _ranked(head) or (ModelConfig(name) if name is not None else None)
        if described is None or anchors is None:
            continue
        if word not in _RANKS_BY_ANCHOR:
            return ModelConfig(described.name, (Placing(word, anchors),), described.rank)
        if described.rank is None:
            anchor = "" if anchors[0] in VIEWER else anchors[0]
            return ModelConfig(described.name, rank=Rank(word, anchor=anchor))
    return None


def _anchors(word: str, text: str) -> tuple[str, ...] | None:
    if word != "between":
        anchor = _bare(text)
        return (anchor,) if is_name(anchor) else None
    for joint in re.finditer(r" and ", text):
        pair = _bare(text[: joint.start()]), _bare(text[joint.end() :])
        if all(map(is_name, pair)):
            return pair
    return None


def _bare(text: str) -> str:
    """Without the article: "the tv" to "tv", "the largest table" to "largest table"."""
    return re.sub(rf"^{_THE}", "", text)
