"""Questions on the way: one right answer for every clip that may be the newest one."""

from __future__ import annotations

import numpy as np
import pytest

from vega3d_ros.simulation.question_sampling import CLIP_LENGTH, LAG_S, keyframes, sample_questions
from vega3d_ros.simulation.visibility import GLIMPSED_PIXELS, SEEN_PIXELS

RATE_HZ = 10.0
COUNT = 300
LOOKS_ALONG_X = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def pose(x):
    matrix = np.eye(4)
    matrix[:3, :3] = LOOKS_ALONG_X
    matrix[:3, 3] = (x, 0.0, 1.0)
    return matrix.tolist()


def thing(name, label, center, begin_s, end_s):
    """An object that is seen from one time to another, and glimpsed for half a second around."""
    times = np.arange(COUNT) / RATE_HZ
    pixels = np.where((times >= begin_s) & (times < end_s), 800, 0)
    near = (times >= begin_s - 0.5) & (times < end_s + 0.5)
    pixels = np.where(near & (pixels == 0), 60, pixels)
    return {
        "id": name,
        "label": label,
        "color": "red",
        "center": center,
        "size": [0.6, 0.5, 0.9],
        "yaw": 0.0,
        "visible_pixels": pixels.tolist(),
    }


@pytest.fixture
def drive():
    return {
        "stamps_ns": [10**18 + round(i / RATE_HZ * 1e9) for i in range(COUNT)],
        "poses": [pose(0.031 * i) for i in range(COUNT)],
        "objects": [
            thing("chair_1", "chair", [12.0, 1.0, 0.5], 0, 14),
            thing("table_1", "table", [12.0, -1.5, 0.5], 0, 14),
            thing("chair_2", "chair", [14.0, 2.0, 0.5], 14, 30),
            thing("bed_1", "bed", [14.5, 0.0, 0.5], 14, 30),
            thing("tv_1", "tv", [14.5, -2.0, 0.5], 14, 30),
        ],
    }


def newest_clips(drive, at_s):
    """Every clip that may be the newest one when something is asked."""
    kept = keyframes(drive)
    for end in range(CLIP_LENGTH, len(kept) + 1):
        begin_s = kept[end - 1] / RATE_HZ
        next_s = kept[end] / RATE_HZ if end < len(kept) else np.inf
        if begin_s <= at_s - LAG_S[0] and next_s > at_s - LAG_S[1]:
            yield kept[end - CLIP_LENGTH : end]


def most_pixels(item, clip):
    return max(item["visible_pixels"][i] for i in clip)


def test_keyframes_follow_the_policy_of_the_clip_buffer(drive):
    assert keyframes(drive) == list(range(0, COUNT, 5))  # 0.15 m at 0.031 m a frame


def test_every_question_holds_for_every_clip_that_may_be_newest(drive):
    interview = sample_questions(drive, np.random.default_rng(0))
    known = {item["id"]: item for item in drive["objects"]}
    assert len(interview["questions"]) >= 8
    for question in interview["questions"]:
        clips = list(newest_clips(drive, question["ask_at_s"]))
        assert clips
        for clip in clips:
            for name in question["objects"]:
                assert most_pixels(known[name], clip) >= SEEN_PIXELS
            chairs = [
                most_pixels(item, clip) for item in known.values() if item["label"] == "chair"
            ]
            if question["kind"] == "count" and "chair" in question["question"]:
                assert question["answer"] == str(sum(seen >= SEEN_PIXELS for seen in chairs))
            if question["kind"] == "yes_no" and question["answer"] == "no":
                assert not any(
                    most_pixels(item, clip) >= GLIMPSED_PIXELS
                    for item in known.values()
                    if item["label"] in question["question"]
                )


def test_relations_name_things_seen_together(drive):
    interview = sample_questions(drive, np.random.default_rng(0))
    known = {item["id"]: item for item in drive["objects"]}
    assert len(interview["relations"]) >= 3
    for relation in interview["relations"]:
        assert relation["subject"].endswith(known[relation["subject_id"]]["label"])
        for clip in newest_clips(drive, relation["ask_at_s"]):
            for name in (relation["subject_id"], relation["object_id"]):
                assert most_pixels(known[name], clip) >= SEEN_PIXELS


def test_nothing_is_asked_while_the_view_changes(drive):
    interview = sample_questions(drive, np.random.default_rng(0))
    times = [item["ask_at_s"] for kind in interview.values() for item in kind]
    # At 14 s the second room comes into view, and some clips that may be the newest lack it.
    assert not [at for at in times if 14.1 < at < 15.1]
    assert min(times) < 10
    assert max(times) > 20


def test_times_and_topics_do_not_repeat(drive):
    interview = sample_questions(drive, np.random.default_rng(1))
    times = sorted(item["ask_at_s"] for kind in interview.values() for item in kind)
    assert min(np.diff(times)) >= 0.5
    texts = [question["question"] for question in interview["questions"]]
    assert len(set(texts)) == len(texts)


def test_same_seed_same_interview(drive):
    first = sample_questions(drive, np.random.default_rng(5))
    assert first == sample_questions(drive, np.random.default_rng(5))


def test_drive_that_shows_nothing_gets_no_questions(drive):
    drive["objects"] = [thing("chair_1", "chair", [1.0, 0.0, 0.5], 99, 100)]
    assert sample_questions(drive, np.random.default_rng(0)) == {"questions": [], "relations": []}
