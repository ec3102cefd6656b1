"""Recordings offline: every frame accounted for, resumed where cut short, damage survived."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from support.drive_bags import STORE, write_drive
from support.fake_perceiver import FakePerceiver

from vega3d_ros.evaluation.bag_run import (
    COMPLETE,
    FAILED,
    PARTIAL,
    BagRun,
    Interrupted,
    is_done,
    run_bag,
)
from vega3d_ros.evaluation.run_log import read_log
from vega3d_ros.perception.settings import Parameters, load_parameters
from vega3d_ros.sensing.bags.reader import IMAGE, open_bag
from vega3d_ros.sensing.bags.writer import BagWriter
from vega3d_ros.sensing.clip_builder import HARDLY_MOVED, TOO_SOON, USED

# Every fourth frame a keyframe: they are two centimetres apart.
PARAMETERS = Parameters(keyframe_translation_m=0.079)


@pytest.fixture
def job(drive_bag, tmp_path):
    return BagRun(
        bag=drive_bag.path,
        name="bag",
        folder=tmp_path / "out",
        model_hash="0",
        parameters=PARAMETERS,
    )


def silent(_done_s, _all_s):
    pass


def rewritten(source, target, change):
    """The bag with each message (topic, stamp, decoded or raw bytes) as ``change`` has it."""
    with open_bag(source) as bag, BagWriter(target) as writer:
        for topic, kind in bag.topics.items():
            writer.add_topic(topic, kind)
        for raw in bag.raw_messages(bag.topics):
            for topic, stamp, data in change(bag, raw):
                writer.write(topic, stamp, data)
    return target


def test_every_frame_is_accounted_for(job):
    record = run_bag(job, FakePerceiver(), silent)
    frames = record["frames"]
    assert record["status"] == COMPLETE
    assert frames["in_bag"] == frames["read"] == 30 == sum(frames["by_fate"].values())
    assert set(frames["by_fate"]) == {USED, HARDLY_MOVED}
    assert record["figures"]["scenes"] == frames["by_fate"][USED] == 8
    lines = (job.folder / "frames.csv").read_text().splitlines()
    assert len(lines) == 31
    assert lines[1].endswith(USED)


def test_frames_that_cannot_become_keyframes_are_named(job):
    quick = replace(PARAMETERS, keyframe_min_interval_s=0.1, keyframe_max_interval_s=0.1)
    record = run_bag(replace(job, parameters=quick), FakePerceiver(), silent)
    assert record["frames"]["by_fate"][TOO_SOON] == 15


def test_clips_that_memory_did_not_suffice_for_are_failures(job):
    perceiver = FakePerceiver()
    perceiver.frames_left_out = 1
    record = run_bag(job, perceiver, silent)
    assert len(record["failures"]) == record["figures"]["scenes"] == 8
    assert "the oldest 1 of" in record["failures"][-1]


def test_questions_are_asked_about_the_newest_scene(job, drive_bag):
    run_bag(job, FakePerceiver(), silent)
    log = read_log(job.folder / "log.jsonl")
    assert [reply.index for reply in log.replies] == [0, 1, 2]
    for reply in log.replies:
        moment = drive_bag.start_ns + reply.asked_at_s * 1e9
        newest = max(scene.stamp_ns for scene in log.scenes if scene.at_ns <= moment)
        assert reply.stamp_ns == newest


def test_answers_and_objects_are_scored_against_the_truth(job):
    run_bag(job, FakePerceiver(), silent)
    rows = json.loads((job.folder / "rows.json").read_text())
    by_kind = {row["kind"]: row for row in rows["answers"]}
    assert by_kind["count"]["score"] == 1.0
    assert by_kind["size"]["score"] == 0.0
    assert by_kind["relation"]["truth"].startswith("left of, in front of")
    chairs = [row for row in rows["objects"] if row["label"] == "chair"]
    assert all(row["iou"] > 0.8 and row["error_m"] < 0.06 for row in chairs)
    assert chairs[0]["distance_m"] == pytest.approx(np.hypot(2.2, 0.5))
    assert not any(row["found"] for row in rows["objects"] if row["label"] == "table")
    claims = {(row["label"], row["right"]) for row in rows["claims"]}
    assert claims == {("chair", True), ("table", False)}  # the vase is too improbable


class WithLooks(FakePerceiver):
    """Its scenes hold evidence for the object map, which no log keeps."""

    def observe(self, clip):
        scene = super().observe(clip)
        scene.looks = tuple(SimpleNamespace(stamp_ns=frame.stamp_ns) for frame in clip.frames)
        return scene


def test_a_resumed_run_computes_again_what_the_object_map_needs_and_no_log_holds(job):
    def interrupt(done_s, _all_s):
        if done_s > 1.2:
            raise Interrupted

    run_bag(job, WithLooks(), interrupt)
    done = [scene.stamp_ns for scene in read_log(job.folder / "log.jsonl").scenes]
    again = WithLooks()
    run_bag(job, again, silent)
    scenes = [scene.stamp_ns for scene in read_log(job.folder / "log.jsonl").scenes]
    assert again.observed == scenes
    assert scenes[: len(done)] == done
    assert len(set(scenes)) == len(scenes) == 8


def test_a_run_cut_short_goes_on_where_it_stopped(job, tmp_path):
    whole = replace(job, folder=tmp_path / "whole")
    run_bag(whole, FakePerceiver(), silent)

    def interrupt(done_s, _all_s):
        if done_s > 1.2:
            raise Interrupted

    first = run_bag(job, FakePerceiver(), interrupt)
    assert first["status"] == PARTIAL
    assert not is_done(job)
    assert 0 < first["figures"]["scenes"] < 8
    done = [scene.stamp_ns for scene in read_log(job.folder / "log.jsonl").scenes]
    with (job.folder / "log.jsonl").open("a") as file:
        file.write('{"scene": {"stamp')  # as when the process dies while it writes
    again = FakePerceiver()
    second = run_bag(job, again, silent)
    assert is_done(job)
    assert second["resumed_scenes"] == first["figures"]["scenes"]
    # The last one may be looked at again, where a question is still to be asked of it.
    assert not set(again.observed) & set(done[:-1])
    assert len(set(again.observed) - set(done)) == 8 - len(done)
    ours, theirs = (read_log(j.folder / "log.jsonl") for j in (job, whole))
    assert [s.names for s in ours.scenes] == [s.names for s in theirs.scenes]
    for one, other in zip(ours.scenes, theirs.scenes, strict=True):
        for a, b in zip(one.objects, other.objects, strict=True):
            assert a.id == b.id
            assert (a.box.center == b.box.center).all()
    assert [r.text for r in ours.replies[:2]] == [r.text for r in theirs.replies[:2]]
    assert not is_done(replace(job, model_hash="1"))


def test_damage_loses_only_the_damaged_part(job, drive_bag, tmp_path):
    def change(_bag, raw):
        broken = raw.topic == "/cam/image_raw" and raw.stamp_ns % 3 == 0
        yield raw.topic, raw.stamp_ns, raw.data[:40] if broken else raw.data

    bag = rewritten(drive_bag.path, tmp_path / "broken", change)
    record = run_bag(replace(job, bag=bag), FakePerceiver(), silent)
    broken = record["frames"]["unreadable_messages"]["/cam/image_raw"]
    assert 0 < broken < 30
    assert record["frames"]["by_fate"]["unreadable message"] == broken
    assert f"messages lost: {broken} of /cam/image_raw" in record["damage"]
    assert sum(record["frames"]["by_fate"].values()) == 30
    assert record["figures"]["scenes"] > 2


def test_a_cut_off_file_gives_what_it_has(job, tmp_path):
    write_drive(tmp_path / "bag", frames=30, size=(256, 192))
    file = tmp_path / "bag" / "bag.mcap"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    record = run_bag(replace(job, bag=tmp_path / "bag"), FakePerceiver(), silent)
    assert record["status"] == COMPLETE
    assert "cut off" in record["notes"][0]
    assert record["figures"]["scenes"] > 1


def test_sqlite_that_breaks_in_the_middle_keeps_what_was_read(job, drive_bag, tmp_path):
    from rosbags.convert.converter import convert

    target = tmp_path / "sqlite"
    convert([drive_bag.path], target, "sqlite3", 9, None, "", STORE, None, [], [], [], [])
    (file,) = target.glob("*.db3")
    data = bytearray(file.read_bytes())
    data[-len(data) // 3 :] = bytes(len(data[-len(data) // 3 :]))
    file.write_bytes(data)
    record = run_bag(replace(job, bag=target), FakePerceiver(), silent)
    assert "damaged" in (record.get("error") or record["damage"])


def test_what_nothing_can_be_had_from_is_one_clear_failure(job, tmp_path):
    with BagWriter(tmp_path / "empty") as writer:
        writer.add_topic("/cam/image_raw", IMAGE)
    empty = run_bag(replace(job, bag=tmp_path / "empty"), FakePerceiver(), silent)
    assert (empty["status"], "is empty" in empty["error"]) == (FAILED, True)
    (tmp_path / "noise.mcap").write_bytes(b"noise" * 99)
    noise = run_bag(replace(job, bag=tmp_path / "noise.mcap"), FakePerceiver(), silent)
    assert "damaged" in noise["error"]


def test_run_without_a_scene_is_not_complete(job, drive_bag, tmp_path):
    def change(bag, raw):
        data = raw.data
        if raw.topic == "/cam/image_raw":
            image = bag.decode(raw)
            image.encoding = "rgb99"
            data = STORE.serialize_cdr(image, IMAGE)
        yield raw.topic, raw.stamp_ns, data

    bag = rewritten(drive_bag.path, tmp_path / "unknown", change)
    named = replace(job, bag=bag, image="/cam/image_raw")
    record = run_bag(named, FakePerceiver(), silent)
    assert record["status"] == FAILED
    assert "no scene came of 30 images on /cam/image_raw" in record["error"]
    assert "rgb99" in record["error"]
    assert not is_done(named)


def test_mistake_of_the_package_costs_its_own_recording_alone(job):
    class Broken(FakePerceiver):
        def reset(self):
            raise KeyError("a bug")

    record = run_bag(job, Broken(), silent)
    assert record["status"] == FAILED
    assert "KeyError: 'a bug'" in record["error"]
    assert "a bug" in (job.folder / "traceback.txt").read_text()


def test_a_bag_without_images_says_what_it_has(job, drive_bag, tmp_path):
    def change(_bag, raw):
        if raw.topic.startswith("/tf"):
            yield raw.topic, raw.stamp_ns, raw.data

    bag = rewritten(drive_bag.path, tmp_path / "tf_only", change)
    record = run_bag(replace(job, bag=bag), FakePerceiver(), silent)
    assert record["status"] == FAILED
    assert "no topic with colour or grey images" in record["error"]
    assert "/tf (" in record["error"]
    assert "/cam/image_raw (sensor_msgs/msg/Image, without a message)" in record["error"]


def test_without_transforms_results_stay_in_the_cameras_frame(job, drive_bag, tmp_path):
    def change(_bag, raw):
        if not raw.topic.startswith("/tf"):
            yield raw.topic, raw.stamp_ns, raw.data

    bag = rewritten(drive_bag.path, tmp_path / "no_tf", change)
    slow = replace(PARAMETERS, keyframe_max_interval_s=0.4)
    record = run_bag(replace(job, bag=bag, parameters=slow), FakePerceiver(), silent)
    assert record["status"] == COMPLETE
    assert any("camera's frame" in note for note in record["topics"]["notes"])
    assert record["figures"]["scenes"] == 5
    assert record["figures"]["stability"] == {"ids": 0}


def test_a_recording_that_jumps_back_starts_anew(job, drive_bag, tmp_path):
    """As a recording of a looping simulation: the stamps in the messages start over."""
    shift = 3 * 10**9

    def change(bag, raw):
        yield raw.topic, raw.stamp_ns, raw.data
        again.append((raw.topic, raw.stamp_ns + shift, raw.data))

    again = []
    with open_bag(drive_bag.path) as bag, BagWriter(tmp_path / "loop") as writer:
        for topic, kind in bag.topics.items():
            writer.add_topic(topic, kind)
        for raw in bag.raw_messages(bag.topics):
            for message in change(bag, raw):
                writer.write(*message)
        for message in again:
            writer.write(*message)
    record = run_bag(replace(job, bag=tmp_path / "loop"), FakePerceiver(), silent)
    assert record["frames"]["time_set_back"] == 1
    assert sum(record["frames"]["by_fate"].values()) == 60
    log = read_log(job.folder / "log.jsonl")
    assert len(log.scenes) > 12
    assert sum(scene.after_reset for scene in log.scenes) == 1
    assert log.scenes[-1].names[0] == "chair-1"


def test_images_out_of_order_are_dropped_and_named(job, drive_bag, tmp_path):
    held = []

    def change(_bag, raw):
        if raw.topic == "/cam/image_raw" and not held:
            held.append(raw)
            return
        yield raw.topic, raw.stamp_ns, raw.data
        if raw.topic == "/cam/image_raw" and len(held) == 1:
            held.append(raw)
            yield raw.topic, raw.stamp_ns, held[0].data

    bag = rewritten(drive_bag.path, tmp_path / "swapped", change)
    record = run_bag(replace(job, bag=bag), FakePerceiver(), silent)
    assert record["frames"]["by_fate"]["late"] == 1
    assert sum(record["frames"]["by_fate"].values()) == 30


def test_a_model_that_fails_at_a_question_goes_on(job, tmp_path):
    asked = {"questions": [{"question": q} for q in ("explode?", "colour?", "How many?")]}
    (tmp_path / "mine.json").write_text(json.dumps(asked))
    record = run_bag(replace(job, questions=tmp_path / "mine.json"), FakePerceiver(), silent)
    rows = json.loads((job.folder / "rows.json").read_text())["answers"]
    assert [row["error"][:15] for row in rows] == ["the model faile", "no colours here", ""]
    assert len(record["failures"]) == 1


def test_a_topic_of_objects_serves_as_truth_only_where_it_is_named(job, drive_bag, tmp_path):
    from pathlib import Path

    root = Path(__file__).parents[2] / "msg"
    texts = {
        f"vega3d_ros/msg/{name}": (root / f"{name}.msg").read_text()
        for name in ("GroundedObject", "GroundedObjectArray")
    }
    target = tmp_path / "with_truth"
    with open_bag(drive_bag.path) as bag, BagWriter(target, texts) as writer:
        for topic, kind in bag.topics.items():
            writer.add_topic(topic, kind)
        writer.add_topic("/truth", "vega3d_ros/msg/GroundedObjectArray")
        writer.write("/truth", bag.start_ns, _truth_message(writer._store, bag.start_ns))
        for raw in bag.raw_messages(bag.topics):
            writer.write(raw.topic, raw.stamp_ns, raw.data)
    unnamed = run_bag(replace(job, bag=target), FakePerceiver(), silent)
    assert unnamed["truth"] == "none; --truth may name /truth"
    assert not json.loads((job.folder / "rows.json").read_text())["objects"]
    record = run_bag(replace(job, bag=target, truth="/truth"), FakePerceiver(), silent)
    assert record["truth"] == "topic /truth"
    rows = json.loads((job.folder / "rows.json").read_text())
    assert {row["id"] for row in rows["objects"]} == {"the_chair"}
    assert all(row["iou"] > 0.8 for row in rows["objects"])
    none = run_bag(replace(job, bag=target, truth="none"), FakePerceiver(), silent)
    assert none["truth"].startswith("none")
    wrong = run_bag(replace(job, bag=target, truth="/tf"), FakePerceiver(), silent)
    assert "--truth /tf" in wrong["error"]


def _truth_message(store, stamp_ns):
    from rosbags.convert.converter import default_message

    message = default_message(store, "vega3d_ros/msg/GroundedObjectArray")
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    message.header.frame_id = "map"
    item = default_message(store, "vega3d_ros/msg/GroundedObject")
    item.id, item.label = "the_chair", "chair"
    place, turn = item.pose.pose.position, item.pose.pose.orientation
    place.x, place.y, place.z = 2.2, 0.0, 0.5
    turn.z, turn.w = float(np.sin(0.15)), float(np.cos(0.15))
    item.size.x, item.size.y, item.size.z = 0.6, 0.6, 1.0
    message.objects = [item]
    return store.serialize_cdr(message, "vega3d_ros/msg/GroundedObjectArray")


def test_offline_needs_no_ros(tmp_path):
    import subprocess
    import sys

    code = (
        "import sys, vega3d_ros.evaluation.bags_command, vega3d_ros.replay.command;"
        "sys.exit(bool({'rclpy', 'std_msgs', 'ray'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_parameters_come_from_the_nodes_own_file(tmp_path):
    from pathlib import Path

    shipped = Path(__file__).parents[2] / "config" / "perception.yaml"
    assert load_parameters(shipped) == Parameters()
    assert load_parameters(shipped, min_score=0.5).min_score == 0.5
    for values, word in (({"min_score": 7.0}, "must be in"), ({"clips": 1}, "no parameter clips")):
        with pytest.raises(ValueError, match=word):
            load_parameters(**values)
    (tmp_path / "bad.yaml").write_text("- 1")
    with pytest.raises(ValueError, match="holds no parameters"):
        load_parameters(tmp_path / "bad.yaml")


def test_depth_that_is_stamped_off_is_a_remark_with_the_offset(job, drive_bag, tmp_path):
    def change(bag, raw):
        data = raw.data
        if raw.topic == "/cam/depth":
            depth = bag.decode(raw)
            depth.header.stamp.nanosec = (depth.header.stamp.nanosec + 30_000_000) % 10**9
            data = STORE.serialize_cdr(depth, IMAGE)
        yield raw.topic, raw.stamp_ns, data

    bag = rewritten(drive_bag.path, tmp_path / "off", change)
    record = run_bag(replace(job, bag=bag), FakePerceiver(), silent)
    (text,) = record["warnings"]
    assert "it is stamped 30 ms later" in text
    assert "set pair_tolerance_s to 0.04" in text
