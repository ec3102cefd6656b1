"""Questions in the words of the simulator, of VSI-Bench, and in others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vega3d_ros.perception.measured_answers import Question, parse_question
from vega3d_ros.simulation.questions import _WORDING, plural
from vega3d_ros.simulation.rooms import LABELS

KIND = {
    "count": "count",
    "absolute_distance": "distance",
    "size": "size",
    "relative_distance": "compare_distance",
    "relative_direction": "direction",
    "appearance_order": "order",
    "yes_no": "exists",
}
SPOKEN = [(kind, wording) for kind in KIND for wording in _WORDING[kind]]
spaces = st.sampled_from([" ", "  ", "\n"])
names = st.builds(
    lambda color, label: color + label,
    st.sampled_from(["", "red ", "dark blue "]),
    st.sampled_from(LABELS),
)


@given(st.data(), st.sampled_from(SPOKEN))
def test_the_simulators_wording_is_read_with_any_names_case_and_marks(data, spoken):
    kind, wording = spoken
    a, b, c = (data.draw(names) for _ in "abc")
    fill = {"count": plural(a), "yes_no": f"a {a}"}.get(kind, a)
    change = data.draw(st.sampled_from([str, str.upper, str.lower, str.title]))
    text = change(wording.format(a=fill, b=b, c=c)).rstrip("?.")
    text = data.draw(st.sampled_from(["", "  "])) + text.replace(" ", data.draw(spaces))
    asked = parse_question(text + data.draw(st.sampled_from(["", "?", ".", " ?", "?!"])))
    assert asked is not None, text
    assert asked.kind == KIND[kind]
    expected = {"count": [plural(a)], "yes_no": [a], "size": [a]}.get(kind, [a, b, c])
    if kind in ("absolute_distance", "appearance_order"):
        expected = [a, b]
    sides = asked.choices if kind == "relative_direction" else ()
    assert [*asked.things, *asked.choices] == [*expected, *sides]


VSI_BENCH = [
    ("How many chair(s) are in this room?", Question("count", ("chair",))),
    (("What is the length of the longest dimension (length, width, or height) of the sofa, "
     "measured in centimeters?"), Question("size", ("sofa",), "longest", unit="cm")),
    (("Measuring from the closest point of each object, what is the direct distance between the "
     "table and the stove (in meters)?\nIf there are multiple instances of an object category, "
     "use the pair of instances with the shortest distance."),
     Question("distance", ("table", "stove"), unit="m")),
    (("Measuring from the closest point of each object, which of these objects (table, chair, "
     "stool, bathtub) is the closest to the tv?\nIf there are multiple instances of an object "
     "category, measure to the closest."),
     Question("compare_distance", ("tv",), "nearest", ("table", "chair", "stool", "bathtub"))),
    (("If I am standing by the stove and facing the sofa, is the tv to my front-left, "
     "front-right, back-left, or back-right?\nThe directions refer to the quadrants of a "
     "Cartesian plane (if I am standing at the origin and facing along the positive y-axis)."),
     Question("direction", ("stove", "sofa", "tv"),
              choices=("front-left", "front-right", "back-left", "back-right"))),
    (("If I am standing by the dryer and facing the laundry basket, is the coat rack to my left, "
     "right, or back?\nAn object is to my back if I would have to turn at least 135 degrees in "
     "order to face it."),
     Question("direction", ("dryer", "laundry basket", "coat rack"),
              choices=("left", "right", "behind"))),
    (("If I am standing by the stove and facing the refrigerator, is the table to the left or the "
     "right of the refrigerator?"),
     Question("direction", ("stove", "refrigerator", "table"), choices=("left", "right"))),
    (("What will be the first-time appearance order of the following categories in the video: "
     "basket, printer, refrigerator, kettle?"),
     Question("order", (), "all", ("basket", "printer", "refrigerator", "kettle"))),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), VSI_BENCH)
def test_the_wording_of_vsi_bench_is_read(text, expected):
    assert parse_question(text) == expected


@pytest.mark.parametrize(("text", "expected"), VSI_BENCH)
def test_the_frame_of_the_benchmark_does_not_matter(text, expected):
    asked = parse_question(
        f"These are frames of a video.\n{text}\n"
        "Please answer the question using a single word or phrase."
    )
    assert (asked.kind, asked.things, asked.choices) == (
        expected.kind,
        expected.things,
        expected.choices,
    )
    assert asked.single_word
    asked = parse_question(
        f"These are frames of a video.\n{text}\nOptions:\nA. left\nB. Right, back\nC. 1.5\n"
        "Answer with the option's letter from the given choices directly."
    )
    assert asked.options == (("A", "left"), ("B", "Right, back"), ("C", "1.5"))
    assert asked.kind == expected.kind


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What's the number of lamps in the room?", Question("count", ("lamps",))),
        ("How many chairs are next to the table?",
         Question("count", ("chairs next to the table",))),
        ("Are there any plants here?", Question("exists", ("plants",))),
        ("What colour is the chair?", Question("color", ("chair",))),
        ("Which color does the tall lamp have?", Question("color", ("tall lamp",))),
        ("Tell me the colour of the bed", Question("color", ("bed",))),
        ("Is the sofa gray?", Question("color", ("sofa",), word="grey")),
        ("Could you spot a fridge?", Question("exists", ("fridge",))),
        ("Is there a chair beside the window?", Question("exists", ("chair beside the window",))),
        ("How far away is the couch?", Question("distance", ("couch",))),
        ("How far is the couch from me, in feet?", Question("distance", ("couch",), unit="ft")),
        ("How far apart are the bed and the door?", Question("distance", ("bed", "door"))),
        ("Measure the distance from the bed to the door in cm",
         Question("distance", ("bed", "door"), unit="cm")),
        ("How far is the chair farthest from the bed from the door?",
         Question("distance", ("chair farthest from the bed", "door"))),
        ("How tall is the wardrobe?", Question("size", ("wardrobe",), "height")),
        ("What is the width of the desk in inches?",
         Question("size", ("desk",), "width", unit="in")),
        ("How big is the largest table?", Question("size", ("largest table",), "longest")),
        ("Is the tv or the lamp closer to the door?",
         Question("compare_distance", ("door",), "nearest", ("tv", "lamp"))),
        ("Which one is furthest from the bed: the tv, the chair or the lamp?",
         Question("compare_distance", ("bed",), "farthest", ("tv", "chair", "lamp"))),
        ("Which is nearest to me, the tv or the bed?",
         Question("compare_distance", ("me",), "nearest", ("tv", "bed"))),
        ("Imagine you are standing next to the bed, looking at the tv. Where is the door?",
         Question("direction", ("bed", "tv", "door"),
                  choices=("left", "right", "behind", "front"))),
        ("Is the lamp on my left or on my right?",
         Question("side", ("lamp",), choices=("left", "right"))),
        ("Is the sofa to the left or to the right of the table?",
         Question("side", ("sofa", "table"), choices=("left", "right"))),
        ("Where is the chair relative to the table?",
         Question("side", ("chair", "table"), choices=("left", "right", "behind", "front"))),
        ("Is the vase on top of the table?", Question("relation", ("vase", "table"), "on")),
        ("Is the ball underneath the bed?", Question("relation", ("ball", "bed"), "under")),
        ("Which do you see last, the bed or the tv?",
         Question("order", (), "last", ("bed", "tv"))),
        ("In which order do the bed, the tv and the door appear?",
         Question("order", (), "all", ("bed", "tv", "door"))),
    ],
)  # fmt: skip
def test_words_that_the_simulator_never_says_are_read(text, expected):
    assert parse_question(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "What is happening?",
        "What is the chair made of?",
        "How large is this room?",
        (
            "What is the size of this room (in square meters)?\nIf multiple rooms are shown, "
            "estimate the size of the combined space."
        ),
        "How many things are there?",
        "How many metres can the robot drive?",
        "How far can I go?",
        "Is there enough space for me to pass?",
        "Is there a way to the door?",
        "Is the door open?",
        "Can you see what the person does?",
        "Which is closer to the bed?",
        "Which is older, the bed or the tv?",
        "You are a robot beginning at the bed and facing the tv. You want to go to the door.",
        "Where is the chair?",
    ],
)
def test_unknown_wording_goes_to_the_language_model(text):
    assert parse_question(text) is None


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_without_failing(text):
    asked = parse_question(text)
    assert asked is None or all(asked.things + asked.choices)


@pytest.mark.parametrize("again", ["the chair next to ", "a b ", "standing at x facing ", "and "])
def test_endless_repetition_is_refused(again):
    for start in ("How far is ", "Is ", "If I stand at a facing b is c ", ""):
        assert parse_question(start + again * 100 + "the table?") is None
