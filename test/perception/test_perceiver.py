from dataclasses import replace

import numpy as np
import pytest
import torch
from support.closeness import SAME_CONFIDENCE, assert_close_to_magnitude
from support.tiny_models import LABELS, make_clip, make_frame, random_modules, shared_modules

from vega3d_ros.core.frames import Clip
from vega3d_ros.perception.finder import POSSIBLE
from vega3d_ros.perception.object_prompt import describe
from vega3d_ros.perception.perceiver import Perceiver, PerceiverError

pytestmark = pytest.mark.numeric

QUESTIONS = ["How many chairs can you see?", "Is there a bed?"]


def sees_everything():
    made = Perceiver(shared_modules())
    made.threshold = made.listing_threshold = 0.0
    return made


@pytest.fixture
def perceiver():
    """A random model that thinks everything is here."""
    return sees_everything()


def same_objects(one, two):
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        assert (a.label, a.score, a.observations) == (b.label, b.score, b.observations)
        assert np.array_equal(a.box.center, b.box.center)
        assert np.array_equal(a.box.size, b.box.size)
        assert np.array_equal(a.covariance, b.covariance)


def test_the_same_clip_gives_the_same_scene_bit_for_bit():
    scenes = [sees_everything().observe(make_clip()) for _ in range(2)]
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
    assert_close_to_magnitude(kept.gate, fresh.gate, "network")
    perceiver.reset()
    perceiver.observe(slid)
    assert encoded[4:] == [f.stamp_ns for f in slid.frames]


def test_kept_keyframes_are_bounded():
    perceiver = Perceiver(shared_modules(), keyframes=4)
    for first in range(0, 9, 3):
        perceiver.observe(make_clip(3, first=first))
    assert len(perceiver._fused) == 4


def test_other_pictures_of_the_same_camera_and_stamps_are_looked_at(perceiver):
    clip = make_clip(2)
    others = [replace(frame, image=255 - frame.image) for frame in clip.frames]
    other = Clip((clip.frames[0], others[1]))  # also where only one differs
    before = perceiver.observe(clip)
    found = perceiver.observe(other)
    fresh = sees_everything().observe(other)
    assert_close_to_magnitude(found.gate, fresh.gate, "network")
    assert np.array_equal(found.gate[0], before.gate[0])
    assert not np.array_equal(found.gate[1], before.gate[1])


def test_keyframes_are_kept_by_model_camera_and_stamp(perceiver, monkeypatch):
    encoded = []
    encode = perceiver._encode
    monkeypatch.setattr(
        perceiver, "_encode", lambda frames: encoded.append(len(frames)) or encode(frames)
    )
    clip = make_clip(2)
    for shown in (
        clip,
        clip,
        Clip(tuple(replace(frame, frame_id="other_camera") for frame in clip.frames)),
        Clip(tuple(replace(frame, stamp_ns=frame.stamp_ns + 1) for frame in clip.frames)),
    ):
        perceiver.observe(shown)
    assert encoded == [2, 2, 2]
    perceiver.modules = random_modules(seed=1)
    perceiver.observe(clip)
    assert encoded == [2, 2, 2, 2]


def test_a_growing_clip_reads_only_its_new_frames_and_a_slid_one_all(perceiver):
    # Without poses the tokens of a frame do not depend on the newest one.
    grown = [make_clip(count, pose=False) for count in (2, 3)]
    first = perceiver.observe(grown[0])
    asked = first.ask(QUESTIONS[0])
    second = perceiver.observe(grown[1])
    assert (first.reading.prefix.reused, second.reading.prefix.reused) == (0, 2)
    again = first.ask(QUESTIONS[0])
    assert (again.text, again.confidence) == (asked.text, asked.confidence)
    fresh = Perceiver(shared_modules()).observe(grown[1])
    assert fresh.reading.prefix.reused == 0
    assert second.reading.prefix.position == fresh.reading.prefix.position
    for mine, whole in zip(
        second.reading.prefix.cache.layers, fresh.reading.prefix.cache.layers, strict=True
    ):
        assert_close_to_magnitude(mine.keys, whole.keys, "network")
        assert_close_to_magnitude(mine.values, whole.values, "network")
    assert second.ask(QUESTIONS[0]).text == fresh.ask(QUESTIONS[0]).text
    assert perceiver.observe(grown[1]).reading.prefix.reused == 3
    assert perceiver.observe(make_clip(3, first=1, pose=False)).reading.prefix.reused == 0
    moved = perceiver.observe(make_clip(3))  # with poses, all tokens change with the newest pose
    assert moved.reading.prefix.reused == 0


