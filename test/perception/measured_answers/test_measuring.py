"""Measured values of scenes made by hand: geometry, intervals, confidence, what is absent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vega3d_ros.core.geometry import SE3, Box3D
from vega3d_ros.core.objects import SceneObject
from vega3d_ros.perception.measured_answers import ObjectView, in_words, measure, parse_question
from vega3d_ros.perception.relations import Viewpoint
from vega3d_ros.perception.uncertain_lengths import distance, distance_from, size, volume

UP = np.array([0.0, 0.0, 1.0])
OPTICAL = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], float)


def answer(view, text):
    """The measurement and its words; None where nothing can be measured."""
    question = parse_question(text)
    assert question is not None, f"not read: {text}"
    measured = measure(question, view)
    return measured and (measured, in_words(question, measured))


COLORED = (("red", 0.7), ("white", 0.3))


def said(view, text):
    answered = answer(view, text)
    return answered and answered[1]


@pytest.fixture
def room(thing, view_of):
    """The camera at the origin looks along x; y is to the left."""
    return view_of(
        thing("table", (4, 0), (1.2, 0.8, 0.7)),
        thing("bed", (4, 3), (2.0, 1.6, 0.5), yaw=np.pi / 2),
        thing("chair", (2, 0), (0.4, 0.4, 1.0), name="chair 1"),
        thing("chair", (4, -1), (0.4, 0.4, 0.9), name="chair 2"),
        thing("chair", (7, 2), (0.4, 0.4, 0.9), score=0.2, name="doubtful chair"),
        thing("vase", (4, 0.2), (0.1, 0.1, 0.3), z=0.85),
        thing("tv", (6, -3), (0.1, 1.2, 0.7), z=1.2),
        first_seen={"table": 10, "bed": 30, "chair 1": 20, "chair 2": 5, "vase": 10, "tv": 40},
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("How many chairs are there?", "2"),
        ("How many sofas are there?", "0"),
        ("How many chairs are next to the table?", "1"),
        ("Is there a bed?", "yes"),
        ("Is there a sofa?", "no"),
        ("Is there a chair behind the table?", "no"),
        ("How large is the table?", "1.2 m"),
        ("What is the longest side of the table in centimetres?", "120"),
        ("How tall is the table in cm?", "70"),
        ("How deep is the bed in metres?", "1.6"),
        ("How wide is the tv in mm?", "1200"),
        ("How tall is the tallest chair?", "1.0 m"),
        # From the table's edge at y = 0.4 to the bed's at y = 2: it is turned by a right angle.
        ("How far is the table from the bed in metres?", "1.6"),
        ("How far apart are the table and the bed in feet?", "5.2"),
        # The closer chair: from y = -0.4 to y = -0.8.
        ("What is the distance between the table and the chair in cm?", "40"),
        ("How far away is the table?", "3.4 m"),  # down to the table's upper edge, 0.3 m lower
        ("Which is closer to the bed, the vase or the tv?", "vase"),
        ("Which is farthest from me: the tv, the chair or the bed?", "tv"),
        ("Standing at the table and facing the bed, is the tv to my left, right or behind me?",
         "behind"),
        ("Standing at the table and facing the tv, is the bed to my left or to my right?", "left"),
        (("Standing at the bed and facing the table, is the tv to my front-left, front-right, "
         "back-left, or back-right?"), "front-left"),
        ("Is the bed on my left or on my right?", "left"),
        ("Is the tv left or right of the table?", "right"),
        ("Where is the bed relative to the table?", "left"),
        ("Is the vase on the table?", "yes"),
        ("Is the vase under the table?", "no"),
        ("Is the chair in front of the table?", "yes"),
        ("Which appears first, the bed or the table?", "table"),
        ("Which appears first in the video, the chair or the table?", "chair"),
        ("Which do you see last: the bed, the tv or the table?", "tv"),
        ("In what order do the tv, the bed and the chair appear?", "chair, bed, tv"),
        ("How deep is the second largest chair in cm?", "40"),
        ("How far is the sofa from the bed in metres?", "not seen: sofa"),
        ("Which is closer to the door, the bed or the sofa?", "not seen: door, sofa"),
        ("How tall is the largest sofa?", "not seen: largest sofa"),
    ],
)  # fmt: skip
def test_answers_of_a_known_room(room, text, words):
    assert said(room, text) == words


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("How many chairs are there? Options: A. 1 B. 2 C. 3", "B"),
        ("How large is the table in centimetres?\nOptions:\nA. 60\nB. 115\nC. 190", "B"),
        ("How far is the table from the bed? Options: A. 0.8 m B. 1.5 m C. 3 m", "B"),
        ("Is there a sofa?\nOptions:\nA. yes\nB. no", "B"),
        ("Which of these objects (vase, tv) is the closest to the bed?\nOptions:\nA. tv\nB. vase",
         "B"),
        (("If I am standing by the table and facing the bed, is the tv to my left, right, or back?"
         "\nOptions:\nA. left\nB. back\nC. right"), "B"),
        (("What will be the first-time appearance order of the following categories in the "
         "video: tv, bed, table?\nOptions:\nA. tv, bed, table\nB. table, bed, tv\n"
         "C. bed, tv, table"), "B"),
    ],
)  # fmt: skip
def test_lettered_options_are_answered_by_letter(room, text, letter):
    assert said(room, text) == letter


def test_not_seen_is_another_answer_than_no(room):
    absent, _ = answer(room, "Is there a sofa?")
    assert absent.value is False
    assert absent.not_seen == ()
    unseen, _ = answer(room, "How tall is the sofa?")
    assert unseen.value is None
    assert unseen.not_seen == ("sofa",)


def test_absence_is_no_surer_than_finding_is_reliable(thing, view_of):
    doubtful = thing("chair", (3, 0), score=0.3)
    view = view_of(thing("table", (2, 0)), doubtful, recall=0.8)
    assert answer(view, "Is there a sofa?")[0].confidence == pytest.approx(0.8)
    assert answer(view, "Is there a chair?")[0].confidence == pytest.approx(0.8 * 0.7)
    assert answer(view, "How tall is the chair?")[0].confidence == pytest.approx(0.8 * 0.7)


def test_what_cannot_be_looked_for_is_not_answered(room):
    for text in ("Is there a unicorn?", "How far is the unicorn from the bed?",
                 "Which is closer to the bed, the tv or the unicorn?"):  # fmt: skip
        assert answer(room, text) is None


def test_without_a_camera_or_stamps_only_what_needs_none_is_answered(thing, view_of):
    items = thing("bed", (3, 1)), thing("tv", (3, -1))
    known = view_of(*items)
    view = ObjectView(known.find, recall=1.0)
    assert said(view, "How far is the bed from the tv in metres?") == "1.5"
    for text in (
        "How far away is the bed?",
        "Is the bed left or right of the tv?",
        "Is the bed on my left or on my right?",
        "Which appears first, the bed or the tv?",
        "Which is closer to me, the bed or the tv?",
    ):
        assert answer(view, text) is None, text


def test_a_near_tie_makes_a_rank_less_sure_and_nothing_unseen(thing, view_of):
    tables = [thing("table", (x, 0), (1, 1, 1), sigma=0.1, name=str(x)) for x in (2, 4, 6)]
    measured, words = answer(view_of(*tables), "How tall is the largest table in metres?")
    assert words == "1.0"
    assert measured.confidence == pytest.approx(0.25)


def test_counting_reckons_with_every_candidate(thing, view_of):
    scores = (0.95, 0.9, 0.6, 0.4)
    chairs = [thing("chair", (i, 0), score=s, name=str(i)) for i, s in enumerate(scores)]
    counted, words = answer(view_of(*chairs), "How many chairs are there?")
    assert words == "3"
    chances = np.array([1.0])
    for score in scores:
        chances = np.convolve(chances, [1 - score, score])
    assert counted.confidence == pytest.approx(chances[3])
    low, high = counted.interval
    assert (low, high) == (1, 4)
    assert chances[int(low) : int(high) + 1].sum() >= 0.95


def test_equal_stamps_leave_the_order_open(thing, view_of):
    items = [thing(label, (i, 0)) for i, label in enumerate(("bed", "tv", "box"))]
    view = view_of(*items, first_seen={"bed": 5, "tv": 5, "box": 9})
    assert answer(view, "Which appears first, the bed or the tv?")[0].confidence == 0.5
    assert answer(view, "Which appears last, the bed or the box?")[0].confidence == 1.0


def test_confidence_falls_with_the_scores_and_with_the_spread(thing, view_of):
    def sure(sigma, score=1.0):
        items = (
            thing("bed", (3, 0), sigma=sigma),
            thing("tv", (3, 2), sigma=sigma, score=score),
            thing("box", (3, -2.6), sigma=sigma),
        )
        texts = (
            "Which is closer to the bed, the tv or the box?",
            "Standing at the bed and facing the tv, is the box to my left, right or behind me?",
            "Is the tv left or right of the bed?",
            "Is the tv on my left or on my right?",
        )
        return [answer(view_of(*items), text)[0].confidence for text in texts]

    assert sure(0.0) == pytest.approx([1, 1, 1, 1])
    assert sure(0.0, score=0.7) == pytest.approx([0.7] * 4)
    for near, far in ((0.05, 0.5), (0.5, 1.5)):
        assert all(b < a for a, b in zip(sure(near), sure(far), strict=True))
    assert min(sure(1.5)) > 0.2


def test_confidence_is_the_share_of_right_answers_of_boxes_as_uncertain_as_they_say():
    """Three boxes anywhere, whose centres are measured with the spread that they state."""
    rng, sigma = np.random.default_rng(0), 0.4
    texts = (
        "Standing at the bed and facing the tv, is the box to my left, right or behind me?",
        "Is the box left or right of the bed?",
        "Is the box on my left or on my right?",
    )
    camera = Viewpoint.camera("map", SE3(OPTICAL, np.array([-6.0, 0, 1])))
    right, sure = np.zeros(len(texts)), np.zeros(len(texts))
    draws = 400
    for _ in range(draws):
        true = rng.uniform(-3, 3, (3, 2))
        views = []
        for centers, std in ((true, 0.0), (true + rng.normal(0, sigma, (3, 2)), sigma)):
            items = {
                label: placed(Box3D.upright((*center, 0.5), (0.4, 0.4, 0.4)), std, label)
                for label, center in zip(("bed", "tv", "box"), centers, strict=True)
            }
            views.append(
                ObjectView(lambda name, items=items: [items[name]], recall=1.0, camera=camera)
            )
        for index, text in enumerate(texts):
            measured, words = answer(views[1], text)
            right[index] += said(views[0], text) == words
            sure[index] += measured.confidence
    assert right / draws == pytest.approx(sure / draws, abs=0.05)


boxes = st.builds(
    Box3D.upright,
    st.tuples(st.floats(-4, 4), st.floats(-4, 4), st.floats(0, 2)),
    st.tuples(*[st.floats(0.05, 1.5)] * 3),
    st.floats(-3.1, 3.1),
)
motions = st.builds(
    lambda yaw, x, y, z: SE3(Rotation.from_euler("z", yaw).as_matrix(), np.array([x, y, z])),
    st.floats(-3.1, 3.1), st.floats(-9, 9), st.floats(-9, 9), st.floats(-2, 2),
)  # fmt: skip


def placed(box, sigma=0.1, label="thing"):
    covariance = np.eye(6) * sigma**2
    return SceneObject(
        label=label,
        query=label,
        score=1.0,
        box=box,
        frame_id="map",
        stamp_ns=0,
        covariance=covariance,
        orientation_estimated=True,
        observations=1,
        depth_coverage=1.0,
    )


@given(boxes, boxes, motions)
def test_lengths_are_the_same_anywhere_in_the_map(a, b, motion):
    moved = placed(a.transformed(motion)), placed(b.transformed(motion))
    assert distance(*moved).value == pytest.approx(distance(placed(a), placed(b)).value, abs=1e-5)
    for dimension in ("longest", "height", "width", "depth"):
        assert size(moved[0], dimension, UP) == pytest.approx(size(placed(a), dimension, UP))
    assert volume(moved[0]) == pytest.approx(volume(placed(a)))
    point = b.center
    expected = distance_from(point, placed(a))
    assert distance_from(motion.apply(point), moved[0]) == pytest.approx(expected, abs=1e-6)


def test_intervals_hold_what_they_promise():
    """Boxes drawn with the stated spread of their faces are in the interval 95 % of the time."""
    rng, sigma = np.random.default_rng(0), 0.05
    a, b = (Box3D.upright((x, 0, 0.5), (1.0, 0.6, 1.0)) for x in (0, 3))
    inside = {"size": 0, "distance": 0}
    draws = 400
    for _ in range(draws):
        drawn = []
        for box in (a, b):
            low, high = -box.size / 2, box.size / 2
            low, high = (end + rng.normal(0, np.sqrt(2) * sigma, 3) for end in (low, high))
            drawn.append(
                placed(Box3D.upright(box.center + (low + high) / 2, high - low), sigma, "box")
            )
        for name, length, true in (
            ("size", size(drawn[0], "longest", UP), 1.0),
            ("distance", distance(*drawn), 2.0),
        ):
            inside[name] += abs(length.value - true) < 1.96 * length.std
    assert all(0.92 < count / draws < 0.98 for count in inside.values())


@given(st.lists(st.tuples(st.floats(-4, 4), st.floats(-4, 4)), min_size=3, max_size=3), motions)
def test_directions_do_not_depend_on_the_map_nor_on_the_frame(centers, motion):
    """The same answer in the map, in a map shifted and turned, and in an optical frame."""
    map_from_camera = SE3(OPTICAL, np.array([-5.0, 0, 1]))
    text = (
        "Standing at the bed and facing the tv, is the box to my front-left, front-right, "
        "back-left, or back-right?"
    )
    flat = np.array(centers)
    spread = [np.linalg.norm(flat[i] - flat[j]) for i, j in ((0, 1), (0, 2))]
    ahead, way = flat[1] - flat[0], flat[2] - flat[0]
    off = np.degrees(np.arctan2(ahead[0] * way[1] - ahead[1] * way[0], ahead @ way))
    if min(spread) < 0.1 or abs((off + 45) % 90 - 45) < 1:
        return
    expected = ("back-" if abs(off) > 90 else "front-") + ("left" if off > 0 else "right")
    for frame_from_map in (SE3.identity(), motion, map_from_camera.inverse()):
        items = {
            label: placed(
                Box3D.upright((*center, 0.5), (0.3, 0.3, 0.3)).transformed(frame_from_map),
                label=label,
            )
            for label, center in zip(("bed", "tv", "box"), centers, strict=True)
        }
        in_optical = frame_from_map.rotation[1, 2] < -0.5
        camera = Viewpoint.camera("map", None if in_optical else frame_from_map @ map_from_camera)
        view = ObjectView(lambda name, items=items: [items[name]], recall=1.0, camera=camera)
        assert said(view, text) == expected


@pytest.mark.parametrize(
    ("text", "words", "confidence"),
    [
        ("What colour is the sofa?", "red", 0.7 * 0.9),
        ("Which color does the sofa have? Options: A. blue B. red", "B", 0.7 * 0.9),
        ("Is the sofa red?", "yes", 0.7 * 0.9),
        ("Is the sofa white?", "no", 0.7 * 0.9),
        ("Is the sofa blue?", "no", 0.9),
    ],
)
def test_a_colour_is_as_sure_as_its_share_of_the_pixels(thing, view_of, text, words, confidence):
    sofa = replace(thing("sofa", (2, 0), score=0.9), colors=COLORED)
    measured, text = answer(view_of(sofa), text)
    assert text == words
    assert measured.confidence == pytest.approx(confidence)
    assert measured.objects == (sofa,)


def test_what_has_a_colour_but_was_not_seen_is_named(thing, view_of):
    doubtful = replace(thing("sofa", (2, 0), score=0.2), colors=COLORED)
    assert said(view_of(doubtful), "What colour is the sofa?") == "not seen: sofa"


def test_without_masks_a_colour_is_left_to_others(thing, view_of):
    view = view_of(thing("sofa", (2, 0)))
    for text in ("What colour is the sofa?", "Is the sofa red?", "What colour is the bed?"):
        assert answer(view, text) is None
