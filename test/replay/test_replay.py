"""Recordings into a live node: what comes back is what the same drive gives offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.patience import pace, patience, wait_until

from vega3d_ros.evaluation.run_log import RunLog, read_log
from vega3d_ros.evaluation.sources.live import differences
from vega3d_ros.sensing.bags.reader import open_bag

pytestmark = pytest.mark.ros

TEST = Path(__file__).parents[1]
SHIPPED = TEST.parent / "vega3d_ros" / "demo" / "bag"
RUN = f"""
import sys
sys.path.insert(0, {str(TEST)!r})
from support.fake_perceiver import FakePerceiver
from vega3d_ros.cli.main import main
from vega3d_ros.replay import command
if {{"fake", "slow"}} & set(sys.argv):
    made = command.node_command
    command.node_command = lambda model, topics, threads: (
        [sys.executable, {str(TEST / "support" / "fake_perceiver.py")!r}]
        + made(model, topics, threads)[3:]
    )
    command.load_model = lambda *_: FakePerceiver()
    command._made_with = lambda args: {{
        "model": {{"name": "fake", "sha256": "", "card": ""}}, "hardware": {{}}, "versions": {{}},
        "command": sys.argv, "seeds": {{}},
    }}
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def environment():
    from domain_coordinator import domain_id

    with domain_id() as number:
        path = os.pathsep.join(filter(None, [str(TEST.parent), os.environ.get("PYTHONPATH", "")]))
        yield {**os.environ, "ROS_DOMAIN_ID": str(number), "PYTHONPATH": path, "COLUMNS": "160"}


def replay(environment, *arguments):
    command = [sys.executable, "-c", RUN, "replay", *map(str, arguments)]
    result = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        timeout=patience(120),
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_live_and_offline_agree_and_are_scored_alike(environment, drive_bag, tmp_path):
    out = tmp_path / "out"
    words = ["--model", "fake", "--rate", pace(), "--out", out, "--check"]
    told = replay(environment, drive_bag.path, *words)
    assert "live and offline agree" in told
    folder = out / "bags" / "bag"
    live = read_log(folder / "log.jsonl")
    assert len(live.scenes) >= 3
    assert [reply.error for reply in live.replies] == ["", "", ""]
    results = json.loads((out / "results.json").read_text())
    assert results["figures"]["answers"]["count"]["model"]["value"] == 1.0
    assert results["recordings"]["bag"]["live"]["scenes_lost"] == 0
    assert "data:image/jpeg" in (out / "report.html").read_text()
    with open_bag(folder / "output_bag") as bag:
        assert {"/perception/objects", "/perception/answers", "/tf_static"} <= set(bag.topics)


def test_what_the_live_node_had_no_time_for_is_counted_and_left_out(
    environment, drive_bag, tmp_path
):
    told = replay(environment, drive_bag.path, "--model", "slow", "--out", tmp_path, "--check")
    assert "live and offline agree" in told
    folder = tmp_path / "bags" / "bag"
    scenes = read_log(folder / "log.jsonl").scenes
    assert [s.stamp_ns for s in scenes] == [
        s.stamp_ns for s in read_log(folder / "offline.jsonl").scenes
    ]
    frames = json.loads((folder / "record.json").read_text())["frames"]["by_fate"]
    assert frames["live: dropped: keyframe skipped, the model was busy"] >= 1


def test_a_late_start_is_the_same_offline(environment, drive_bag, tmp_path):
    told = replay(
        environment,
        drive_bag.path,
        "--model",
        "fake",
        "--start",
        0.7,
        "--rate",
        pace(),
        "--out",
        tmp_path,
        "--check",
    )
    assert "live and offline agree" in told
    first = read_log(tmp_path / "bags" / "bag" / "log.jsonl").scenes[0]
    assert first.start_ns >= drive_bag.start_ns + 0.7e9


@pytest.mark.slow
def test_nano_says_live_what_it_says_offline(environment, tmp_path):
    # A live node that loses images for want of time looks at others than the recording holds.
    words = ["--model", "nano", "--rate", pace(), "--seconds", 8, "--out", tmp_path, "--check"]
    told = replay(environment, SHIPPED, *words)
    assert "live and offline agree" in told
    assert len(read_log(tmp_path / "bags" / "bag" / "log.jsonl").replies) == 3


