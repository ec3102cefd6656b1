"""Names of things as people write them: articles, plural forms, names that mean the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

VIEWER = frozenset({"me", "you", "us", "myself", "yourself", "camera", "robot", "viewer", "here"})
"""Names of whoever looks: the camera."""

_ARTICLE = re.compile(
    r"^(?:(?:all|any|each|both)(?: of)? )?"
    r"(?:(?:the|an?|any|some|my|your|our|this|that|these|those|every) )?(?:other )?"
)
_IRREGULAR = {
    "people": "person",
    "men": "man",
    "women": "woman",
    "children": "child",
    "mice": "mouse",
    "geese": "goose",
    "knives": "knife",
    "loaves": "loaf",
    "leaves": "leaf",
    "shelves": "shelf",
    "bookshelves": "bookshelf",
    "scarves": "scarf",
    "buses": "bus",
    "lenses": "lens",
    "tvs": "tv",
    "pcs": "pc",
    "tableware sets": "tableware",
}
_SAME_IN_PLURAL = frozenset(
    {"scissors", "stairs", "clothes", "headphones", "jeans", "series", "lens", "canvas"}
)
# Words that no name of a thing holds: with one of them, a phrase says more than a name.
# fmt: off
_NOT_IN_NAMES = frozenset((
    "the", "a", "an", "any", "some", "this", "that", "these", "those", "all",
    "i", "me", "my", "you", "your", "we", "us", "he", "she", "it", "they", "them", "who",
    "whom", "whose", "which", "what", "where", "when", "why", "how", "is", "are", "am", "was",
    "were", "be", "been", "being", "do", "does", "did", "has", "have", "had", "can", "could",
    "will", "would", "should", "may", "might", "must", "not", "no", "than", "then", "if",
    "because", "while", "although", "so", "and", "or", "but", "nor", "for", "with", "without",
    "about", "to", "from", "at", "by", "between", "beside", "behind", "above", "below", "under",
    "near", "nearest", "closest", "farthest", "furthest", "more", "less", "most", "least",
    "many", "much", "enough", "several", "few", "one", "two", "three", "four", "five", "six",
    "seven", "eight", "nine", "ten", "only", "also", "too", "very", "there", "here", "room",
    "rooms", "house", "apartment", "scene", "video", "something", "anything", "nothing",
    "everything", "thing", "things", "object", "objects", "item", "items", "distance",
    "direction", "way",
))
# fmt: on
_NOT_LAST = frozenset({"left", "right", "front", "back", "top", "bottom", "middle", "of"})
_LONGEST_NAME = 5

# Names of one thing, the words of detectors' vocabularies among them (COCO, ScanNet, LVIS).
_SYNONYMS = (
    ("sofa", "couch", "settee", "loveseat"),
    ("tv", "television", "tv screen", "television set", "tvmonitor"),
    ("refrigerator", "fridge"),
    ("trash bin", "trash can", "garbage bin", "garbage can", "waste bin", "wastebasket",
     "rubbish bin", "dustbin", "recycling bin", "trashcan", "bin"),
    ("plant", "potted plant", "house plant", "houseplant", "pottedplant"),
    ("table", "dining table", "diningtable"),
    ("desk", "writing desk"),
    ("nightstand", "night stand", "bedside table", "bedside cabinet"),
    ("floor lamp", "standing lamp"),
    ("shelf", "bookshelf", "bookcase"),
    ("cabinet", "cupboard"),
    ("wardrobe", "closet"),
    ("picture", "painting", "poster"),
    ("box", "cardboard box", "carton"),
    ("laptop", "notebook computer"),
    ("monitor", "computer monitor", "computer screen"),
    ("cell phone", "mobile phone", "smartphone"),
    ("backpack", "rucksack"),
    ("bicycle", "bike"),
    ("washing machine", "washer"),
    ("stove", "cooker"),
    ("curtain", "drape"),
    ("radiator", "heater"),
    ("person", "human"),
    ("tableware", "dishes", "crockery"),
)  # fmt: skip


def plain_name(phrase: str) -> str | None:
    """The singular, without article, of a phrase that names one kind of thing.

    Returns:
        "red chair" for "the red chairs"; None where the phrase says more than a name.
    """
    words = _ARTICLE.sub("", phrase.strip()).split()
    if not 1 <= len(words) <= _LONGEST_NAME or not _NOT_IN_NAMES.isdisjoint(words):
        return None
    if words[0] == "of" or words[-1] in _NOT_LAST:
        return None
    return singular(" ".join(words))


def singular(name: str) -> str:
    """From "chairs" to "chair", "chests of drawers" to "chest of drawers"; a singular stays."""
    head, of, rest = name.partition(" of ")
    for plural, single in _IRREGULAR.items():
        if head == plural or head.endswith(f" {plural}"):
            return head[: -len(plural)] + single + of + rest
    before, blank, word = head.rpartition(" ")
    return before + blank + _singular_word(word) + of + rest


def _singular_word(word: str) -> str:
    if word in _SAME_IN_PLURAL or len(word) < 4 or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("xes", "ches", "shes", "sses", "zzes")):
        return word[:-2]
    return word.removesuffix("s")


def known_name(name: str, vocabulary: Iterable[str]) -> str | None:
    """The word of a closed vocabulary that means the same as a name; None where none does.

    Args:
        name: Singular, without article: "couch".
        vocabulary: What can be looked for: ("sofa", ...).
    """
    known = {word.lower(): word for word in vocabulary}
    if name in known:
        return known[name]
    for same in _SYNONYMS:
        if name in same:
            return next((known[word] for word in same if word in known), None)
    return None
