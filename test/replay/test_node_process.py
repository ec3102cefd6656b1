"""The node's process never outlives the demo."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from vega3d_ros.evaluation.question_file import RunError
from vega3d_ros.replay.node_process import (
    NodeProcess,
    large_image_environment,
    private_environment,
    share_folder,
)

OBEYS = "import signal, time; print('up', flush=True); signal.sigwait([signal.SIGINT])"
IGNORES = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("up", child.pid, flush=True)
time.sleep(600)
"""


def wait_for(condition, what):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def run(code, tmp_path):
    return NodeProcess([sys.executable, "-c", code], tmp_path / "log", dict(os.environ))


def test_obedient_process_ends_with_an_interrupt(tmp_path):
    with run(OBEYS, tmp_path) as process:
        wait_for(lambda: "up" in process.log_tail(), "process did not start")
        process.check()
        assert process.stop() == 0


def test_stubborn_process_and_its_children_are_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "vega3d_ros.replay.node_process._GRACE_S",
        tuple((number, 0.2 if number != 9 else 5.0) for number in (2, 15, 9)),
    )
    with run(IGNORES, tmp_path) as process:
        wait_for(lambda: "up" in process.log_tail(), "process did not start")
        child = int(process.log_tail().split()[1])
        assert alive(child)
    wait_for(lambda: not alive(child), "the child outlived its group")
    assert process.stop() == -9


def test_process_is_stopped_when_the_demo_fails(tmp_path):
    with pytest.raises(KeyError), run(OBEYS, tmp_path) as process:  # noqa: PT012
        wait_for(lambda: "up" in process.log_tail(), "process did not start")
        raise KeyError
    with pytest.raises(RunError):
        process.check()


def test_death_is_reported_with_the_last_words(tmp_path):
    with run("import sys; print('no model here'); sys.exit(5)", tmp_path) as process:
        wait_for(lambda: process._process.poll() is not None, "process did not end")
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