def test_differences_are_named(environment, drive_bag, tmp_path):
    """The check itself: a scene that moved and a question that got another answer show."""
    from dataclasses import replace

    from support.fake_perceiver import FakePerceiver

    from vega3d_ros.evaluation.bag_run import BagRun, run_bag
    from vega3d_ros.perception.settings import Parameters

    job = BagRun(
        bag=drive_bag.path, name="bag", folder=tmp_path, model_hash="0", parameters=Parameters()
    )
    run_bag(job, FakePerceiver(), lambda *_: None)
    log = read_log(tmp_path / "log.jsonl")
    assert differences(log, log) == []
    first = log.scenes[0]
    moved = replace(first, objects=tuple(replace(o, score=0.5) for o in first.objects))
    reply = replace(log.replies[0], text="3")
    other = RunLog([moved, *log.scenes[1:-1]], [reply, *log.replies[1:]])
    said = differences(log, other)
    assert len(said) == 3
    words = ("other objects", "only live", "'3'")
    assert all(word in line for word, line in zip(words, said, strict=True))


def test_without_a_node_it_says_what_to_start(monkeypatch):
    from vega3d_ros.replay import live_run

    said, states = [], iter(["not found yet", "not found yet", "not found yet", "active"])
    run = object.__new__(live_run.LiveRun)
    run._name, run._check = "/perception", lambda: None
    run._client = SimpleNamespace(state=lambda: next(states), model_state=lambda: (True, ""))
    run._display = SimpleNamespace(say=said.append, waiting=lambda _: None)
    clock = iter(range(0, 100, 2))  # two seconds from look to look
    monkeypatch.setattr(live_run.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(live_run.time, "sleep", lambda _: None)
    run.wait_until_active()
    assert len(said) == 1
    assert "no node /perception" in said[0]
    assert "ros2 launch" in said[0]
    assert "--model" in said[0]


class Topics:
    """Stands for a node: publishers that remember."""

    def __init__(self):
        self.sent, self.clock = [], []

    def create_publisher(self, _kind, name, _qos):
        def publish(message):
            if name == "/clock":
                self.clock.append(message.clock.sec * 10**9 + message.clock.nanosec)
            else:
                self.sent.append(name)

        return SimpleNamespace(publish=publish)


def player(drive_bag, **playing):
    from vega3d_ros.replay.player import Player
    from vega3d_ros.replay.playing import Playing

    topics = Topics()
    bag = open_bag(drive_bag.path)
    return topics, Player(topics, bag, bag.find_topics(), Playing(**playing))


def test_a_late_start_keeps_what_holds_for_ever(drive_bag):
    topics, ours = player(drive_bag, start_s=1.0, rate=20.0)
    ours.play(threading.Event())
    assert topics.sent.count("/cam/image_raw") == 15
    assert topics.sent.count("/tf_static") == 1
    assert min(topics.clock) >= drive_bag.start_ns + 0.99e9


def test_a_loop_sets_the_clock_back(drive_bag):
    topics, ours = player(drive_bag, loops=2, rate=2.0, seconds=0.5)
    ours.play(threading.Event())
    assert topics.sent.count("/cam/image_raw") == 16
    falls = [b - a for a, b in zip(topics.clock, topics.clock[1:], strict=False) if b < a]
    assert len(falls) == 1
    assert ours.elapsed_s <= 0.5


def test_a_paused_player_stands_still_until_it_is_told(drive_bag):
    topics, ours = player(drive_bag, paused=True, rate=20.0)
    stop = threading.Event()
    thread = threading.Thread(target=ours.play, args=(stop,), daemon=True)
    thread.start()
    wait_until(lambda: len(topics.clock) >= 5, "the clock")
    assert topics.sent == []
    assert len(set(topics.clock)) == 1
    ours.resume()
    thread.join(patience(10))
    assert not thread.is_alive()
    assert topics.sent.count("/cam/image_raw") == 30


def test_the_launch_file_finds_the_topics_of_a_bag(drive_bag):
    pytest.importorskip("launch.actions", reason="launch is not installed")
    import importlib.util

    import launch

    file = TEST.parent / "launch" / "replay.launch.py"
    spec = importlib.util.spec_from_file_location("replay_launch", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    context = launch.LaunchContext()
    context.launch_configurations.update(
        {"bag": str(drive_bag.path), **{n: d for n, (d, _) in module.ARGUMENTS.items()}}
    )
    perception, replaying, _ = module._actions(context)
    assert ("image", "/cam/image_raw") in perception.launch_arguments
    assert ("fixed_frame", "map") in perception.launch_arguments
    assert replaying is not None
