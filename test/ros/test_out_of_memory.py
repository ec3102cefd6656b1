"""Memory ends while a live node understands: it frees, tries smaller, tells, and lives on."""

from __future__ import annotations

import pytest
from robot_harness import HERE, START_S, Camera, NodeProcess, stamp_of
from vega3d_ros.srv import AskSpatial

pytestmark = [pytest.mark.ros, pytest.mark.slow]

ENDED, WHY, FAILED = "out of memory", "last out of memory", "clips and requests failed"


def come(out_of_memory_count, count):
    """So many of the next calls end memory."""
    new = out_of_memory_count.with_suffix(".new")
    new.write_text(str(count))
    new.replace(out_of_memory_count.with_suffix(".left"))  # at once: the node may be reading it


@pytest.fixture(scope="module")
def out_of_memory_count(tmp_path_factory):
    path = tmp_path_factory.mktemp("shortages") / "memory"
    come(path, 0)
    path.with_suffix(".calls").write_text("")
    return path


@pytest.fixture(scope="module")
def node(domain, logs, out_of_memory_count):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHORTAGES", str(out_of_memory_count))
        node = NodeProcess(
            logs, domain, script=[HERE / "short_node.py"], autostart=True, device="cpu",
            clip_length=3, keyframe_max_interval_s=0.1,
        )  # fmt: skip
    yield node
    assert node.interrupt() == 0, node.output


@pytest.fixture
def camera(node, robot, out_of_memory_count):
    """A camera in motion, whose clips are full and were understood."""
    come(out_of_memory_count, 0)
    if robot.state() == "active":
        assert robot.change_state("deactivate")
    assert robot.change_state("activate"), node.output
    robot.forget()
    camera = Camera(robot)
    robot.until(
        lambda: len(robot.received["objects"]) >= 4,
        "four scenes",
        START_S,
        camera.publish,
        period_s=0.3,
    )
    return camera


def inference(robot, name):
    """A value of the newest diagnostics of the model."""
    status = robot.diagnostics.get("inference")
    return "" if status is None else next((v.value for v in status.values if v.key == name), "")


def publishes_again(robot, camera):
    newest = camera.stamp_ns
    robot.wait_for("objects", lambda m: stamp_of(m.header) > newest, step=camera.publish,
                   period_s=0.3)  # fmt: skip


def test_one_shortage_costs_nothing_but_time(robot, camera, out_of_memory_count):
    calls = out_of_memory_count.with_suffix(".calls")
    calls.write_text("")
    come(out_of_memory_count, 1)
    robot.until(lambda: inference(robot, ENDED) == "1", "diagnostics", step=camera.publish,
                period_s=0.3)  # fmt: skip
    assert "keyframes are taken 1 at a time" in inference(robot, WHY)
    publishes_again(robot, camera)
    lines = calls.read_text().splitlines()
    ended = next(i for i, line in enumerate(lines) if line.endswith("True"))
    assert lines[ended + 1].endswith("0 False")  # what was kept is forgotten
    assert inference(robot, FAILED) == "0"


def test_a_clip_that_cannot_be_understood_at_all_is_left_out(
    node, robot, camera, out_of_memory_count
):
    before = int(inference(robot, FAILED) or 0)
    come(out_of_memory_count, 1000)
    robot.until(lambda: int(inference(robot, FAILED) or 0) >= before + 2, "two failed clips",
                step=camera.publish, period_s=0.3)  # fmt: skip
    assert node.process.poll() is None
    reply = robot.call("ask", AskSpatial.Request(question="How many chairs are there?"))
    assert reply.success, reply.message  # of the last scene that was understood
    come(out_of_memory_count, 0)
    publishes_again(robot, camera)
    assert int(inference(robot, ENDED)) >= 2
