"""Questions, their answers computed again in another way, and what must not be asked."""

import re
from collections import Counter, defaultdict

import numpy as np
import pytest
import shapely
from shapely import affinity

from vega3d_ros.simulation.questions import KINDS, UNKNOWN, direction, make_questions, plural
from vega3d_ros.simulation.rooms import LABELS

COLOURS = "red|orange|yellow|green|blue|purple|brown|black|white|grey"


@pytest.fixture
def scene(thing):
    """Eight frames; two chairs that only colour tells apart, and what is clear."""
    return [
        thing("bed", 0, 0, size=(2, 1.5, 0.6), pixels=[900, 0, 0, 0]),
        thing("table", 3, 0, color="green", pixels=[0, 300, 0, 0]),
        thing("sofa", 0, 5, color="blue", size=(0.9, 2, 0.8), pixels=[0, 0, 500, 0]),
        thing("chair", 4, 1, color="red", pixels=[0, 400, 0, 0], name="chair_1"),
        thing("chair", -3, 1, color="black", pixels=[0, 0, 0, 300], name="chair_2"),
    ]


def _outline(item):
    x, y, _ = item["center"]
    w, d, _ = item["size"]
    box = shapely.box(x - w / 2, y - d / 2, x + w / 2, y + d / 2)
    return affinity.rotate(box, item["yaw"], use_radians=True, origin=(x, y))


def _gap(a, b):
    above = abs(a["center"][2] - b["center"][2]) - (a["size"][2] + b["size"][2]) / 2
    return np.hypot(_outline(a).distance(_outline(b)), max(0, above))


def _by_name(objects, name):
    """The one object that a description fits, from scratch."""
    words = re.fullmatch(rf"(?:({COLOURS}) )?(.+)", name)
    fits = [
        o
        for o in objects
        if o["label"] == words[2]
        and words[1] in (None, o["color"])
        and max(o["visible_pixels"]) >= 30
    ]
    assert len(fits) == 1, f"{name!r} fits {len(fits)} objects"
    assert max(fits[0]["visible_pixels"]) >= 150
    return fits[0]


def _names(question):
    """Descriptions after "the", in order of appearance."""
    text = re.sub(r"the (distance|longest side|video)", "", question)
    label = "|".join(sorted(LABELS, key=len, reverse=True))
    return re.findall(rf"the ((?:(?:{COLOURS}) )?(?:{label}))\b", text)


def _answer(objects, question):
    """The answer, computed from the words of the question alone."""
    kind, text = question.kind, question.question
    if kind == "yes_no":
        label = next(
            k for k in sorted(LABELS, key=len, reverse=True) if re.search(rf" an? {k}\b", text)
        )
        seen = [o for o in objects if o["label"] == label and max(o["visible_pixels"]) >= 150]
        return "yes" if seen else "no"
    if kind == "count":
        label = next(k for k in sorted(LABELS, key=len, reverse=True) if plural(k) in text)
        return str(sum(o["label"] == label and max(o["visible_pixels"]) >= 150 for o in objects))
    named = [_by_name(objects, name) for name in _names(text)]
    if kind == "absolute_distance":
        return f"{_gap(*named):.1f}"
    if kind == "size":
        return f"{max(named[0]['size']) * 100:.0f}"
    if kind == "attribute":
        return named[0]["color"]
    if kind == "relative_distance":
        near = min(named[1:], key=lambda o: _gap(named[0], o))
        return _names(text)[1 + named[1:].index(near)]
    if kind == "appearance_order":
        first = min(
            named, key=lambda o: next(i for i, p in enumerate(o["visible_pixels"]) if p >= 150)
        )
        return _names(text)[named.index(first)]
    stand, face, item = (complex(*o["center"][:2]) for o in named)
    angle = np.degrees(np.angle((item - stand) / (face - stand)))
    return "behind" if abs(angle) > 135 else "left" if angle > 0 else "right"


def test_answers_are_right(scene, many):
    questions = many(make_questions, scene)
    assert {question.kind for question in questions} == set(KINDS)
    for question in questions:
        if question.answer != UNKNOWN:
            assert question.answer == _answer(scene, question), question
    objects = {o["id"] for o in scene}
    assert all(set(question.objects) <= objects for question in questions)


def test_answers_are_right_in_rendered_clips(clips):
    kinds = Counter()
    for record in clips:
        for question in record.truth["questions"]:
            kinds[question["kind"]] += 1
            if question["answer"] != UNKNOWN:
                asked = type("Asked", (), question)
                assert question["answer"] == _answer(record.truth["objects"], asked), question
    assert len(kinds) >= 7


