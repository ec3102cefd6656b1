"""Relational descriptions: how they are read, and which object they mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vega3d_ros.perception.described_objects import find_described, look_up
from vega3d_ros.perception.description_grammar import (
    RANK_WORDS,
    RELATION_WORDS,
    ModelConfig,
    Placing,
    Rank,
    parse_description,
)
from vega3d_ros.simulation.questions import plural
from vega3d_ros.simulation.rooms import LABELS

OF_TWO = [word for word in RELATION_WORDS if word not in ("between", "nearest", "farthest")]
labels = st.sampled_from(LABELS)
articles = st.sampled_from(["the ", "a ", ""])
fillers = st.sampled_from(["", "that is ", "standing ", "which is located ", "right "])


def phrases(table, words):
    return st.sampled_from([(word, phrase) for word in words for phrase in table[word]])


def dressed(data, text):
    """With another case and a mark at the end."""
    change = data.draw(st.sampled_from([str.lower, str.upper, str.capitalize]))
    return change(text) + data.draw(st.sampled_from(["", ".", "?", " "]))


@given(st.data())
def test_relations_are_read_in_any_of_their_words(data):
    word, phrase = data.draw(phrases(RELATION_WORDS, OF_TWO))
    name, anchor, filler = data.draw(labels), data.draw(labels), data.draw(fillers)
    text = f"{data.draw(articles)}{name} {filler}{phrase} the {anchor}"
    assert parse_description(dressed(data, text)) == ModelConfig(name, (Placing(word, (anchor,)),))


@given(st.data())
def test_ranks_are_read_in_any_of_their_words(data):
    word, phrase = data.draw(phrases(RANK_WORDS, RANK_WORDS))
    name = data.draw(labels)
    place = data.draw(st.sampled_from([("", 1), ("second ", 2), ("3rd ", 3)]))
    of_all = data.draw(st.booleans())
    noun = f"of the {plural(name)}" if of_all else name
    text = f"the {place[0]}{phrase} {noun}"
    assert parse_description(dressed(data, text)) == ModelConfig(name, rank=Rank(word, place[1]))


@given(st.data())
def test_nearest_and_farthest_are_read_with_their_anchor(data):
    word, phrase = data.draw(phrases(RELATION_WORDS, ("nearest", "farthest")))
    name, anchor = data.draw(labels), data.draw(labels)
    text = f"the {name} {phrase} the {anchor}"
    expected = ModelConfig(name, rank=Rank(word, anchor=anchor))
    assert parse_description(dressed(data, text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the second door from the left", ModelConfig("door", rank=Rank("leftmost", 2))),
        ("the chair on the far right", ModelConfig("chair", rank=Rank("rightmost"))),
        ("the nearest chair to the door", ModelConfig("chair", rank=Rank("nearest", 1, "door"))),
        ("the furthest chair from the tv", ModelConfig("chair", rank=Rank("farthest", 1, "tv"))),
        ("the chair closest to me", ModelConfig("chair", rank=Rank("nearest"))),
        ("the lamp the shortest distance from the bed",
         ModelConfig("lamp", rank=Rank("nearest", 1, "bed"))),
        ("the table between the sofa and the tv",
         ModelConfig("table", (Placing("between", ("sofa", "tv")),))),
        ("the red chair left of the table",
         ModelConfig("red chair", (Placing("left of", ("table",)),))),
        ("the largest box beside the desk",
         ModelConfig("box", (Placing("near", ("desk",)),), Rank("largest"))),
        ("the chair nearest the largest table",
         ModelConfig("chair", rank=Rank("nearest", 1, "largest table"))),
        ("the vase on the table by the window",
         ModelConfig("vase", (Placing("on", ("table by the window",)),))),
        ("the tv on the left of the bed", ModelConfig("tv", (Placing("left of", ("bed",)),))),
    ],
)  # fmt: skip
def test_forms_are_read(text, expected):
    assert parse_description(text) == expected


@pytest.mark.parametrize(
    "text",
    ["chair", "the red chair", "chests of drawers", "the chair with a broken leg", "the left shoe",
     "something near", "the second chair", "next to the table", "the chair you saw near the door",
     "the box that he put on the table", "", "the"],
)  # fmt: skip
def test_what_is_not_relational_is_left_to_others(text, view_of):
    assert parse_description(text) is None
    assert find_described(text, view_of().find, None) is None


@pytest.fixture
def room(thing, view_of):
    """The camera at the origin looks along x; y is to the left."""
    return view_of(
        thing("table", (4, 0), (1.2, 0.8, 0.7)),
        thing("table", (4, 3), (1.0, 0.6, 0.5), name="low table"),
        thing("chair", (4, 0.9), name="left chair"),
        thing("chair", (4, -2), (0.5, 0.5, 1.2), name="right chair"),
        thing("chair", (2.5, 0), (0.4, 0.4, 0.6), name="front chair"),
        thing("vase", (4, 0), (0.1, 0.1, 0.2), z=0.8, name="vase on table"),
        thing("vase", (5.5, -2), (0.1, 0.1, 0.3)),
        thing("window", (6, 3), (0.1, 1.0, 1.0), z=1.5),
        thing("sofa", (4, -4), (0.8, 1.8, 0.8)),
        thing("box", (4, 0), (0.3, 0.3, 0.2), name="box under table"),
        thing("box", (0.5, 4), (0.3, 0.3, 0.2)),
    )


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("the chair beside the table", "left chair"),
        ("the chair to the left of the table", "left chair"),
        ("the chair in front of the largest table", "front chair"),
        ("the chair closest to the sofa", "right chair"),
        ("the chair furthest from the window", "right chair"),
        ("the nearest chair", "front chair"),
        ("the chair farthest away from the sofa", "left chair"),
        ("the tallest chair", "right chair"),
        ("the biggest table", "table"),
        ("the smaller table", "low table"),
        ("the second chair from the left", "front chair"),
        ("the rightmost chair", "right chair"),
        ("the leftmost of the chairs", "left chair"),
        ("the chair between the largest table and the sofa", "right chair"),
        ("the vase on the table", "vase on table"),
        ("the vase adjacent to the right chair", None),
        ("the box underneath the table", "box under table"),
        ("the second largest chair", "left chair"),
        ("the third tallest chair", "left chair"),
        ("the table nearest to the window", "low table"),
        ("the highest vase", "vase on table"),
        ("the box behind the sofa", ""),
    ],
)
def test_the_object_meant_comes_first(room, text, meant):
    found = find_described(text, room.find, room.camera)
    if meant is None:  # "right chair" is no name that can be looked for
        assert found is None
        return
    sure = [item.id for item in found if item.score >= 0.5]
    assert sure == ([meant] if meant else [])
    assert all(item.query == text for item in found)
    assert [i.score for i in found] == sorted((i.score for i in found), reverse=True)


def test_the_side_is_told_from_the_camera(thing, view_of, camera_at):
    items = thing("table", (3, 0)), thing("chair", (3, 1.2), name="a"), thing("chair", (3, -1.2))
    for camera, meant in ((camera_at(), "a"), (camera_at(6, 0, 3.14159), "chair")):
        view = view_of(*items, camera=camera)
        assert find_described("the chair left of the table", view.find, camera)[0].id == meant


def test_the_viewer_may_be_the_anchor(thing, view_of, camera_at):
    chairs = [
        thing("chair", at, name=name)
        for name, at in (("ahead", (3, 0.2)), ("back", (-2, -0.2)), ("far", (6, 1)))
    ]
    view = view_of(*chairs)

    def best(text, camera=view.camera):
        found = find_described(text, view.find, camera)
        return found and found[0].id

    assert best("the chair behind me") == "back"
    assert best("the chair in front of the robot") == "ahead"
    assert best("the chair to the right of me") == "back"
    assert best("the chair farthest from the camera") == "far"
    assert best("the closest chair") == "back"
    assert best("the chair behind me", camera_at(0, 0, 3.14159)) == "ahead"
    assert best("the chair behind me", None) is None
    assert best("the closest chair", None) is None


def test_an_anchor_found_by_the_items_name_too_is_not_meant(thing, view_of):
    desk, as_table = thing("desk", (3, 0)), thing("table", (3, 0), name="desk as table")
    view = view_of(desk, as_table, thing("table", (4, 0)))
    for text in ("the table nearest to the desk", "the table farthest from the desk"):
        assert find_described(text, view.find, view.camera)[0].id == "table", text


def test_a_side_needs_a_camera_and_nearness_none(thing, view_of):
    view = view_of(thing("table", (3, 0)), thing("chair", (3, 0.8)))
    assert find_described("the chair left of the table", view.find, None) is None
    assert find_described("the chair next to the table", view.find, None)[0].id == "chair"


def test_what_is_not_here_gives_nothing_and_what_cannot_be_looked_for_nothing_known(room):
    assert find_described("the door next to the table", room.find, room.camera) == ()
    assert find_described("the chair next to the door", room.find, room.camera) == ()
    assert find_described("the chair nearest to the door", room.find, room.camera) == ()
    assert find_described("the unicorn next to the table", room.find, room.camera) is None
    assert find_described("the chair next to the unicorn", room.find, room.camera) is None


def test_scores_say_how_sure_the_boxes_allow_one_to_be(thing, view_of):
    def best(sigma):
        near = thing("chair", (2.0, 0), name="near", sigma=sigma)
        far = thing("chair", (2.6, 0), name="far", sigma=sigma)
        view = view_of(near, far, thing("tv", (0.5, 0)))
        return find_described("the chair nearest to the tv", view.find, view.camera)[0]

    scores = [best(sigma).score for sigma in (0.0, 0.1, 0.3, 1.0)]
    assert [best(sigma).id for sigma in (0.0, 0.3)] == ["near", "near"]
    assert scores[0] == 1.0
    assert scores == sorted(scores, reverse=True)
    assert 0.5 < scores[-1] < 0.65


def test_a_doubtful_detection_spoils_a_rank_only_as_far_as_it_is_there(thing, view_of):
    large = thing("table", (2, 0), (1, 1, 1), score=0.9, name="sure")
    doubtful = thing("table", (4, 0), (2, 2, 1), score=0.2, name="doubtful")
    view = view_of(large, doubtful)
    found = find_described("the largest table", view.find, view.camera)
    assert [item.id for item in found] == ["sure", "doubtful"]
    assert [item.score for item in found] == pytest.approx([0.9 * 0.8, 0.2])


@pytest.mark.parametrize("relation", ["next to", "nearest to", "farthest from", "in front of"])
def test_a_doubtful_anchor_makes_its_description_as_doubtful(thing, view_of, relation):
    tv = thing("tv", (3, 0), score=0.6)
    view = view_of(thing("chair", (2.5, 0), score=0.9), tv)
    found = find_described(f"the chair {relation} the tv", view.find, view.camera)
    assert found[0].score == pytest.approx(0.9 * 0.6, rel=0.05)


def test_look_up_takes_plain_names_in_any_number(room):
    assert {i.id for i in look_up("The chairs", room.find, room.camera)} == {
        "left chair",
        "right chair",
        "front chair",
    }
    assert look_up("the unicorn", room.find, room.camera) is None
