"""Transitions of the node, as a lifecycle manager drives them, and its end."""

from __future__ import annotations

import signal

import pytest
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from robot_harness import RELIABLE, SERVICES, START_S, Camera, NodeProcess
from sensor_msgs.msg import Image
from support.patience import patience, wait_until
from vega3d_ros.msg import ErrorCode
from vega3d_ros.srv import AskSpatial

from vega3d_ros.ros.perception_node import ACTIVATE_WAIT_S, CONFIGURE_WAIT_S

pytestmark = pytest.mark.ros

# What Nav2's lifecycle manager allows a transition.
MANAGER_TIMEOUT_S = 5.0


@pytest.fixture(scope="module")
def process(domain, logs, robot):
    """A node that nobody has configured."""
    SERVICES["set_parameters"] = SetParameters
    robot.clients["set_parameters"] = robot.node.create_client(
        SetParameters, "perception/set_parameters"
    )
    process = NodeProcess(logs, domain, model="dummy", keyframe_max_interval_s=0.1)
    yield process
    assert process.interrupt() == 0, process.output


@pytest.fixture
def unconfigured(process, robot):
    yield process
    if robot.state() == "active":
        robot.change_state("deactivate")
    if robot.state() == "inactive":
        robot.change_state("cleanup")
    set_parameters(robot, model="dummy", image_qos="auto", clip_length=8)


def set_parameters(robot, **values):
    parameters = [
        Parameter(name, value=value).to_parameter_msg() for name, value in values.items()
    ]
    assert all(p.value.type != ParameterType.PARAMETER_NOT_SET for p in parameters)
    return robot.call("set_parameters", SetParameters.Request(parameters=parameters)).results


def test_every_transition_works_twice(unconfigured, robot):
    for _ in range(2):
        assert robot.state() == "unconfigured"
        assert robot.change_state("configure")
        assert robot.state() == "inactive"
        for _ in range(2):
            assert robot.change_state("activate")
            assert robot.state() == "active"
            robot.forget()
            robot.wait_for("objects", step=Camera(robot).publish)
            assert robot.change_state("deactivate")
            assert robot.state() == "inactive"
        assert robot.change_state("cleanup")
    assert "Traceback" not in unconfigured.output


def test_a_request_that_rclpy_itself_breaks_at_is_outlived(unconfigured, robot):
    assert robot.change_state("configure")
    assert not robot.change_state("configure")
    assert not robot.change_state("deactivate")
    assert "transition 1 was refused" in unconfigured.output
    assert robot.state() == "inactive"
    odd = ParameterMessage(name="model", value=ParameterValue(type=99))
    robot.clients["set_parameters"].call_async(SetParameters.Request(parameters=[odd]))
    robot.until(lambda: "a callback failed" in unconfigured.output, "the failure in the log")
    assert robot.state() == "inactive"


def test_an_inactive_node_neither_listens_nor_publishes(unconfigured, robot):
    assert robot.change_state("configure")
    robot.until(lambda: robot.image.get_subscription_count() == 0, "no subscription")
    assert robot.change_state("activate")
    robot.until(lambda: robot.image.get_subscription_count() == 1, "a subscription")
    camera = Camera(robot)
    robot.forget()
    assert robot.wait_for("objects", step=camera.publish).sequence == 1
    assert robot.change_state("deactivate")
    robot.until(lambda: robot.image.get_subscription_count() == 0, "no subscription")
    assert robot.change_state("activate")
    robot.forget()
    assert robot.wait_for("objects", step=camera.publish).sequence == 1


def test_a_missing_model_fails_the_configuration_with_the_reason(unconfigured, robot):
    for _ in range(2):
        set_parameters(robot, model="missing")
        assert not robot.change_state("configure")
        assert robot.state() == "unconfigured"
        assert "no model folder 'missing'" in unconfigured.output
        set_parameters(robot, model="dummy")
        assert robot.change_state("configure")
        assert robot.change_state("cleanup")


def test_parameters_are_checked_together(unconfigured, robot):
    set_parameters(robot, clip_length=20)
    assert not robot.change_state("configure")
    assert "`clip_length` (20) is above `clip_capacity`" in unconfigured.output
    set_parameters(robot, clip_length=8)
    assert robot.change_state("configure")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("image_qos", "sometimes", "set auto, reliable or best_effort"),
        ("dtype", "bfloat", "did you mean 'bfloat16'"),
        ("device", "gpu", "set auto, cpu, cuda or cuda:1"),
        ("model", "", "is empty"),
        ("fixed_frame", "/map", "slash"),
        ("queries", ["cup", "cup"], "different"),
    ],
)
def test_nonsense_is_refused_before_the_node_is_configured(
    unconfigured, robot, name, value, words
):
    (refused,) = set_parameters(robot, **{name: value})
    assert not refused.successful
    assert f"`{name}`" in refused.reason
    assert words in refused.reason


def test_parameters_have_ranges(process, robot):
    (result,) = set_parameters(robot, min_score=1.5)
    assert not result.successful
    (result,) = set_parameters(robot, clip_length=0)
    assert not result.successful


