"""Names as people write them: number, articles, synonyms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vega3d_ros.perception.noun_phrases import known_name, plain_name, singular
from vega3d_ros.simulation.questions import plural
from vega3d_ros.simulation.rooms import LABELS

COMMON = (
    "couch bench glass brush knife child person mouse lens bookshelf fridge monitor laptop toilet "
    "vase battery canvas mattress wine_glass chest_of_drawers piece_of_furniture"
)


@pytest.mark.parametrize("label", LABELS)
def test_plural_of_every_simulated_label_is_understood(label):
    assert singular(plural(label)) == label
    assert singular(label) == label


@pytest.mark.parametrize(
    ("many", "one"),
    [
        ("people", "person"),
        ("benches", "bench"),
        ("couches", "couch"),
        ("batteries", "battery"),
        ("vases", "vase"),
        ("kitchen knives", "kitchen knife"),
        ("wine glasses", "wine glass"),
        ("chests of drawers", "chest of drawers"),
        ("red chairs", "red chair"),
    ],
)
def test_plurals_of_other_words(many, one):
    assert singular(many) == one


@pytest.mark.parametrize("word", COMMON.replace("_", " ").split("  "))
def test_singular_stays(word):
    for name in COMMON.split():
        assert singular(name.replace("_", " ")) == name.replace("_", " ")


@given(
    st.sampled_from(["", "the ", "a ", "an ", "any ", "all the ", "this ", "my ", "some "]),
    st.sampled_from(["", "red ", "small wooden "]),
    st.sampled_from(LABELS),
    st.booleans(),
)
def test_articles_and_number_do_not_matter(article, attributes, label, many):
    phrase = article + attributes + (plural(label) if many else label)
    assert plain_name(phrase) == attributes + label


@pytest.mark.parametrize(
    "phrase",
    ["", "the", "what is there", "enough space for me", "chair next to the table", "two chairs",
     "the left", "the room", "the chair that i like"],
)  # fmt: skip
def test_phrases_that_say_more_than_a_name_are_refused(phrase):
    assert plain_name(phrase) is None


def test_synonyms_lead_to_the_word_of_a_vocabulary():
    vocabulary = ("couch", "tv", "potted plant", "Dining Table")
    assert known_name("sofa", vocabulary) == "couch"
    assert known_name("television", vocabulary) == "tv"
    assert known_name("plant", vocabulary) == "potted plant"
    assert known_name("dining table", vocabulary) == "Dining Table"
    assert known_name("door", vocabulary) is None
    assert known_name("red sofa", vocabulary) is None
