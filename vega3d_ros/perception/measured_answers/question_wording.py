"""How questions that geometry can answer are worded: one table of patterns over word lists.

The table reads the wording of VSI-Bench (arXiv 2412.14171), of the simulator, and paraphrases of
both. In a wording, ``{a}``, ``{b}``, ``{c}`` and ``{of}`` are names or descriptions of things,
``{list}`` several of them, ``{place}`` an optional "in the video"; the other braces stand for the
word lists below, most of which may be read in the match by their own name.
"""

from __future__ import annotations

import re

from vega3d_ros.models.detectors.color_names import COLOR_NAMES
from vega3d_ros.perception.description_grammar import FILLER, RELATION_WORDS, alternatives

UNITS = {
    "m": r"metres?|meters?|m",
    "cm": r"centimetres?|centimeters?|cms?",
    "mm": r"millimetres?|millimeters?|mm",
    "ft": r"foot|feet|ft",
    "in": r"inch(?:es)?",
}
ADJECTIVES = {
    "longest": "large|big",
    "height": "tall|high",
    "width": "wide|broad|long",
    "depth": "deep",
}
MEASURES = {
    "longest": r"size|(?:longest|largest) (?:side|dimension|edge|extent)",
    "height": "height",
    "width": "width|breadth|length",
    "depth": "depth",
}
SIDES = {
    "front-left": "front[- ]left",
    "front-right": "front[- ]right",
    "back-left": "(?:back|rear)[- ]left",
    "back-right": "(?:back|rear)[- ]right",
    "left": "left",
    "right": "right",
    "behind": "behind|back|rear",
    "front": "in front|front|ahead",
}
FARTHER = "farther|farthest|further|furthest|more distant|most distant"
NEARER = "nearer|nearest|closer|closest|less far|least far"


def _any(*patterns: str) -> str:
    return f"(?:{'|'.join(patterns)})"


def _named(group: str, *patterns: str) -> str:
    return f"(?P<{group}>{'|'.join(patterns)})"


# A name may hold relations ("the chair farthest from the bed"), yet never ends within one.
_UNFINISHED = ("nearest", "closest", "farthest", "furthest", "next", "left", "away", "front")
_NAME = (
    r"(?:(?:the|an?|any|some) )?(?!(?:the|an?|any|some)\b)[a-z][a-z0-9' -]*?"
    + "".join(f"(?<! {word})" for word in _UNFINISHED)
)  # fmt: skip
_SIDE = (
    rf"(?:(?:to|on|at|in) )?(?:(?:the|my|your) )?{_any(*SIDES.values())}"
    r"(?: hand)?(?: side)?(?: of)?(?: me| you)?"
)
_UNIT = _named("unit", *UNITS.values())
_VIDEO = _any("video", "room", "scene", "clip", "frames?", "image", "picture", "(?:camera )?view")
_NOT_OF_TWO = ("nearest", "farthest", "between")
_OF_TWO = {word: said for word, said in RELATION_WORDS.items() if word not in _NOT_OF_TWO}

_LISTS = {
    **{letter: _named(letter, _NAME) for letter in "abc"},
    "of": rf"(?: (?:of )?{_named('of', _NAME)})?",
    "list": r"(?P<list>[a-z][a-z0-9' ,-]*?)",
    "unit": _UNIT,
    "in_unit": rf"(?:,? (?:measured |expressed |given )?in {_UNIT})?",
    "adjective": _named("adjective", *ADJECTIVES.values()),
    "measure": _named("measure", *MEASURES.values()),
    "sides": _named("sides", rf"{_SIDE}(?:,? ?(?:or|and)? {_SIDE})+"),
    "relation": FILLER + _named("relation", alternatives(_OF_TWO)),
    "nearer": rf"(?:the )?{_named('nearer', FARTHER, NEARER)}(?: away)?(?: to| from| towards?)?",
    "from": _any("from", "between", "of"),
    "end": _named("end", "first", "last"),
    "colour": "(?:main )?colou?r",
    "hue": _named("hue", *COLOR_NAMES, "gray"),
    "ask": _any("(?:what|which) {be}", "what's", "tell me", "give me", "estimate", "measure"),
    "be": _any("is", "are", "was", "were"),
    "see": _any("see", "find", "spot", "observe", "count", "notice"),
    "do": _any("do", "can", "could", "did"),
    "who": _any("you", "i", "we", "the camera", "the robot", "one"),
    "video": _any("the", "this") + " " + _VIDEO,
    "place": rf"(?: (?:(?:in|within|from|on) (?:the|this|that|these|your|my) (?:whole |entire )?"
    rf"{_VIDEO}|here|around(?: here)?|there|visible|present|in view|in total|altogether))*",
    "which": r"(?:which|what)(?: one| thing| object| item)?",
    "group": r"(?: of)?(?: the| these| those)?(?: two| three| four)?(?: following)?"
    r"(?: objects| things| items| categories| ones)?:?",
    "appear": _any(
        "appears?", "appeared", "comes?", "came", "shows? up", "{be} (?:seen|shown|visible)",
        "can be seen", "{do} {who} {see}",
    ),
    "order": r"(?:first[- ]time )?(?:appearance )?order(?: of appearance)?",
    "stand": r"(?:(?:if|when|suppose|imagine|assume) )?(?:that )?(?:(?:i|you|we|one)(?:'m|'re)? )?"
    r"(?:(?:am|are|is) )?(?:standing|stand|stands|stood|positioned)"
    r"(?: at| by| near| next to| beside| close to| in front of)?",
    "facing": r",?(?: and| while)?(?: i| you)?(?: am| are)? "
    r"(?:facing|face|looking (?:at|to|towards?)|look (?:at|to|towards?)|turned to|turn to)",
}  # fmt: skip

