"""Questions that geometry can answer: from text to what is asked about which things.

One table of patterns reads the wording of VSI-Bench (arXiv 2412.14171), of the simulator and its
paraphrases. In a pattern ``{a}`` is the name or description of a thing, ``{list}`` several of them,
``{unit}`` a unit of length, ``{place}`` an optional "in the video"; ``{be}``, ``{see}`` and so on
stand for the word lists below. A pattern must read the whole question, and every thing must be
named as :mod:`~vega3d_ros.perception.noun_phrases` or
:mod:`~vega3d_ros.perception.description_grammar` know names; else the next one is tried.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from vega3d_ros.perception.description_grammar import FILLER, RELATION_WORDS, is_name
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
]
UNITS: dict[str, float] = {"m": 1.0, "cm": 0.01, "mm": 0.001, "ft": 0.3048, "in": 0.0254}
"""Metres of each unit."""


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        kind: "count" and "exists" (of ``things[0]``); "size" (``word``: a dimension of
            ``uncertain_lengths.size``); "distance" (between both things, or from the camera to
            the only one); "compare_distance" (``word``: "nearest" or "farthest" of ``choices`` to
            ``things[0]``, or to the camera); "direction" (standing at the first thing, facing the
            second: where is the third); "side" (which of ``choices`` is the first thing of the
            second, or of the camera); "relation" (``word`` holds between the things: yes or no);
            "order" (of appearance of ``choices``; ``word``: "first", "last", or "all").
        things: Names or descriptions.
        word: See ``kind``.
        choices: What the answer is one of (of order "all": what is put in order).
        unit: The key of ``UNITS`` that the answer is wanted in; empty: free.
        options: Lettered answers to choose from, as (letter, text).
        number_only: Whether nothing but a number is wanted.
    """

    kind: Kind
    things: tuple[str, ...] = ()
    word: str = ""
    choices: tuple[str, ...] = ()
    unit: str = ""
    options: tuple[tuple[str, str], ...] = ()
    number_only: bool = False


def _any(*words: str) -> str:
    return f"(?:{'|'.join(words)})"


_UNIT_WORDS = {
    "m": "metres?|meters?|m",
    "cm": "centimetres?|centimeters?|cms?",
    "mm": "millimetres?|millimeters?|mm",
    "ft": "foot|feet|ft",
    "in": "inch|inches",
}
_DIMENSIONS = {
    "longest": "large|big|long(?= (?:is )?(?:the )?longest)",
    "height": "tall|high",
    "width": "wide|broad|long",
    "depth": "deep",
}
_MEASURES = {
    "longest": "size|(?:length of (?:the|its) )?(?:longest|largest) (?:side|dimension|edge|extent)",
    "height": "height",
    "width": "width|breadth|length",
    "depth": "depth",
}
_WORDS = {
    "an": r"(?:(?:what|which) (?:is|are|was)|what's|tell me|give me|say|estimate|measure)",
    "be": _any("is", "are", "was", "were"),
    "see": _any("see", "find", "spot", "observe", "count", "notice"),
    "who": _any("you", "i", "we", "the camera", "the robot", "one"),
    "unit": rf"(?P<unit>{'|'.join(_UNIT_WORDS.values())})",
    "in_unit": rf"(?:,? (?:measured |expressed |given )?in (?P<unit>{'|'.join(_UNIT_WORDS.values())}))?",
    "place": r"(?: (?:(?:in|within|of|from|on) (?:the|this|that|these|your|my) "
    r"(?:whole |entire |same )?(?:video|room|scene|clip|frames?|image|picture|view|camera view)"
    r"|here|around(?: here)?|there|visible|present|in view|in total|altogether))*",
    "nearer": r"(?:the )?(?P<nearer>nearer|nearest|closer|closest|farther|farthest|further|furthest"
    r"|more distant|most distant|less far|least far)(?: away)?(?: to| from| towards?)?",
    "away": r"(?: away)?(?: from| to)?",
    "stand": r"(?:(?:if|when|suppose|imagine|assume|say)? ?(?:that )?"
    r"(?:i|you|we|one|someone)?(?: am| are| is|'m|'re|'s)? ?(?:standing|stand|stands|stood|positioned)"
    r"|from) (?:at|by|near|next to|beside|close to|in front of|in the place of|on)?",
    "face": r"(?:,|(?:,? (?:and|while)))? ?(?:i |you )?(?:am |are |'m )?"
    r"(?:facing|face|looking at|look at|looking towards?|look towards?|turned to|turn to|towards?)",
    "sides": r"(?P<sides>[a-z ,'-]*(?:left|right|behind|back|front|ahead)[a-z ,'-]*)",
    "relation": rf"{FILLER}(?P<relation>"
    + "|".join(
        sorted(
            (
                phrase
                for word, phrases in RELATION_WORDS.items()
                if word not in ("nearest", "farthest", "between")
                for phrase in phrases
            ),
            key=len,
            reverse=True,
        )
    )
    + ")",
    "appear": _any(
        "appears?", "comes?", "shows? up", "is seen", "is shown", "is visible", "appeared", "came",
        "do (?:you|we|i) see", "did (?:you|we|i) see", "can be seen", "was seen", "is visible",
    ),
    "group": r"(?:(?:of (?:the|these|those) )?(?:two |three |four |following )?"
    r"(?:objects|things|items|categories|ones|two|three|four)?,?:? ?)",
}  # fmt: skip