def test_memory_that_ends_while_encoding_costs_time_and_nothing_else(perceiver, monkeypatch):
    clip = make_clip(3)
    expected = Perceiver(shared_modules()).observe(clip)
    encode, said, sizes = perceiver._encode, [], []
    perceiver.out_of_memory.report = said.append
    perceiver.observe(make_clip(2, first=7))

    def short(frames):
        sizes.append(len(frames))
        if len(frames) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")
        return encode(frames)

    monkeypatch.setattr(perceiver, "_encode", short)
    scene = perceiver.observe(clip)
    assert_close_to_magnitude(scene.gate, expected.gate, "network")
    assert scene.frames_left_out == 0
    assert sizes == [3, 2, 1, 1, 1]
    assert perceiver.out_of_memory.count == 2
    what = "CUDA out of memory. Tried to allocate 2 GiB; keyframes are taken {} at a time"
    assert said == [what.format(2), what.format(1)]
    assert len(perceiver._fused) == 3  # the older ones were forgotten


def test_memory_that_ends_while_reading_leaves_the_newest_half(perceiver, monkeypatch):
    clip = make_clip(3)
    language = perceiver.modules.language
    read = language.read

    def short(visual, earlier=None):
        if len(visual) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: 4 bytes")
        return read(visual, earlier)

    monkeypatch.setattr(language, "read", short)
    scene = perceiver.observe(clip)
    assert scene.clip.frames == clip.frames[1:]
    assert scene.frames_left_out == 1
    assert scene.gate.shape[0] == 2
    assert isinstance(scene.ask(QUESTIONS[0]).text, str)
    assert perceiver.out_of_memory.count == 1


def test_memory_that_ends_in_a_request_leaves_the_prefix_as_it_was(perceiver, monkeypatch):
    scene = perceiver.observe(make_clip(2))
    expected = scene.ask_all(QUESTIONS), scene.ground("the chair")
    layer = perceiver.modules.language.model.model.language_model.layers[2]
    forward = layer.forward

    def short(hidden, *args, **kwargs):  # in the midst of a pass that takes many texts at once
        if hidden.shape[1] > 12:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(hidden, *args, **kwargs)

    monkeypatch.setattr(layer, "forward", short)
    found = scene.ask_all(QUESTIONS), scene.ground_all(["the chair"] * 9)[8]
    assert perceiver.out_of_memory.count > 2
    for mine, theirs in zip(found[0], expected[0], strict=True):
        assert mine.text == theirs.text
        assert mine.confidence == pytest.approx(theirs.confidence, rel=SAME_CONFIDENCE)
    assert len(found[1]) == len(expected[1])
    for kept in scene.reading.prefix.cache.layers:
        assert kept.get_seq_length() == scene.reading.prefix.length + scene.reading.prefix.objects


def test_what_fails_for_another_reason_or_twice_is_raised(perceiver, monkeypatch):
    for error in (RuntimeError("shapes differ"), torch.OutOfMemoryError("no memory at all")):

        def fail(frames, error=error):
            raise error

        monkeypatch.setattr(perceiver, "_encode", fail)
        with pytest.raises(RuntimeError, match=str(error)):
            perceiver.observe(make_clip(2))
    assert perceiver.out_of_memory.count == 1


def fused(perceiver, clip):
    return torch.stack([kept.tokens for kept in perceiver._encode(list(clip.frames))]).float()


def test_fused_tokens_of_nano_are_those_of_the_official_protocol():
    clip = make_clip(2)
    expected = fused(Perceiver.from_pretrained("nano", reference=True), clip)
    found = fused(Perceiver.from_pretrained("nano"), clip)
    assert (found - expected).norm() < 1e-5 * expected.norm()
    half = fused(Perceiver.from_pretrained("nano", dtype=torch.bfloat16), clip)
    alike = torch.nn.functional.cosine_similarity(half.flatten(1), expected.flatten(1))
    assert alike.min() > 0.9999


