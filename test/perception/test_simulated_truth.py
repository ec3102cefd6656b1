"""Measured on true boxes, answers and descriptions are those of the simulator: definitions agree.

``pytest -s`` prints the share of each kind.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from perception.simulated_truth import TrueObjects, simulated_truth

from vega3d_ros.perception.described_objects import look_up
from vega3d_ros.perception.measured_answers import in_words, measure, parse_question
from vega3d_ros.simulation.questions import KINDS, UNKNOWN

CLIPS = 40
MEASURED = set(KINDS) - {"attribute"}  # the simulator's truth has no masks


@pytest.fixture(scope="module")
def truths():
    return [simulated_truth(index) for index in range(CLIPS)]


def _shares(what, right, asked):
    for kind in sorted(asked):
        print(f"{what}, {kind}: {right[kind]} of {asked[kind]}")


def test_every_kind_of_question_is_answered_as_the_simulator_answers_it(truths):
    asked, right, wrong = Counter(), Counter(), []
    for truth in truths:
        view = TrueObjects(truth).view
        for question in truth["questions"]:
            if question["kind"] not in MEASURED or question["answer"] == UNKNOWN:
                continue
            parsed = parse_question(question["question"])
            measured = measure(parsed, view) if parsed else None
            asked[question["kind"]] += 1
            said = in_words(parsed, measured) if measured else None
            if said == question["answer"]:
                right[question["kind"]] += 1
                assert {item.id for item in measured.objects} == set(question["objects"])
            else:
                wrong.append((question["question"], question["answer"], said))
    _shares("questions", right, asked)
    assert set(asked) == MEASURED
    assert not wrong


def test_what_the_simulator_calls_unknown_was_not_seen(truths):
    asked = Counter()
    for truth in truths:
        view = TrueObjects(truth).view
        for question in truth["questions"]:
            if question["answer"] != UNKNOWN or question["kind"] not in MEASURED:
                continue
            measured = measure(parse_question(question["question"]), view)
            asked[question["kind"]] += 1
            assert measured.value is None
            assert len(measured.not_seen) == 1
            assert measured.not_seen[0] in question["question"].lower()
    assert len(asked) == 5


def test_colours_are_asked_for_as_the_simulator_asks(truths):
    colours = [q for t in truths for q in t["questions"] if q["kind"] == "attribute"]
    assert colours
    assert {parse_question(question["question"]).kind for question in colours} == {"color"}


def test_every_referring_expression_means_what_the_simulator_means(truths):
    asked, right, wrong = Counter(), Counter(), defaultdict(list)
    for truth in truths:
        objects = TrueObjects(truth)
        for item in truth["referring"]:
            words = ("largest", "smallest", "nearest", "farthest")
            kind = next((word for word in words if word in item["text"]), "name")
            found = look_up(item["text"], objects.find, objects.camera)
            meant = sorted(thing.id for thing in found or () if thing.score >= 0.5)
            asked[kind] += 1
            right[kind] += meant == sorted(item["objects"])
            if meant != sorted(item["objects"]):
                wrong[kind].append((item, meant))
    _shares("descriptions", right, asked)
    assert len(asked) == 5
    assert not wrong