_PATTERNS: tuple[tuple[Kind, str, str], ...] = (
    # kind, word, wording
    ("direction", "", "{stand} {a}{face} {b}[,.:;]? (?:then )?{be} {c} {sides}"),
    ("direction", "", "{stand} {a}{face} {b}[,.:;]? (?:then )?where {be} {c}"),
    ("direction", "", "{be} {c} {sides} (?:if|when) {stand} {a}{face} {b}"),
    ("direction", "", "{stand} {a}{face} {b}[,.:;]? (?:in )?(?:which|what) direction {be} {c}"),
    ("order", "all", "(?:what|in (?:what|which)) (?:will be |is |was )?(?:the )?(?:first-time |first "
     "time )?(?:appearance )?order (?:of appearance )?(?:of |do |did )?(?:the )?{group}{place},?:? "
     "?{list}(?: appear)?{place}"),
    ("order", "all", "(?:in (?:what|which) order) (?:do|did) {list} (?:first )?appear{place}"),
    ("order", "{end}", "(?:which|what)(?: one| thing| object)? ?{group}{appear} {end}{place}[,:]? "
     "{list}"),
    ("order", "{end}", "(?:which|what)(?: one| thing| object)? {appear} {end}{place}[,:]? {list}"),
    ("compare_distance", "", "(?:which|what|who)(?: one| thing| object)? ?{group}{be} {nearer} {a}"
     "[,:] {list}"),
    ("compare_distance", "", "(?:which|what) {group}{list} {be} {nearer} {a}"),
    ("compare_distance", "", "(?:which|what)(?: one| thing| object)? ?{group}{be} {nearer} {a}"),
    ("compare_distance", "", "{be} {list} {nearer} {a}"),
    ("compare_distance", "", "{be} {a} {nearer} {list}"),
    ("distance", "", "how far (?:away |apart )?{be} {a}(?: away)? (?:from|and|to) {b}{in_unit}"),
    ("distance", "", "how close {be} {a} to {b}{in_unit}"),
    ("distance", "", "how many {unit} (?:{be} )?(?:it |there )?(?:lie )?between {a} and {b}"),
    ("distance", "", "how many {unit} {be} (?:there between )?{a} (?:away )?(?:from|and|to) {b}"),
    ("distance", "", "{an} (?:the )?(?:\\w+ )?distance (?:from|between|of) {a} (?:to|and|from) {b}"
     "{in_unit}"),
    ("distance", "", "how far (?:away )?{be} {a}(?: away)?{in_unit}"),
    ("distance", "", "how many {unit} away {be} {a}"),
    ("size", "{dimension}", "how {dimension} {be} (?:the longest (?:side|dimension|edge) of )?{a}"
     "{in_unit}"),
    ("size", "{dimension}", "how many {unit} {dimension} {be} {a}"),
    ("size", "{dimension}", "how many {unit} {be} {a} {dimension}"),
    ("size", "{measure}", "(?:{an} )?(?:the )?(?:length of the )?{measure} (?:of|has) {a}{in_unit}"),
    ("count", "", "how many {a}(?: {be} there| {be}| (?:do|can|could|did) {who} {see}| exist)?"
     "{place}"),
    ("count", "", "count (?:all |up )?(?:of )?{a}{place}"),
    ("count", "", "(?:{an} )?(?:the )?(?:total )?(?:number|amount|count) of {a}{place}"),
    ("side", "", "{be} {a} {sides}"),
    ("side", "", "where {be} {a}(?: relative to| with respect to| compared to| from)? {b}"),
    ("side", "", "(?:on )?(?:which|what) side of {b} {be} {a}"),
    ("relation", "", "{be} {a} {relation} {b}"),
    ("exists", "", "{be} there (?:also )?{a}{place}"),
    ("exists", "", "(?:do|can|could|did) {who} {see} {a}{place}"),
    ("exists", "", "does (?:the|this) (?:video|room|scene|clip|image|picture) "
     "(?:show|have|contain|include) {a}"),
    ("exists", "", "{be} {a} (?:in (?:the|this) (?:video|room|scene|clip|image|picture)|visible"
     "|present|here|there)"),
)  # fmt: skip