def test_bfloat16_runs_the_whole_pipeline():
    perceiver = Perceiver.from_pretrained("nano", dtype=torch.bfloat16)
    exact = Perceiver.from_pretrained("nano")
    clip = make_clip(2)
    scene, expected = perceiver.observe(clip), exact.observe(clip)
    assert np.allclose(scene.gate, expected.gate, atol=0.05)
    assert isinstance(scene.ask(QUESTIONS[0]).text, str)
    assert isinstance(scene.ground("the chair"), tuple)


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
    assert scene.likeliest_all(["chair"])[0].found is None


def test_asking_many_is_asking_each(perceiver):
    scene = perceiver.observe(make_clip())
    together = scene.ask_all(QUESTIONS)
    for question, answer in zip(QUESTIONS, together, strict=True):
        alone = scene.ask(question)
        assert answer.text == alone.text
        assert answer.confidence == pytest.approx(alone.confidence, rel=SAME_CONFIDENCE)
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
        perceiver.observe(make_clip()).relation("bed", "chair", "table")


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


def test_questions_are_asked_behind_what_was_found(perceiver):
    """The objects are read behind the clip, once; they change answers, not grounding."""
    one, other = (perceiver.observe(make_clip()) for _ in range(2))
    first = one.ground("the bed")
    answers = one.ask_all(QUESTIONS)
    assert one.reading.prefix.objects == len(one.prompted) > 0
    assert other.ask_all(QUESTIONS)[0].confidence == answers[0].confidence
    same_objects(first, other.ground("the bed"))
    assert other.reading.prefix.objects == len(one.prompted)


def test_what_is_looked_for_adds_to_what_the_language_model_reads(perceiver):
    perceiver.queries = ("the blue lamp",)
    scene = perceiver.observe(make_clip())
    assert {o.query for o in scene.objects} == {"the blue lamp"}
    assert {f.query for f in scene._finder.known} == {"the blue lamp", *LABELS}


def test_object_tokens_stand_in_the_newest_levelled_camera(perceiver):
    scene = perceiver.observe(make_clip())
    values, shown = describe(scene.prompted, scene.clip, scene.reading.tokens)
    assert shown.sum(axis=1) == pytest.approx(1)
    newest = scene.clip.frames[-1].pose.translation  # level and headed along x of the map
    for row, found in zip(values, scene.prompted, strict=True):
        assert_close_to_magnitude(3 * row[:3], found.box.center - newest, "elementwise")
        assert row[8] == pytest.approx(found.score)


def test_listing_leaves_out_what_is_only_possible(perceiver):
    scene = perceiver.observe(make_clip())
    best = scene.prompted[0].score
    assert best == max(found.score for found in scene.prompted)
    perceiver.listing_threshold = best
    assert [o.score for o in perceiver.observe(make_clip()).objects] == [best]


def test_an_answer_names_what_was_found_without_another_search(perceiver, monkeypatch):
    scene = perceiver.observe(make_clip())
    wanted = [o for found in scene._finder.find(["bed", "chair"], 0.0) for o in found]
    assert scene.prompted  # from here on, everything was looked for once
    searched = []
    monkeypatch.setattr(scene._finder, "find", searched.append)
    named = scene.ask("Is the bed left of the chairs?").objects
    assert not searched
    possible = [o.score for o in wanted if o.score >= POSSIBLE]
    assert sorted(o.score for o in named) == pytest.approx(sorted(possible))


def test_the_likeliest_match_is_what_grounding_returns_first(perceiver):
    """Evaluation reads both off one search."""
    perceiver.threshold = 0.4
    scene = perceiver.observe(make_clip())
    for found, best in zip(scene.ground_all(LABELS), scene.likeliest_all(LABELS), strict=True):
        here = best.found is not None and best.found.score >= perceiver.threshold
        same_objects(found[:1], [best.found] if here else [])


def test_a_scene_gives_its_tokens_to_others(perceiver):
    scene = perceiver.observe(make_clip())
    assert scene.features().shape[:3] == scene.gate.shape
