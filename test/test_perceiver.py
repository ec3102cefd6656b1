import numpy as np
import pytest
from models import LABELS, make_clip, make_frame, shared_modules

from vega3d_ros.frames import Clip
from vega3d_ros.perceiver import Perceiver, PerceiverError

QUESTIONS = ["How many chairs can you see?", "Is there a bed?"]


@pytest.fixture
def perceiver():
    """A random model that thinks everything is here."""
    made = Perceiver(shared_modules())
    made.threshold = made.listing_threshold = 0.0
    return made


def same_objects(one, two):
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        assert (a.label, a.score, a.observations) == (b.label, b.score, b.observations)
        assert np.array_equal(a.box.center, b.box.center)
        assert np.array_equal(a.box.size, b.box.size)
        assert np.array_equal(a.covariance, b.covariance)


def test_the_same_clip_gives_the_same_scene_bit_for_bit():
    scenes = [Perceiver(shared_modules()).observe(make_clip()) for _ in range(2)]
    for scene in scenes:
        scene._perceiver.listing_threshold = 0.0
    same_objects(*(scene.objects for scene in scenes))
    assert np.array_equal(scenes[0].gate, scenes[1].gate)
    answers = [scene.ask_all(QUESTIONS) for scene in scenes]
    assert [(a.text, a.confidence) for a in answers[0]] == [
        (a.text, a.confidence) for a in answers[1]
    ]


def test_overlapping_clips_encode_only_new_keyframes(perceiver, monkeypatch):
    encoded = []
    encode = perceiver._encode
    monkeypatch.setattr(
        perceiver,
        "_encode",
        lambda frames: encoded.extend(f.stamp_ns for f in frames) or encode(frames),
    )
    first, slid = make_clip(3), make_clip(3, first=1)
    perceiver.observe(first)
    kept = perceiver.observe(slid)
    assert encoded == [f.stamp_ns for f in first.frames] + [slid.stamp_ns]
    fresh = Perceiver(shared_modules()).observe(slid)
    assert np.allclose(kept.gate, fresh.gate, atol=1e-5)
    perceiver.reset()
    perceiver.observe(slid)
    assert encoded[4:] == [f.stamp_ns for f in slid.frames]


def test_kept_keyframes_are_bounded(perceiver):
    perceiver._keyframes = 4
    for first in range(0, 9, 3):
        perceiver.observe(make_clip(3, first=first))
    assert len(perceiver._kept) == 4


def test_objects_stand_in_the_fixed_frame_and_carry_what_is_known(perceiver):
    scene = perceiver.observe(make_clip())
    assert scene.objects
    assert scene.gate.shape == (3, 6, 8)
    assert scene.gate.min() >= 0
    assert scene.gate.max() <= 1
    for found in scene.objects:
        assert found.frame_id == "map"
        assert found.label in LABELS
        assert 0 <= found.score <= 1
        assert 1 <= found.observations <= 3
        assert found.depth_coverage == 1.0
        assert scene.clip.start_ns <= found.stamp_ns <= scene.clip.stamp_ns
        assert np.isfinite(found.covariance).all()
        assert np.linalg.eigvalsh(found.covariance).min() > 0


def test_without_poses_objects_stand_in_the_newest_camera(perceiver):
    scene = perceiver.observe(make_clip(pose=False))
    assert scene.objects
    for found in scene.objects:
        assert found.frame_id == "camera_optical"
        assert found.stamp_ns == scene.clip.stamp_ns
        assert found.box.center[2] > 0
        # Upright in a level camera: the box's z axis points against the optical y axis.
        assert np.allclose(found.box.rotation[:, 2], [0, -1, 0])


def test_without_depth_ranges_are_predicted(perceiver):
    assert all(o.depth_coverage == 0 for o in perceiver.observe(make_clip(depth=False)).objects)


def test_without_calibration_there_are_answers_but_no_objects(perceiver):
    scene = perceiver.observe(make_clip(camera=False, depth=False))
    assert scene.objects == ()
    assert scene.ground("chair") == ()
    assert isinstance(scene.ask(QUESTIONS[0]).text, str)
    assert scene.locate_all(["chair"])[0].found is None


def test_asking_many_is_asking_each(perceiver):
    scene = perceiver.observe(make_clip())
    together = scene.ask_all(QUESTIONS)
    for question, answer in zip(QUESTIONS, together, strict=True):
        alone = scene.ask(question)
        assert answer.text == alone.text
        assert answer.confidence == pytest.approx(alone.confidence, rel=1e-4)
        assert answer.stamp_ns == scene.clip.stamp_ns
    assert scene.ask_all([]) == []


def test_an_answer_names_the_objects_the_question_speaks_of(perceiver):
    answer = perceiver.observe(make_clip()).ask("How many chairs are near the bed?")
    assert {o.label for o in answer.objects} == {"bed", "chair"}


def test_a_description_keeps_its_words_and_takes_a_known_label(perceiver):
    found = perceiver.observe(make_clip()).ground("the red  chair")
    assert found
    assert {(o.label, o.query) for o in found} == {("chair", "the red chair")}


def test_a_high_threshold_finds_nothing(perceiver):
    perceiver.threshold = perceiver.listing_threshold = 1.1
    scene = perceiver.observe(make_clip())
    assert scene.objects == ()
    with pytest.raises(PerceiverError, match="'bed' was not found"):
        scene.relation("bed", "chair")


def test_relation_speaks_of_the_best_match_of_each(perceiver):
    relation = perceiver.observe(make_clip()).relation("bed", "chair")
    assert relation.subject.query == "bed"
    assert relation.object.query == "chair"
    assert relation.viewpoint == "camera"


def test_relation_can_be_told_from_an_object_or_the_fixed_frame(perceiver):
    scene = perceiver.observe(make_clip())
    assert scene.relation("bed", "chair", "table").viewpoint == "table"
    assert scene.relation("bed", "chair", "map").viewpoint == "map"
    perceiver.threshold = 1.1
    with pytest.raises(PerceiverError, match="not found"):
        scene.relation("bed", "chair", "table")


def test_what_is_not_here_leaves_an_answer_without_objects(perceiver):
    perceiver.threshold = 1.1
    assert perceiver.observe(make_clip(1)).ask("How many chairs can you see?").objects == ()


@pytest.mark.parametrize(("text", "said"), [("  ", "empty"), ("x" * 2001, "2001 characters")])
def test_texts_that_cannot_be_asked_are_refused(perceiver, text, said):
    scene = perceiver.observe(make_clip(1))
    with pytest.raises(PerceiverError, match=said):
        scene.ask(text)
    with pytest.raises(PerceiverError, match=said):
        scene.ground(text)


def test_frames_of_different_size_are_refused(perceiver):
    clip = Clip((make_frame(0), make_frame(1, size=(100, 60))))
    with pytest.raises(PerceiverError, match="one size"):
        perceiver.observe(clip)


def test_stages_are_timed(perceiver):
    scene = perceiver.observe(make_clip(1))
    scene.ask(QUESTIONS[0])
    assert set(scene.stages_ms) >= {"encode", "read", "answer"}
    assert all(spent > 0 for spent in scene.stages_ms.values())