# A name may hold relations ("the chair farthest from the bed"), yet never ends within one.
_CUT_OFF = "".join(
    f"(?<! {word})"
    for word in ("nearest", "closest", "farthest", "furthest", "next", "left", "away", "front")
)
_NAME = r"[a-z][a-z0-9' -]*?" + _CUT_OFF
_SIDE_WORDS = {
    "front-left": "front[- ]left", "front-right": "front[- ]right",
    "back-left": "back[- ]left|rear[- ]left", "back-right": "back[- ]right|rear[- ]right",
    "left": "left", "right": "right", "behind": "behind|back|rear",
    "front": "in front|front|ahead",
}  # fmt: skip
_SIDE = re.compile("|".join(rf"(?P<w{i}>\b(?:{p})\b)" for i, p in enumerate(_SIDE_WORDS.values())))
_FOUR_SIDES = ("left", "right", "behind", "front")
_ASIDE = re.compile(
    r"these are frames of a video\.?"
    r"|answer with the option's letter[^\n]*"
    r"|(?:please )?answer (?:the question )?(?:using|with|in) a single[^\n]*"
    r"|do not respond anything other than a single number\W*"
    r"|(?:if there are multiple|an object is to my|the directions refer to)[^.?!]*(?:\([^)]*\))?\.?"
    r"|measuring from the closest points? of each object,?"
    r"|\((?:length|width|height)[^)]*\)|\(s\)"
    r"|^(?:please|can you tell me|could you tell me|do you know),? (?=how|what|which|where|count)"
)
_SINGLE = re.compile(r"single (?:word|number)|do not respond anything other")
_OPTION = re.compile(r"(?:^|\s)([A-H])[.):]\s*(.+?)(?=[,;.]?\s+[A-H][.):]\s|\s*$)", re.DOTALL)
_FARTHER = re.compile(r"far|fur|distant")


def parse_question(text: str) -> Question | None:
    """What a text asks; None where it is worded in no known way."""
    question, _, listed = text.partition("Options:")
    after = _ASIDE_END.split(listed)[0]
    options = tuple((letter, " ".join(said.split())) for letter, said in _OPTION.findall(after))
    number_only = bool(_SINGLE.search(text.lower()))
    asked = _plain(question)
    for kind, word, pattern in _COMPILED:
        found = pattern.fullmatch(asked)
        if found is not None:
            read = _read(kind, word, found.groupdict(), options)
            if read is not None:
                return replace(read, options=options, number_only=number_only)
    return None


_ASIDE_END = re.compile(r"\n\s*(?=Answer with|Please answer)")


def _plain(text: str) -> str:
    text = _ASIDE.sub(" ", " ".join(text.lower().replace("\u2019", "'").split()))
    text = re.sub(r"[()\"?!]", " ", text)
    text = re.sub(r"\s+([,.:;])", r"\1", " ".join(text.split()))
    return text.strip(" .,;:")