_STANDING = "{stand} {a}{facing} {b}"
WORDINGS: tuple[tuple[str, str], ...] = (
    ("direction", _STANDING + "[,.:;]? (?:then )?{be} {c} {sides}{of}"),
    ("direction", "{be} {c} {sides}(?:,? if|,? when) " + _STANDING),
    ("direction", _STANDING + "[,.:;]? (?:then )?(?:where|in (?:what|which) direction) {be} {c}"),
    ("order", "{ask} (?:the )?{order}(?: of)?{group}{place},?:? {list}"),
    ("order", "what will be (?:the )?{order}(?: of)?{group}{place},?:? {list}"),
    ("order", "in (?:what|which) order (?:do|did|will) {list} (?:first )?appear{place}"),
    ("order", "{which}{group} {appear} {end}{place}[,:]? {list}"),
    ("order", "{which}{group} {appear} {end}{place}"),
    ("compare_distance", "{which}{group} {be} {nearer} {a}[,:] {list}"),
    ("compare_distance", "{which}{group} {list},? {be} {nearer} {a}"),
    ("compare_distance", "{which}{group} {be} {nearer} {a}"),
    ("compare_distance", "{be} {list} {nearer} {a}"),
    ("compare_distance", "{be} {a} {nearer} {list}"),
    ("distance", "how far (?:away |apart )?{be} {a}(?: away)? (?:from|and|to) {b}{in_unit}"),
    ("distance", "how close {be} {a} to {b}{in_unit}"),
    ("distance", "how many {unit} (?:{be} |lie )?(?:there )?between {a} and {b}"),
    ("distance", "how many {unit} (?:away )?{be} {a} (?:away )?(?:from|and|to) {b}"),
    ("distance", "{ask} (?:the )?(?:\\w+ )?distance {from} {a} (?:to|and|from) {b}{in_unit}"),
    ("distance", "how far (?:away )?{be} {a}(?: away)?{in_unit}"),
    ("distance", "how many {unit} away {be} {a}"),
    ("size", "how long {be} the {measure} of {a}{in_unit}"),
    ("size", "how {adjective} {be} {a}{in_unit}"),
    ("size", "how many {unit} {adjective} {be} {a}"),
    ("size", "how many {unit} {be} {a} {adjective}"),
    ("size", "(?:{ask} )?(?:the )?(?:length of the )?{measure} of {a}{in_unit}"),
    ("count", "how many {a} {be} {relation} {b}"),
    ("count", "how many {a}(?: {be} there| {be}| {do} {who} {see}| exist)?{place}"),
    ("count", "count (?:all |up )?(?:of )?{a}{place}"),
    ("count", "(?:{ask} )?(?:the )?(?:total )?(?:number|amount|count) of {a}{place}"),
    ("side", "{be} {a} {sides}{of}"),
    ("side", "(?:on )?(?:which|what) side of {b} {be} {a}"),
    ("side", "where {be} {a} (?:relative to|with respect to|compared to|compared with) {b}"),
    ("relation", "{be} {a} {relation} {b}"),
    ("color", "(?:what|which) {colour} (?:does|do|{be}) {a}(?: have)?"),
    ("color", "(?:{ask} )?(?:the )?{colour} of {a}"),
    ("color", "{be} {a} {hue}"),
    ("exists", "{be} there (?:also )?{a}{place}"),
    ("exists", "{do} {who} {see} {a}{place}"),
    ("exists", "does {video} (?:show|have|contain|include) {a}"),
    ("exists", "{be} {a} (?:in {video}|visible|present|here|there)"),
)  # fmt: skip
"""Kind of question and its wording; the first that reads a question decides."""


def compiled(wording: str) -> re.Pattern[str]:
    """The pattern of a wording."""
    while "{" in (filled := re.sub(r"\{(\w+)\}", lambda brace: _LISTS[brace[1]], wording)):
        wording = filled
    return re.compile(filled)
