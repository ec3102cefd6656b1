"""Free texts find the name that answers them, or none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vega3d_ros.models.detectors.coco import COCO_NAMES
from vega3d_ros.models.detectors.vocabulary import match


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("sofa", "couch"),
        ("Sofas", "couch"),
        ("table", "dining table"),
        ("the coffee table", "dining table"),
        ("monitor", "tv"),
        ("TV", "tv"),
        ("televisions", "tv"),
        ("the red chair", "chair"),
        ("office chairs.", "chair"),
        ("the chair next to the table", "chair"),
        ("the largest table in the room", "dining table"),
        ("a cup of coffee", "cup"),
        ("the chair that is on the left of the sofa", "chair"),
        ("armchair", "chair"),
        ("people", "person"),
        ("a man with an umbrella", "person"),
        ("a pair of scissors", "scissors"),
        ("scissors", "scissors"),
        ("skis", "skis"),
        ("knives", "knife"),
        ("wine glasses", "wine glass"),
        ("couches", "couch"),
        ("buses", "bus"),
        ("bus", "bus"),
        ("hot dog", "hot dog"),
        ("teddy bears", "teddy bear"),
        ("potted-plants", "potted plant"),
        ("fridge", "refrigerator"),
        ("mobile phone", "cell phone"),
        ("table with a glass top", "dining table"),
    ],
)
def test_a_text_finds_the_name_of_its_head_noun(text, name):
    assert match(text, COCO_NAMES) == name


@pytest.mark.parametrize(
    "text", ["cabinet", "table lamp", "tv stand", "chairman", "", "  ", "...", "of", "the window"]
)
def test_a_text_about_something_else_finds_nothing(text):
    assert match(text, COCO_NAMES) is None


def test_another_vocabulary_has_its_own_names():
    names = ("Desk", "Monitor/TV", "Cabinet/shelf", "Couch")
    assert match("tv", names) == "Monitor/TV"
    assert match("shelves", names) == "Cabinet/shelf"
    assert match("the table", names) == "Desk"
    assert match("sofa", names) == "Couch"


@pytest.mark.parametrize("name", COCO_NAMES)
def test_every_name_answers_to_itself_and_described(name):
    assert match(name, COCO_NAMES) == name
    assert match(f"The big {name.upper()} behind the wall", COCO_NAMES) == name


@given(st.text(max_size=60))
def test_any_text_gives_a_name_or_none(text):
    assert match(text, COCO_NAMES) in (*COCO_NAMES, None)