def test_unanswerable_questions_name_something_that_is_not_there(scene, many):
    questions = many(make_questions, scene, runs=150)
    unknown = [question for question in questions if question.answer == UNKNOWN]
    assert 0.05 < len(unknown) / len(questions) < 0.12
    present = {o["label"] for o in scene}
    for question in unknown:
        labels = {re.sub(rf"^({COLOURS}) ", "", name) for name in _names(question.question)}
        assert len(labels - present) == 1, question


def test_things_that_may_not_be_distinguishable_are_not_named_alone(thing, many):
    objects = [
        thing("bed", 0, 0),
        thing("chair", 3, 0, color="red", name="a"),
        thing("chair", 3, 3, color=None, name="b"),
        thing("box", -3, 0, color="red", name="c"),
        thing("box", -3, 3, color="red", name="d"),
        thing("sofa", 0, 3, pixels=[400]),
        thing("sofa", 0, -4, pixels=[40], name="glimpsed"),
    ]
    for question in many(make_questions, objects):
        for name in _names(question.question):
            assert not name.endswith(("chair", "box", "sofa")) or question.answer == UNKNOWN
        # How many sofas there are cannot be told from a glimpse.
        assert not (question.kind == "count" and "sofa" in question.question)


def test_nothing_is_known_of_what_is_hardly_visible(thing, many):
    objects = [
        thing("bed", 0, 0),
        thing("desk", 2, 0, pixels=[20]),
        thing("tv", 2, 2, pixels=[90]),
    ]
    for question in many(make_questions, objects):
        if question.kind == "yes_no":
            assert "tv" not in question.question
            assert question.answer == ("yes" if "bed" in question.question else "no")
        else:
            assert set(question.objects) <= {"bed"}


def test_near_ties_are_not_asked(thing, many):
    objects = [
        thing("bed", 0, 0, pixels=[300, 0]),
        thing("sofa", 2, 0, pixels=[300, 0]),
        # As far from the bed as the sofa, and straight beyond it.
        thing("table", -2.2, 0, pixels=[0, 300]),
        # In the second frame like the table, and glimpsed in the first already.
        thing("tv", 0.5, 4, pixels=[50, 300]),
    ]
    kinds = defaultdict(list)
    for question in many(make_questions, objects):
        if question.answer != UNKNOWN:
            kinds[question.kind].append(question)
    assert not any(
        q.objects[0] == "bed" and set(q.objects[1:]) == {"sofa", "table"}
        for q in kinds["relative_distance"]
    )
    assert {frozenset(q.objects) for q in kinds["appearance_order"]} == {
        frozenset({"bed", "table"}),
        frozenset({"sofa", "table"}),
    }
    for question in kinds["relative_direction"]:
        assert question.answer == _answer(objects, question)


def test_answers_are_balanced(scene, many):
    counts = defaultdict(Counter)
    for question in many(make_questions, scene, runs=300):
        counts[question.kind][question.answer] += 1
        if question.kind == "appearance_order" and question.answer != UNKNOWN:
            first = question.question.index(question.answer) < len(question.question) - 25
            counts["first named"][first] += 1
    yes, no = counts["yes_no"]["yes"], counts["yes_no"]["no"]
    assert 0.4 < yes / (yes + no) < 0.6
    left, right = counts["relative_direction"]["left"], counts["relative_direction"]["right"]
    assert 0.4 < left / (left + right) < 0.6


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ((1, 1), "left"),
        ((1, -1), "right"),
        ((-2, 0.2), "behind"),
        ((-2, -0.2), "behind"),
        ((2, 0.2), None),
        ((-1, 1), None),
        ((0.1, 0.2), None),
    ],
)
def test_direction(item, expected):
    origin, ahead = np.zeros(2), np.array([3.0, 0.0])
    assert direction(origin, ahead, np.array(item)) == expected
    turned = np.array([[0.0, -1.0], [1.0, 0.0]])
    assert direction(origin, turned @ ahead, turned @ np.array(item)) == expected


def test_plurals_are_different_from_one_another():
    assert plural("shelf") == "shelves"
    assert plural("box") == "boxes"
    assert plural("chair") == "chairs"
    assert len({plural(label) for label in LABELS}) == len(LABELS)


def test_an_empty_view_is_asked_about_without_failing(many):
    questions = many(make_questions, [], runs=5)
    assert questions
    assert {question.answer for question in questions} <= {"no", UNKNOWN}
