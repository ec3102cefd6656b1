"""A perceiver of a 2D detector and depth alone: no language model, no prior."""

import numpy as np
import pytest
from support.box_scenes import BoxScene, about_z, around, chair_like, moved
from support.tiny_models import make_clip, shared_modules

from vega3d_ros.core.frames import Clip
from vega3d_ros.core.geometry import iou_oriented
from vega3d_ros.models.grounders.lifted import LiftedGrounder
from vega3d_ros.perception.loading import warm_up
from vega3d_ros.perception.object_map import ObjectMap
from vega3d_ros.perception.perceiver import Perceiver, PerceiverError

SOFA = chair_like(0.0, 0.0, 0.0, (1.6, 0.8, 0.7))
TABLE = chair_like(0.0, 1.9, 0.0, (1.2, 0.7, 0.7))
CHAIR = chair_like(0.9, 1.0, 0.0, (0.5, 0.5, 0.9))
THINGS = [("sofa", SOFA), ("dining table", TABLE), ("chair", CHAIR)]


@pytest.fixture(scope="module")
def room():
    views = around((0.3, 0.9, 0.4), count=6, radius=3.2, height=1.6, start=-0.9, sweep=1.8)
    return BoxScene(THINGS, views, extra_names=["tv"])


@pytest.fixture
def perceiver(room):
    return Perceiver(grounder=room.grounder())


@pytest.fixture(scope="module")
def scene(room):
    return Perceiver(grounder=room.grounder()).observe(room.clip)


def test_its_objects_are_where_they_are(scene):
    found = {item.label: item for item in scene.objects}
    assert set(found) == {"sofa", "dining table", "chair"}
    for label, box in THINGS:
        assert iou_oriented(found[label].box, box) > 0.7
        assert found[label].source == "depth"
        assert found[label].observations >= 4
    assert scene.gate is None
    assert scene.reading is None


def test_texts_are_found_by_other_words_and_plurals(scene):
    for text in ("the couch", "Sofas", "sofa"):
        (item,) = scene.ground(text)
        assert (item.label, item.query) == ("sofa", text)
    assert scene.ground("tv") == ()


def test_words_that_cannot_be_looked_for_are_named(scene):
    with pytest.raises(PerceiverError, match=r"'the sofaa' cannot .* chair.*did you mean 'sofa'"):
        scene.ground("the sofaa")


def test_descriptions_are_resolved_by_measuring(scene):
    (item,) = scene.ground("the largest table")
    assert item.label == "dining table"
    (item,) = scene.ground("the chair next to the table")
    assert (item.label, item.query) == ("chair", "the chair next to the table")


def test_relations_are_told(scene):
    relation = scene.relation("chair", "couch")
    assert relation.subject.label == "chair"
    assert relation.distance_m == pytest.approx(0.35, abs=0.15)


@pytest.mark.parametrize(
    ("question", "text", "labels"),
    [
        ("How many chairs are there?", "1", {"chair"}),
        ("Is there a sofa?", "yes", {"sofa"}),
        ("Is there a tv?", "no", set()),
        ("How far is the tv from the sofa?", "not seen: tv", set()),
    ],
)
def test_answers_are_measured(scene, question, text, labels):
    answer = scene.ask(question)
    assert (answer.text, answer.source, answer.question) == (text, "measured", question)
    assert {item.label for item in answer.objects} == labels
    assert answer.stamp_ns == scene.clip.stamp_ns


def test_a_distance_is_that_of_the_boxes(scene):
    answer = scene.ask("How far is the sofa from the dining table?")
    assert float(answer.text.removesuffix(" m")) == pytest.approx(1.15, abs=0.15)


def test_what_appeared_first_is_known_by_the_views(scene):
    first = {one.label: min(view.frame for view in one.views) for one in scene.prompted}
    assert first["sofa"] < first["dining table"]
    for question in (
        "Which appears first, the dining table or the sofa?",
        "Which appears first, the sofa or the dining table?",
    ):
        assert scene.ask(question).text == "sofa"


def test_what_cannot_be_measured_is_refused_with_what_can(scene):
    with pytest.raises(PerceiverError, match=r"no language model .* how many.* sofa"):
        scene.ask("What would you cook here?")
    with pytest.raises(PerceiverError, match="no language model"):
        scene.features()


