"""The node's process never outlives the demo."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from support.patience import patience, wait_until

from vega3d_ros.evaluation.question_file import RunError
from vega3d_ros.replay.node_process import (
    NodeProcess,
    large_image_environment,
    node_command,
    private_environment,
    share_folder,
)
from vega3d_ros.sensing.camera_topics import CameraTopics

OBEYS = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # one that comes early is waited for too
print("up", flush=True)
signal.sigwait([signal.SIGINT])
"""
IGNORES = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("up", child.pid, flush=True)
time.sleep(600)
"""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def run(code, tmp_path):
    return NodeProcess([sys.executable, "-c", code], tmp_path / "log", dict(os.environ))


def test_obedient_process_ends_with_an_interrupt(tmp_path):
    with run(OBEYS, tmp_path) as process:
        wait_until(lambda: "up" in process.log_tail(), "the start of the process")
        process.check()
        assert process.stop() == 0


def test_stubborn_process_and_its_children_are_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "vega3d_ros.replay.node_process._GRACE_S",
        tuple((number, 0.2 if number != 9 else patience(5)) for number in (2, 15, 9)),
    )
    with run(IGNORES, tmp_path) as process:
        wait_until(lambda: "up" in process.log_tail(), "the start of the process")
        child = int(process.log_tail().split()[1])
        assert alive(child)
    wait_until(lambda: not alive(child), "the end of the child")
    assert process.stop() == -9


def test_process_is_stopped_when_the_demo_fails(tmp_path):
    with pytest.raises(KeyError), run(OBEYS, tmp_path) as process:  # noqa: PT012
        wait_until(lambda: "up" in process.log_tail(), "the start of the process")
        raise KeyError
    with pytest.raises(RunError):
        process.check()


def test_death_is_reported_with_the_last_words(tmp_path):
    with run("import sys; print('no model here'); sys.exit(5)", tmp_path) as process:
        wait_until(lambda: process._process.poll() is not None, "the end of the process")
        with pytest.raises(RunError, match=r"status 5(.|\n)*no model here"):
            process.check()


def test_share_folder_is_found_or_named(monkeypatch, tmp_path):
    (tmp_path / "share" / "my_msgs" / "msg").mkdir(parents=True)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere{os.pathsep}{tmp_path}")
    assert share_folder("my_msgs") == tmp_path / "share" / "my_msgs"
    with pytest.raises(RunError, match="other_msgs is not installed"):
        share_folder("other_msgs")


def test_profile_for_large_images_is_set_unless_the_user_has_one(monkeypatch, tmp_path):
    (tmp_path / "config").mkdir()
    profile = tmp_path / "config" / "fastdds_large_images.xml"
    profile.write_text("<profiles/>")
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", "/mine.xml")
    environment = large_image_environment(tmp_path)
    assert environment["FASTRTPS_DEFAULT_PROFILES_FILE"] == str(profile)
    assert environment["FASTDDS_DEFAULT_PROFILES_FILE"] == "/mine.xml"


def test_the_demo_keeps_to_itself_unless_told_otherwise():
    own = private_environment({"HOME": "/home/someone"})
    assert own["HOME"] == "/home/someone"
    assert 1 <= int(own["ROS_DOMAIN_ID"]) <= 101
    assert own["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    told = {"ROS_DOMAIN_ID": "7", "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}
    assert private_environment(told) == told


def test_a_node_listens_to_the_transforms_of_its_robot():
    own = CameraTopics(image="/robot1/image", tf=("/robot1/tf", "/robot1/tf_static"))
    command = node_command("nano", own)
    assert "/tf:=/robot1/tf" in command
    assert "/tf_static:=/robot1/tf_static" in command
    plain = node_command("nano", CameraTopics(image="/image", tf=("/tf", "/tf_static")))
    assert not any(word.startswith("/tf") for word in plain)
