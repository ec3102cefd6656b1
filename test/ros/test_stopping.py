"""The node's process stops soon, with code 0, whatever the model is doing."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from robot_harness import HERE, START_S, Camera, NodeProcess, Robot, environment
from support.patience import patience, wait_until
from vega3d_ros.srv import AskSpatial

pytestmark = pytest.mark.ros

STOP_S = 2.0
OWN = re.compile(r"/dev/shm/fastrtps_[0-9a-f]{8,}")
SCRIPT = HERE.parents[1] / "scripts" / "perception_node"


def shared_memory(process):
    """The segments in /dev/shm that a process has open or mapped; ports are of all processes."""
    folder = Path(f"/proc/{process.pid}")
    opened = [str(link.readlink()) for link in (folder / "fd").iterdir()]
    mapped = [line.split()[-1] for line in (folder / "maps").read_text().splitlines()]
    return {Path(path) for path in (*opened, *mapped) if OWN.match(path)}


def stop(node, number):
    """Send a signal; the node ends within two seconds, stretched on a busy machine."""
    began, shared = time.monotonic(), shared_memory(node.process)
    node.process.send_signal(number)
    try:
        code = node.process.wait(patience(STOP_S))
    except subprocess.TimeoutExpired:
        node.process.kill()
        node.process.wait()
        raise AssertionError(
            f"it did not stop within {time.monotonic() - began:.1f} s:\n{node.output}"
        ) from None
    assert code == 0, node.output
    assert "Traceback" not in node.output
    return [path for path in shared if path.exists()]


def says(node, text):
    wait_until(lambda: text in node.output, f"{text!r} in the log", START_S)


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def number(request):
    return request.param


def test_while_the_model_is_loaded(domain, logs, number, tmp_path):
    node = NodeProcess(logs, domain, model=f"held:{tmp_path / 'never'}", autostart=True)
    says(node, "loading: nothing of weight")
    assert stop(node, number) == []


def test_while_it_loads_behind_an_active_node(domain, logs, number, tmp_path):
    node = NodeProcess(logs, domain, model=f"held:{tmp_path / 'never'}", autostart=True)
    says(node, "still being loaded")
    stop(node, number)


def test_while_it_is_idle(domain, logs, number):
    node = NodeProcess(logs, domain, model="dummy", autostart=True)
    says(node, "image: listening")
    assert stop(node, number) == []


def test_while_it_computes(domain, logs, number, tmp_path):
    robot = Robot(domain, listen=("objects",))
    try:
        node = NodeProcess(
            logs, domain, model="dummy", autostart=True, keyframe_max_interval_s=0.1
        )
        says(node, "image: listening")
        robot.wait_for("objects", step=Camera(robot).publish)
        question = AskSpatial.Request(question=f"held {tmp_path / 'never'}")
        robot.clients["ask"].call_async(question)
        robot.until(lambda: "waiting for" in node.output, "the model at work")
        stop(node, number)
    finally:
        robot.close()


def catches(process, number):
    """Whether a process has a handler for a signal."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


@pytest.mark.parametrize("wait_s", [0.0, 0.4, 1.0])
def test_while_it_starts(domain, logs, number, wait_s):
    """At any moment of importing and beginning; the waits only spread the moments."""
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT)],
        env=environment(logs, domain),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_until(lambda: catches(process, signal.SIGTERM), "the script's handlers", START_S)
    time.sleep(wait_s)
    process.send_signal(number)
    output, _ = process.communicate(timeout=patience(START_S))
    assert process.returncode == 0, output
