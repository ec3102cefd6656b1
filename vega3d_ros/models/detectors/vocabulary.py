"""Which name of a fixed vocabulary answers a free text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Words and the names to try for them, the nearest first. Names that a vocabulary lacks are passed
# over, so that one table serves COCO, Objects365 and others.
_SYNONYMS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("man", "woman", "boy", "girl", "child", "human"), ("person",)),
    **dict.fromkeys(("sofa", "settee", "loveseat"), ("sofa", "couch")),
    "couch": ("sofa",),
    **dict.fromkeys(("table", "desk"), ("table", "desk", "dining table")),
    "armchair": ("chair",),
    **dict.fromkeys(("monitor", "screen", "display", "television"), ("monitor", "tv")),
    "tv": ("monitor", "television"),
    "computer": ("laptop",),
    "notebook computer": ("laptop",),
    **dict.fromkeys(("phone", "mobile", "telephone", "smartphone", "cellphone"), ("cell phone",)),
    "remote control": ("remote",),
    "fridge": ("refrigerator",),
    **dict.fromkeys(("stove", "cooker"), ("oven",)),
    "microwave oven": ("microwave",),
    **dict.fromkeys(("basin", "washbasin"), ("sink",)),
    **dict.fromkeys(("plant", "houseplant", "flowerpot"), ("potted plant",)),
    "flower pot": ("potted plant",),
    "mug": ("cup",),
    "drinking glass": ("cup",),
    "doughnut": ("donut",),
    "ball": ("sports ball",),
    "teddy": ("teddy bear",),
    **dict.fromkeys(("rucksack", "knapsack"), ("backpack",)),
    "purse": ("handbag",),
    "luggage": ("suitcase",),
    **dict.fromkeys(("hair dryer", "hairdryer"), ("hair drier",)),
    "bike": ("bicycle",),
    "motorbike": ("motorcycle",),
    **dict.fromkeys(("plane", "aeroplane"), ("airplane",)),
    "automobile": ("car",),
    "lorry": ("truck",),
    "puppy": ("dog",),
    "kitten": ("cat",),
    "stoplight": ("traffic light",),
}
_IRREGULAR = {
    "people": "person",
    "men": "man",
    "women": "woman",
    "children": "child",
    "mice": "mouse",
    "knives": "knife",
    "shelves": "shelf",
}
# What ends a noun phrase: the noun before it is the thing, what follows tells where it is.
_AFTER = re.compile(
    r"\b(?:about|above|across|against|along|around|at|before|behind|below|beneath|beside|between"
    r"|by|close|closest|facing|farthest|for|from|furthest|hanging|in|inside|is|lying|near|nearest"
    r"|next|of|on|opposite|over|placed|sitting|standing|that|to|under|underneath|which|whose|with"
    r"|without)\b"
)
_PARTITIVE = re.compile(r"^(?:\w+ )*(?:pair|piece|row|set|slice|stack)s? of ")
_WORD = re.compile(r"[^\W_]+")


def match(text: str, vocabulary: Sequence[str]) -> str | None:
    """The name that answers a text: "sofas" -> "couch", "the red chair by the door" -> "chair".

    The thing that a text describes is the end of its first noun phrase; synonyms and plural forms
    are known. Names with alternatives, as "Monitor/TV", answer to each. Colours and places are not
    heeded: whoever asks chooses among the things of that name.

    Args:
        text: Free text.
        vocabulary: Names, of any case.

    Returns:
        One of the vocabulary, or None.
    """
    names = {form: name for name in reversed(vocabulary) for form in _forms(name)}
    words = " ".join(_WORD.findall(text.lower()))
    if words in names:
        return names[words]
    words = _PARTITIVE.sub("", words)
    if (end := _AFTER.search(words)) and end.start() > 0:
        words = words[: end.start()]
    noun = words.split()
    for start in range(len(noun)):
        for form in _candidates(" ".join(noun[start:])):
            if form in names:
                return names[form]
    return None


def _forms(name: str) -> Iterator[str]:
    """A name as ``match`` compares it, and each of its alternatives."""
    for part in (name, *re.split(r"[/,]", name)):
        if words := _WORD.findall(part.lower()):
            yield " ".join(words)


def _candidates(phrase: str) -> Iterator[str]:
    """What a noun may be called in a vocabulary, the nearest first."""
    for form in (phrase, _singular(phrase)):
        yield form
        yield from _SYNONYMS.get(form, ())


def _singular(phrase: str) -> str:
    *before, noun = phrase.split()
    if noun in _IRREGULAR:
        noun = _IRREGULAR[noun]
    elif noun.endswith("ies") and len(noun) > 4:
        noun = noun[:-3] + "y"
    elif noun.endswith(("ses", "xes", "zes", "ches", "shes")):
        noun = noun[:-2]
    elif noun.endswith("s") and not noun.endswith("ss"):
        noun = noun[:-1]
    return " ".join((*before, noun))
