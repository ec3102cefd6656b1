"""The whole demo with real processes and topics, and a stub in the model's place."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from support.patience import patience, wait_until

from vega3d_ros.cli.main import main
from vega3d_ros.sensing.bags.reader import open_bag

pytestmark = pytest.mark.ros

HERE = Path(__file__).parent
RUN = f"""
import sys
from vega3d_ros.cli.main import main
from vega3d_ros.demo import command
made = command.node_command
command.node_command = lambda model, topics, threads: (
    [sys.executable, {str(HERE / "stub_perception.py")!r}, model]
    + made(model, topics, threads)[3:]
)
sys.exit(main(["demo", *sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def environment():
    """Of a demo in a ROS domain that no other test uses at the same time."""
    from domain_coordinator import domain_id

    with domain_id() as number:
        root = str(HERE.parents[1])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        yield {**os.environ, "ROS_DOMAIN_ID": str(number), "PYTHONPATH": path, "COLUMNS": "160"}


def demo(environment, *arguments):
    command = [sys.executable, "-c", RUN, *map(str, arguments)]
    return subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        timeout=patience(120),
        check=False,
    )


def nodes_of(environment):
    """Processes of the stub in this domain."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes()
            values = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        domain = f"ROS_DOMAIN_ID={environment['ROS_DOMAIN_ID']}".encode()
        if b"stub_perception.py\0" in line and b"-c\0" not in line and domain in values:
            found.append(int(folder.name))
    return found


@pytest.fixture(scope="module")
def finished(environment, drive_bag, tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep me")
    result = demo(environment, "--bag", drive_bag.path, "--out", out, "--model", "raw")
    assert result.returncode == 0, result.stdout + result.stderr
    return out, result.stdout


def test_tables_say_what_is_right(finished):
    _, text = finished
    lines = {name: next(x for x in text.splitlines() if name in x and "│" in x) for name in (
        "How many chairs can you see?", "How large is the chair", "the chair from the table",
        "chair_0", "table_0",
    )}  # fmt: skip
    assert "right" in lines["How many chairs can you see?"]
    assert "wrong" in lines["How large is the chair"]
    assert "right" in lines["the chair from the table"]
    assert "0.22" in lines["chair_0"]
    assert "not found" in lines["table_0"]


def test_report_holds_the_figures(finished):
    out, _ = finished
    figures = json.loads((out / "report.json").read_text())
    assert figures["answers_right"] == 1
    assert figures["answers_scored"] == 2
    assert figures["relations_right"] == figures["relations_scored"] == 1
    assert figures["published_messages"]["/cam/image_raw"] == 30
    assert figures["scenes"] >= 8
    assert figures["scenes_lost"] == 0
    assert 3.0 < figures["scenes_hz"] < 7.0
    assert figures["scene_latency_median_ms"] == 40.0
    assert figures["pose_error_median_m"] == pytest.approx(0.224, abs=1e-3)
    assert figures["objects_missed"] == 1
    text = (out / "report.md").read_text()
    assert "frames.png" in text
    assert "| How many chairs can you see? | 2 | 2 | right |" in text


def test_pictures_are_drawn(finished):
    out, _ = finished
    frames, plan = (cv2.imread(str(out / name)) for name in ("frames.png", "map.png"))
    assert frames.shape[1] > 1200
    assert plan.shape[1] == 1000


def test_recording_holds_outputs_and_light_inputs_in_one_time(finished, drive_bag):
    out, _ = finished
    with open_bag(out / "output_bag") as bag:
        assert bag.topics["/perception/objects"] == "vega3d_ros/msg/GroundedObjectArray"
        assert {"/tf", "/tf_static", "/cam/camera_info", "/perception/gate_image"} <= {
            name for name, count in bag.counts.items() if count
        }
        assert "/cam/image_raw" not in bag.topics
        assert bag.counts["/tf"] == 30
        stamps = [raw.stamp_ns for raw in bag.raw_messages(["/perception/objects"])]
        message = bag.first("/perception/objects")
    assert message.objects[0].label == "chair"
    end_ns = drive_bag.start_ns + 2 * 10**9
    assert all(drive_bag.start_ns <= stamp <= end_ns for stamp in stamps)


def test_nothing_else_in_the_folder_is_touched(finished):
    out, _ = finished
    assert (out / "mine.txt").read_text() == "keep me"


def test_no_process_is_left(finished, environment):
    assert nodes_of(environment) == []


def test_bag_without_truth_is_not_scored_and_says_so(environment, drive_bag, tmp_path):
    file = next(drive_bag.path.glob("*.mcap"))
    (tmp_path / file.name).write_bytes(file.read_bytes())
    result = demo(
        environment, "--bag", tmp_path / file.name, "--out", tmp_path / "out", "--model", "raw"
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "nothing is scored" in result.stdout
    assert "nano" not in result.stdout
    figures = json.loads((tmp_path / "out" / "report.json").read_text())
    assert figures["answers"] >= 10
    assert figures["relations"] >= 3
    assert figures["answers_scored"] == 0


def test_death_of_the_node_is_the_demos_failure(environment, drive_bag, tmp_path):
    result = demo(environment, "--bag", drive_bag.path, "--out", tmp_path, "--model", "dies")
    assert result.returncode == 2
    assert "the stub dies as it was told to" in result.stderr
    assert nodes_of(environment) == []


def test_node_that_cannot_start_is_reported_at_once(environment, drive_bag, tmp_path):
    result = demo(environment, "--bag", drive_bag.path, "--out", tmp_path, "--model", "fails")
    assert result.returncode == 2
    assert "the model folder is missing" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_stops_the_node(environment, drive_bag, tmp_path, number):
    arguments = ["--bag", drive_bag.path, "--out", tmp_path, "--model", "raw", "--rate", "0.01"]
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        recording = tmp_path / "output_bag" / "output_bag.mcap"
        wait_until(
            lambda: recording.exists() or process.poll() is not None, "the drive to begin", 60
        )
        assert process.poll() is None, process.stdout.read()
        assert len(nodes_of(environment)) == 1
        process.send_signal(number)
        text, _ = process.communicate(timeout=patience(30))
    finally:
        process.terminate()  # lets it clean up; does nothing where it has ended
        process.communicate(timeout=patience(30))
    assert process.returncode == 130
    assert "interrupted" in text
    assert nodes_of(environment) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bag", "/nowhere"], "there is no bag at"),
        (["--rate", "0"], "must be positive"),
        (["--image", "/nope"], "no topic /nope"),
        (["--out", "/etc/passwd"], "cannot write to /etc/passwd: File exists"),
    ],
)
def test_wrong_arguments_are_one_clear_line(drive_bag, tmp_path, capsys, arguments, words):
    given = ["--bag", str(drive_bag.path), "--out", str(tmp_path), *arguments]
    assert main(["demo", *given]) == 2
    assert words in capsys.readouterr().err


def test_foreign_folder_called_like_the_recording_is_kept(drive_bag, tmp_path, capsys):
    (tmp_path / "output_bag").mkdir()
    (tmp_path / "output_bag" / "thesis.tex").write_text("years of work")
    assert main(["demo", "--bag", str(drive_bag.path), "--out", str(tmp_path)]) == 2
    assert (tmp_path / "output_bag" / "thesis.tex").exists()
    assert "another folder" in capsys.readouterr().err


def test_demo_imports_without_ros():
    code = "import sys, vega3d_ros.demo.command; sys.exit('rclpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
