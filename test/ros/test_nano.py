"""The node with the shipped model: it says online what the same model says offline."""

from __future__ import annotations

import numpy as np
import pytest
from robot_harness import OPTICAL, START_S, NodeProcess, Robot, camera_info, stamp_of, stamped
from support.closeness import SAME_CONFIDENCE, assert_close_to_magnitude
from vega3d_ros.msg import ErrorCode
from vega3d_ros.srv import AskSpatial, GroundObject, QueryRelation

from vega3d_ros.core.frames import Clip, Frame
from vega3d_ros.perception.perceiver import Perceiver
from vega3d_ros.sensing.calibration import calibration

pytestmark = [pytest.mark.ros, pytest.mark.slow]

STAMP = 1_000_000_000_000
QUESTION = "How many chairs are there?"


@pytest.fixture(scope="module")
def pixels():
    """A room of flat colours: floor, wall and two boxes."""
    image = np.full((168, 224, 3), (200, 200, 190), np.uint8)
    image[100:] = (120, 90, 60)
    image[70:130, 40:90] = (180, 30, 30)
    image[80:140, 130:190] = (30, 60, 170)
    return image


@pytest.fixture(scope="module")
def node(domain, logs):
    node = NodeProcess(
        logs, domain, script=["-m", "vega3d_ros.ros.perception_node"], autostart=True, device="cpu"
    )
    yield node
    assert node.interrupt() == 0, node.output


@pytest.fixture(scope="module")
def online(domain, node, pixels):
    robot = Robot(domain)
    info = camera_info(STAMP, 224, 168)

    def publish():
        robot.info.publish(info)
        # The same image again and again: only the first that arrives is new.
        robot.image.publish(stamped(pixels, "rgb8", STAMP))

    robot.wait_for("objects", step=publish, period_s=0.2, deadline_s=START_S)
    yield robot
    robot.close()


@pytest.fixture(scope="module")
def offline(pixels):
    camera = calibration(camera_info(STAMP, 224, 168), raw=False).camera
    perceiver = Perceiver.from_pretrained("nano", device="cpu")
    return perceiver.observe(Clip((Frame(STAMP, pixels, OPTICAL, camera),)))


def test_objects_are_those_of_the_perceiver(online, offline):
    message = online.received["objects"][0]
    assert message.model == "nano"
    assert stamp_of(message.header) == STAMP
    assert message.header.frame_id == OPTICAL
    assert len(message.queries) > 5
    found = sorted(
        (item.label, item.pose.pose.position.x, item.pose.pose.position.z)
        for item in message.objects
    )
    expected = sorted(
        (item.label, item.box.center[0], item.box.center[2]) for item in offline.objects
    )
    assert [item[0] for item in found] == [item[0] for item in expected]
    assert_close_to_magnitude(
        [item[1:] for item in found], [item[1:] for item in expected], "network"
    )


def test_answers_are_those_of_the_perceiver(online, offline):
    reply = online.call("ask", AskSpatial.Request(question=QUESTION))
    assert reply.success, reply.message
    expected = offline.ask(QUESTION)
    assert reply.answer.answer == expected.text
    assert reply.answer.confidence == pytest.approx(expected.confidence, rel=SAME_CONFIDENCE)
    assert stamp_of(reply.answer.header) == STAMP


def test_every_other_request_is_served(online, offline):
    reply = online.call("ground", GroundObject.Request(description="the red box"))
    assert reply.success == bool(offline.ground("the red box"))
    assert reply.error_code in {ErrorCode.NONE, ErrorCode.NOT_FOUND}
    reply = online.call("query_relation", QueryRelation.Request(subject="box", object="chair"))
    both = offline.ground("box") and offline.ground("chair")
    assert reply.success == bool(both), reply.message
    assert reply.error_code in {ErrorCode.NONE, ErrorCode.NOT_FOUND}
    reply = online.call("ask", AskSpatial.Request(question="why " * 600))
    assert reply.error_code == ErrorCode.BAD_REQUEST
    assert "2000" in reply.message
    assert online.call("list_objects").success