def test_each_keyframe_is_looked_at_once(room, perceiver):
    looked = []
    grounder, look = perceiver.grounder, perceiver.grounder.look
    grounder.look = lambda frame: looked.append(frame.stamp_ns) or look(frame)
    frames = room.clip.frames
    perceiver.observe(Clip(frames[:4]))
    perceiver.observe(Clip(frames[1:5]))
    assert looked == [frame.stamp_ns for frame in frames[:5]]
    perceiver.reset()
    perceiver.observe(Clip(frames[1:5]))
    assert len(looked) == 9


def test_evidence_is_bounded(room):
    perceiver = Perceiver(grounder=room.grounder(), keyframes=3)
    for first in range(4):
        perceiver.observe(Clip(room.clip.frames[first : first + 2]))
    assert len(perceiver._looked) == 3


def test_memory_that_ends_while_looking_costs_time_alone(room, perceiver):
    grounder, look, ends = perceiver.grounder, perceiver.grounder.look, [True]

    def short(frame):
        if ends:
            ends.clear()
            raise MemoryError("no memory")
        return look(frame)

    grounder.look = short
    scene = perceiver.observe(room.clip)
    assert perceiver.out_of_memory.count == 1
    assert scene.frames_left_out == 0
    assert {item.label for item in scene.objects} == {"sofa", "dining table", "chair"}


def test_results_move_with_the_map(room, perceiver, scene):
    shift = about_z(0.7, 3.0, -2.0, 0.4)
    there = Perceiver(grounder=room.grounder()).observe(moved(room.clip, shift))
    for item in scene.objects:
        other = next(one for one in there.objects if one.label == item.label)
        np.testing.assert_allclose(other.box.center, item.box.transformed(shift).center, atol=0.06)
    assert there.ask("Is there a sofa?").text == "yes"


def test_its_scenes_flow_into_the_object_map(room, perceiver):
    objects = ObjectMap()
    for last in (4, 6):
        scene = perceiver.observe(Clip(room.clip.frames[last - 4 : last]))
        objects.update(scene.objects, scene.clip.stamp_ns)
    assert sorted(item.id for item in objects.objects) == ["chair-1", "dining_table-1", "sofa-1"]
    assert {item.source for item in objects.objects} == {"depth"}


def test_without_poses_the_newest_view_is_used():
    views = around((0.3, 0.9, 0.4), count=3, radius=3.2, height=1.6, start=-0.9, sweep=0.6)
    room = BoxScene(THINGS, views, tf=False)
    perceiver = Perceiver(grounder=room.grounder())
    perceiver.threshold = perceiver.listing_threshold = 0.2  # one view is no sure one
    scene = perceiver.observe(room.clip)
    assert scene.objects
    assert {item.frame_id for item in scene.objects} == {"camera"}
    assert scene.ask("How many sofas are there?").source == "measured"


def test_it_is_warmed_up_like_a_model():
    class Nothing:
        vocabulary = ("sofa",)
        images = 0

        def known(self, text):
            return text

        def detect(self, images, texts):
            self.images += len(images)
            return [[] for _ in images]

    detector = Nothing()
    perceiver = Perceiver(grounder=LiftedGrounder(detector))
    warm_up(perceiver, 2)
    assert detector.images == 2
    assert len(perceiver._looked) == 0


def test_neither_model_nor_grounder_is_refused(perceiver):
    with pytest.raises(PerceiverError, match="a model or a grounder"):
        Perceiver()
    with pytest.raises(PerceiverError, match="only a grounder"):
        _ = perceiver.modules


def test_beside_a_language_model_measured_answers_come_first_where_configured(room):
    perceiver = Perceiver(shared_modules(), grounder=room.grounder())
    perceiver.queries = room.detector.vocabulary
    question = "How many chairs are there?"
    assert perceiver.observe(room.clip).ask(question).source == "model"
    perceiver.measured_answers = True
    scene = perceiver.observe(room.clip)
    counted, other = scene.ask_all([question, "What would you cook here?"])
    assert (counted.source, counted.text, other.source) == ("measured", "1", "model")
    assert scene.reading.prefix.objects == len(scene.prompted) == 3  # it reads what was found


def test_a_token_head_measures_where_configured():
    perceiver = Perceiver(shared_modules())
    perceiver.measured_answers, perceiver.threshold = True, 0.0
    answer = perceiver.observe(make_clip()).ask("How many chairs are there?")
    assert answer.source == "measured"
    assert int(answer.text) == len(answer.objects) > 0