def _compile(wording: str) -> re.Pattern[str]:
    named = {letter: rf"(?P<{letter}>{_NAME})" for letter in "abc"}
    ends = {
        "end": "(?P<end>first|last)",
        "dimension": f"(?P<dimension>{'|'.join(_DIMENSIONS.values())})",
        "measure": f"(?P<measure>{'|'.join(_MEASURES.values())})",
        "list": r"(?P<list>[a-z][a-z0-9' ,-]*?)",
    }
    return re.compile(wording.format(**_WORDS, **named, **ends))


_COMPILED = tuple((kind, word, _compile(wording)) for kind, word, wording in _PATTERNS)


def _read(
    kind: Kind, word: str, parts: dict[str, str | None], options: tuple[tuple[str, str], ...]
) -> Question | None:
    """The question of a match; None where a thing in it has no proper name."""
    things = tuple(_bare(name) for name in (parts.get(k) for k in "abc") if name)
    choices: tuple[str, ...] = ()
    if "list" in parts:
        choices = _listed(parts["list"] or "")
    elif kind in ("compare_distance", "order"):
        choices = tuple(_bare(said.lower()) for _, said in options)
    if kind in ("compare_distance", "order") and len(choices) < 2:
        return None
    if kind == "compare_distance":
        word = "farthest" if _FARTHER.search(parts["nearer"] or "") else "nearest"
        if parts["nearer"] in ("less far", "least far"):
            word = "nearest"
    if kind == "order":
        word = parts.get("end") or word
    if kind == "size":
        word = _size_word(parts)
    if not all(is_name(name) for name in (*things, *choices)):
        return None
    if kind in ("direction", "side"):
        return _with_sides(kind, things, parts.get("sides"))
    if kind == "relation":
        word = next(w for w, phrases in RELATION_WORDS.items() if parts["relation"] in phrases)
    if kind == "distance" and things[-1] in VIEWER:
        things = things[:1]
    return Question(kind, things, word, choices, _unit(parts.get("unit")))


def _size_word(parts: dict[str, str | None]) -> str:
    for table, said in ((_DIMENSIONS, parts.get("dimension")), (_MEASURES, parts.get("measure"))):
        for word, pattern in table.items():
            if said and re.fullmatch(pattern.split("(?=")[0], said):
                return word
    return "longest"


def _with_sides(kind: Kind, things: tuple[str, ...], said: str | None) -> Question | None:
    """The sides to choose from; "to the left of the tv" names what they are told of."""
    if said is None:
        return Question(kind, things, choices=_FOUR_SIDES)
    words = list(_SIDE_WORDS)
    found = list(_SIDE.finditer(said))
    choices = tuple(dict.fromkeys(words[int((m.lastgroup or "w0")[1:])] for m in found))
    rest = said[found[-1].end() :].strip(" ,") if found else ""
    anchor = (
        _bare(re.sub(r"^(?:side )?of ", "", rest)) if rest.startswith(("of ", "side of")) else ""
    )
    between = re.sub(
        r"\b(?:to|the|my|your|on|or|of|in|is|it|at|me|you|side|hand)\b|[ ,-]",
        "",
        _SIDE.sub("", said[: found[-1].end()] if found else said),
    )
    if between or len(choices) < 2 or (rest and not anchor and rest not in VIEWER):
        return None
    if kind == "direction" or not anchor:
        return Question(kind, things, choices=choices)
    return Question(kind, (*things, anchor), choices=choices) if is_name(anchor) else None


def _listed(text: str) -> tuple[str, ...]:
    names = re.split(r", (?:or |and )?|,| or (?:to |from )?", text)
    return tuple(_bare(name.strip()) for name in names if name.strip())


def _unit(said: str | None) -> str:
    if said is None:
        return ""
    return next(unit for unit, pattern in _UNIT_WORDS.items() if re.fullmatch(pattern, said))


def _bare(name: str) -> str:
    """Without the article."""
    return re.sub(r"^(?:the|a|an|any|some|my) ", "", name.strip())
