"""Services and the action of the node, over real topics."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from builtin_interfaces.msg import Duration
from robot_harness import BASE_FROM_OPTICAL, DEADLINE_S, OPTICAL, SERVICES, send_tf, stamp_of
from support.patience import patience
from vega3d_ros.action import AskScene
from vega3d_ros.msg import ErrorCode
from vega3d_ros.srv import AskSpatial, GroundObject, ListObjects, QueryRelation, SetQueries

from vega3d_ros.core.geometry import SE3

pytestmark = pytest.mark.ros


@pytest.fixture
def scene(camera, robot):
    """A scene in the map, and a camera that has stopped."""
    camera.with_tf = True
    send_tf(robot, "base_link", OPTICAL, 0, BASE_FROM_OPTICAL, static=True)
    robot.wait_for("objects", lambda m: m.header.frame_id == "map", step=camera.publish)

    def newest():
        """The scene of the last image sent; nothing is on its way then."""
        scenes = robot.received["objects"]
        return next((m for m in scenes if stamp_of(m.header) == camera.sent[-1]), None)

    # An image may be replaced by the next or get lost; then there is another last one.
    return robot.until(
        newest, "the scene of the last image", step=camera.publish, period_s=patience(1)
    )


@pytest.fixture
def held(tmp_path):
    """A question over which the model sits until it is told to answer."""
    release = tmp_path / "release"
    yield SimpleNamespace(question=f"held {release}", release=release.touch)
    release.touch()


def ok(reply, scene, frame_id="map"):
    assert reply.success, reply.message
    assert reply.error_code == ErrorCode.NONE
    assert stamp_of(reply.header) == stamp_of(scene.header)
    assert reply.header.frame_id == frame_id
    assert 0 < reply.latency.sec + reply.latency.nanosec * 1e-9 < patience(DEADLINE_S)


def failed(reply, code, word):
    assert not reply.success
    assert reply.error_code == code, reply.message
    assert word in reply.message
    return reply


def test_ask(scene, robot):
    reply = robot.call("ask", AskSpatial.Request(question="How many?"))
    ok(reply, scene)
    assert reply.answer.question == "How many?"
    assert reply.answer.answer == "2"
    assert reply.answer.confidence == 0.75
    assert reply.answer.sequence == scene.sequence
    assert [item.id for item in reply.answer.objects] == [item.id for item in scene.objects]
    published = robot.wait_for("answers")
    assert published == reply.answer


def test_ask_refuses_an_empty_question(scene, robot):
    failed(robot.call("ask", AskSpatial.Request(question="  ")), ErrorCode.BAD_REQUEST, "question")


def test_ask_tells_a_failing_model(scene, robot):
    reply = robot.call("ask", AskSpatial.Request(question="please fail"))
    failed(reply, ErrorCode.INFERENCE_FAILED, "told to fail")
    ok(robot.call("ask", AskSpatial.Request(question="and now?")), scene)


def test_ask_times_out_and_nothing_else_waits_for_the_model(scene, robot, held):
    slow = robot.clients["ask"].call_async(
        AskSpatial.Request(question=held.question, timeout=Duration(nanosec=400_000_000))
    )
    assert robot.state() == "active"
    robot.until(slow.done, "the reply")  # while the model still sits over the question
    failed(slow.result(), ErrorCode.TIMEOUT, "in time")


def test_ask_refuses_a_scene_that_is_too_old(scene, robot):
    reply = robot.call("ask", AskSpatial.Request(question="old?", max_age=Duration(sec=1)))
    failed(reply, ErrorCode.SCENE_TOO_OLD, "old")


def test_ask_before_any_scene(camera, robot):
    failed(robot.call("ask", AskSpatial.Request(question="hm?")), ErrorCode.NO_SCENE, "no scene")


def test_too_many_requests_are_refused(scene, robot, held):
    patient = Duration(sec=int(patience(DEADLINE_S)))
    futures = [
        robot.clients["ask"].call_async(
            AskSpatial.Request(question=held.question, timeout=patient)
        )
        for _ in range(8)
    ]
    robot.until(lambda: sum(future.done() for future in futures) == 4, "four refusals")
    held.release()
    robot.until(lambda: all(future.done() for future in futures), "all replies")
    codes = [future.result().error_code for future in futures]
    assert codes.count(ErrorCode.BUSY) == 4
    assert codes.count(ErrorCode.NONE) == 4


def test_ground(scene, robot):
    reply = robot.call("ground", GroundObject.Request(description="the chair"))
    ok(reply, scene)
    (item,) = reply.objects
    assert item.query == "the chair"
    chair = scene.objects[0]
    assert item.id == chair.id  # it lies where the remembered chair lies
    assert item.pose.pose.position.z == pytest.approx(chair.pose.pose.position.z, abs=1e-6)


def test_ground_says_what_is_not_there(scene, robot):
    reply = robot.call("ground", GroundObject.Request(description="a unicorn"))
    failed(reply, ErrorCode.NOT_FOUND, "unicorn")
    assert stamp_of(reply.header) == stamp_of(scene.header)  # it was looked for in this scene
    reply = robot.call("ground", GroundObject.Request(description="chair", min_score=0.99))
    failed(reply, ErrorCode.NOT_FOUND, "0.99")


def test_replies_come_in_the_requested_frame(scene, robot, camera):
    plain = robot.call("ground", GroundObject.Request(description="chair")).objects[0]
    reply = robot.call("ground", GroundObject.Request(description="chair", frame_id=OPTICAL))
    ok(reply, scene, OPTICAL)
    position = reply.objects[0].pose.pose.position
    steps = (stamp_of(scene.header) - camera.start_ns) // camera.period_ns
    map_from_optical = SE3(np.eye(3), [0.05 * steps, 0.0, 0.0]) @ BASE_FROM_OPTICAL
    there = map_from_optical.inverse().apply([3.0, 0.4, 0.5])
    np.testing.assert_allclose([position.x, position.y, position.z], there, atol=1e-6)
    assert plain.pose.pose.position.x == pytest.approx(3.0)
    reply = robot.call("ground", GroundObject.Request(description="chair", frame_id="mars"))
    failed(reply, ErrorCode.NO_TRANSFORM, "mars")


def test_query_relation(scene, robot):
    reply = robot.call("query_relation", QueryRelation.Request(subject="chair", object="ball"))
    ok(reply, scene)
    assert reply.subject.label == "chair"
    assert reply.object.label == "ball"
    assert reply.relation.predicates[0] == "left of"
    assert reply.relation.center_distance_m == pytest.approx(0.8)
    assert reply.relation.offset.y == pytest.approx(0.8)
    assert reply.relation.header.frame_id == "map"
    assert reply.relation.viewpoint == "camera"
    assert 0 < reply.relation.subject_bearing_rad < np.pi / 2


def test_query_relation_says_what_is_missing(scene, robot):
    reply = robot.call("query_relation", QueryRelation.Request(subject="chair", object="unicorn"))
    failed(reply, ErrorCode.NOT_FOUND, "unicorn")
    assert stamp_of(reply.header) == stamp_of(scene.header)
    assert reply.header.frame_id == "map"
    reply = robot.call("query_relation", QueryRelation.Request(subject="chair"))
    failed(reply, ErrorCode.BAD_REQUEST, "object")


@pytest.mark.parametrize("name", ["ask", "ground", "query_relation", "list_objects"])
@pytest.mark.parametrize("field", ["timeout", "max_age"])
def test_a_negative_duration_is_no_request(scene, robot, name, field):
    request = SERVICES[name].Request()
    if not hasattr(request, field):
        pytest.skip(f"{name} has no {field}")
    for text in ("question", "description", "subject", "object"):
        if hasattr(request, text):
            setattr(request, text, "chair")
    setattr(request, field, Duration(sec=-1))
    failed(robot.call(name, request), ErrorCode.BAD_REQUEST, f"{field} is -1 s")


def test_things_of_a_scene_older_than_tf_remembers_are_given_where_the_robot_is_now(
    scene, robot, camera
):
    """tf2 keeps ten seconds; in the map, things stand where they stood."""
    now_ns = camera.stamp_ns + 60_000_000_000
    for stamp_ns in (now_ns, now_ns + 1):
        send_tf(robot, "map", "base_link", stamp_ns, SE3(np.eye(3), [1.0, 0.0, 0.0]))

    def told():
        reply = robot.call("list_objects", ListObjects.Request(frame_id="base_link"))
        assert reply.success, reply.message
        return "is where it is now" in reply.message and reply

    reply = robot.until(told, "the newest transform")
    chair = next(item for item in reply.objects if item.label == "chair")
    assert chair.pose.pose.position.x == pytest.approx(2.0)
    assert reply.header.frame_id == "base_link"
    reply = robot.call("list_objects", ListObjects.Request(frame_id="mars"))
    failed(reply, ErrorCode.NO_TRANSFORM, "leave frame_id empty")


def test_list_objects(scene, robot):
    reply = robot.call("list_objects")
    ok(reply, scene)
    assert {item.label for item in reply.objects} == {"chair", "ball"}
    reply = robot.call("list_objects", ListObjects.Request(label="CHAIR"))
    assert [item.label for item in reply.objects] == ["chair"]
    reply = robot.call("list_objects", ListObjects.Request(label="unicorn"))
    ok(reply, scene)
    assert not reply.objects
    # The camera's clock and the node's differ by decades here, so nothing was seen lately.
    assert not robot.call("list_objects", ListObjects.Request(max_age=Duration(sec=1))).objects


def test_set_queries(scene, robot, camera):
    reply = robot.call("set_queries", SetQueries.Request(queries=["lamp", " lamp "]))
    failed(reply, ErrorCode.BAD_REQUEST, "different")
    assert list(reply.queries) == ["chair", "ball"]
    reply = robot.call(
        "set_queries", SetQueries.Request(queries=[f"thing {i}" for i in range(257)])
    )
    failed(reply, ErrorCode.BAD_REQUEST, "at most 256")
    reply = robot.call("set_queries", SetQueries.Request(queries=["a" * 2001]))
    failed(reply, ErrorCode.BAD_REQUEST, "2000 are allowed")
    try:
        reply = robot.call("set_queries", SetQueries.Request(queries=["red lamp", "unicorn"]))
        ok(reply, scene)
        assert list(reply.queries) == ["red lamp", "unicorn"]
        message = robot.wait_for("objects", lambda m: "red lamp" in m.queries, step=camera.publish)
        assert [item.query for item in message.objects] == ["red lamp"]
        assert list(message.queries) == ["red lamp", "unicorn"]
    finally:
        reply = robot.call("set_queries", SetQueries.Request())
    assert list(reply.queries) == ["chair", "ball"]


def test_reset_forgets_scenes_and_objects(scene, robot, camera):
    reply = robot.call("reset")
    assert reply.success
    assert not robot.call("list_objects").objects
    failed(robot.call("ask", AskSpatial.Request(question="hm?")), ErrorCode.NO_SCENE, "no scene")
    robot.forget()
    message = robot.wait_for("objects", step=camera.publish)
    assert message.sequence > scene.sequence
    assert {item.id for item in message.objects} == {"chair-1", "ball-1"}


def test_nothing_is_served_while_inactive(scene, robot):
    assert robot.change_state("deactivate")
    for name in ("ask", "ground", "query_relation", "list_objects"):
        request = SERVICES[name].Request()
        for field in ("question", "description", "subject", "object"):
            if hasattr(request, field):
                setattr(request, field, "chair")
        failed(robot.call(name, request), ErrorCode.NOT_ACTIVE, "activate")
    assert not robot.call("reset").success


class Goal:
    """An AskScene goal with its feedback."""

    def __init__(self, robot, **fields):
        self.robot, self.states = robot, []
        robot.until(robot.ask_scene.server_is_ready, "the action server")
        sent = robot.ask_scene.send_goal_async(
            AskScene.Goal(**fields),
            feedback_callback=lambda m: self.states.append(m.feedback.state),
        )
        robot.until(sent.done, "the goal's acceptance")
        self.handle = sent.result()
        assert self.handle.accepted
        self._result = self.handle.get_result_async()

    def result(self, **how):
        self.robot.until(self._result.done, "the action's result", **how)
        return self._result.result()


def test_action_answers_with_feedback(scene, robot):
    goal = Goal(robot, question="How many?")
    outcome = goal.result()
    assert outcome.status == GoalStatus.STATUS_SUCCEEDED
    ok(outcome.result, scene)
    assert outcome.result.answer.answer == "2"
    robot.until(lambda: AskScene.Feedback.QUEUED in goal.states, "feedback")


def test_action_waits_for_a_scene(camera, robot):
    goal = Goal(robot, question="How many?")
    robot.until(
        lambda: AskScene.Feedback.WAITING_FOR_SCENE in goal.states, "feedback about waiting"
    )
    outcome = goal.result(step=camera.publish)
    assert outcome.status == GoalStatus.STATUS_SUCCEEDED
    assert outcome.result.answer.answer == "2"


def test_action_can_be_cancelled(scene, robot, held):
    goal = Goal(robot, question=held.question)
    robot.until(lambda: AskScene.Feedback.ANSWERING in goal.states, "the model at work")
    cancelled = goal.handle.cancel_goal_async()
    robot.until(cancelled.done, "the cancellation")
    outcome = goal.result()  # while the model still sits over the question
    assert outcome.status == GoalStatus.STATUS_CANCELED
    failed(outcome.result, ErrorCode.CANCELLED, "cancelled")


def test_action_is_aborted_when_it_takes_too_long(camera, robot):
    goal = Goal(robot, question="hm?", timeout=Duration(nanosec=300_000_000))
    outcome = goal.result()
    assert outcome.status == GoalStatus.STATUS_ABORTED
    failed(outcome.result, ErrorCode.TIMEOUT, "in time")
    assert "/cam/image is published, but no image has come" in outcome.result.message
    assert outcome.result.header.frame_id == "map"


def test_action_is_aborted_by_deactivation(camera, robot):
    goal = Goal(robot, question="hm?")
    robot.until(lambda: goal.states, "feedback")
    assert robot.change_state("deactivate")
    outcome = goal.result()
    assert outcome.status == GoalStatus.STATUS_ABORTED
    failed(outcome.result, ErrorCode.CANCELLED, "deactivated")