def test_quality_of_service_that_does_not_match_is_told(unconfigured, robot):
    set_parameters(robot, image_qos="reliable")
    assert robot.change_state("configure")
    assert robot.change_state("activate")
    robot.forget()
    status = robot.until(
        lambda: (s := robot.diagnostics.get("input")) and s.level == b"\x02" and s, "an error"
    )
    assert "RELIABILITY" in status.message
    assert "image_qos" in status.message


def test_auto_follows_a_reliable_publisher(unconfigured, robot):
    robot.node.destroy_publisher(robot.image)
    best_effort, robot.image = robot.image, robot.node.create_publisher(Image, "image", RELIABLE)
    try:
        assert robot.change_state("configure")
        assert robot.change_state("activate")
        robot.forget()

        def subscription():
            status = robot.diagnostics.get("input")
            return status and next(v.value for v in status.values if v.key == "image subscription")

        robot.until(
            lambda: subscription() == "sensor_msgs/msg/Image reliable", "a reliable subscription"
        )
        robot.wait_for("objects", step=Camera(robot).publish)
    finally:
        robot.node.destroy_publisher(robot.image)
        robot.image = robot.node.create_publisher(Image, "image", best_effort.qos_profile)


def test_the_node_ends_cleanly_on_every_signal(domain, logs):
    numbers = (signal.SIGINT, signal.SIGTERM)
    processes = [
        NodeProcess(
            logs, domain, ("-r", f"__ns:=/{n.name.lower()}"), model="dummy", autostart=True
        )
        for n in numbers
    ]
    wrong = NodeProcess(logs, domain, ("-r", "__ns:=/wrong"), min_score=2.0)
    for number, process in zip(numbers, processes, strict=True):
        wait_until(
            lambda process=process: (
                "image: listening" in process.output or process.process.poll() is not None
            ),
            "the node to listen",
            START_S,
        )
        assert process.process.poll() is None, process.output
        assert process.interrupt(number) == 0, process.output
        assert "Traceback" not in process.output
    # A parameter out of its range ends the process with a message.
    assert wrong.process.wait(patience(START_S)) == 1
    assert "min_score" in wrong.output


def test_a_model_that_loads_slowly_keeps_no_manager_waiting(domain, logs, robot, tmp_path):
    assert max(CONFIGURE_WAIT_S, ACTIVATE_WAIT_S) < MANAGER_TIMEOUT_S / 2
    release = tmp_path / "release"
    slow = NodeProcess(logs, domain, ("-r", "__ns:=/slow"), model=f"held:{release}")
    clients = {
        name: robot.node.create_client(SERVICES[name], f"/slow/perception/{name}")
        for name in ("change_state", "get_state", "ask")
    }
    kept, robot.clients = robot.clients, clients
    try:
        for transition in ("configure", "activate"):
            robot.until(clients["change_state"].service_is_ready, "the node", START_S)
            assert robot.change_state(transition)  # it returns, though nothing is loaded
        assert robot.state() == "active"
        reply = robot.call("ask", AskSpatial.Request(question="ready?"))
        assert reply.error_code == ErrorCode.NO_MODEL
        assert "being loaded" in reply.message
        assert "still being loaded" in slow.output
    finally:
        robot.clients = kept
        release.touch()
        assert slow.interrupt() == 0, slow.output


def test_thresholds_and_queries_that_are_set_apply_at_once(unconfigured, robot):
    assert robot.change_state("configure")
    assert robot.change_state("activate")
    robot.forget()
    camera = Camera(robot)
    robot.wait_for("objects", lambda m: len(m.objects) == 2, step=camera.publish)
    assert all(
        r.successful for r in set_parameters(robot, min_score=0.85, queries=["lamp", "cup"])
    )
    robot.wait_for(
        "objects",
        lambda m: [item.label for item in m.objects] == ["lamp"] and m.queries == ["lamp", "cup"],
        step=camera.publish,
    )
    assert all(r.successful for r in set_parameters(robot, publish_rate=1.0))
    robot.forget()
    sent = len(camera.sent)
    robot.until(lambda: len(camera.sent) >= sent + 25, "2.5 s of images", step=camera.publish)
    assert len(robot.received["objects"]) <= 3  # of 25, which are keyframes all
    assert all(r.successful for r in set_parameters(robot, publish_rate=0.0))
    assert all(r.successful for r in set_parameters(robot, min_score=0.2, queries=[""]))
    robot.wait_for(
        "objects", lambda m: m.queries == ["chair", "ball"] and m.objects, step=camera.publish
    )


def test_what_needs_a_new_model_is_refused_until_the_node_is_cleaned_up(unconfigured, robot):
    assert robot.change_state("configure")
    for name, value in (("model", "other"), ("clip_length", 4)):
        (refused,) = set_parameters(robot, **{name: value})
        assert not refused.successful
        assert f"`{name}`" in refused.reason
        assert "cleanup" in refused.reason
    (refused,) = set_parameters(robot, queries=["cup", "cup"])
    assert not refused.successful
    assert "`queries`" in refused.reason
    assert robot.change_state("cleanup")
    (taken,) = set_parameters(robot, clip_length=4)
    assert taken.successful
