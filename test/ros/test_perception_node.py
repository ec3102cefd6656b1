"""The node as a process: what goes in over real topics, and what comes out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from rclpy.qos import qos_profile_sensor_data
from robot_harness import (
    BASE_FROM_OPTICAL,
    DEADLINE_S,
    OPTICAL,
    compressed,
    send_tf,
    set_stamp,
    stamp_of,
    stamped,
)
from sensor_msgs.msg import CompressedImage, Image
from support.patience import patience
from vega3d_ros.srv import AskSpatial, SetQueries
from visualization_msgs.msg import Marker

from vega3d_ros.core.geometry import SE3
from vega3d_ros.sensing.image_decoding import image_to_rgb

pytestmark = pytest.mark.ros


def positions(message):
    return {
        item.label: np.array(
            [item.pose.pose.position.x, item.pose.pose.position.y, item.pose.pose.position.z]
        )
        for item in message.objects
    }


@pytest.fixture
def posed(camera, robot):
    camera.with_tf = True
    send_tf(robot, "base_link", OPTICAL, 0, BASE_FROM_OPTICAL, static=True)
    return camera


def test_every_output_has_the_stamp_and_the_frame_of_its_data(posed, robot):
    objects = robot.wait_for("objects", lambda m: m.header.frame_id == "map", step=posed.publish)
    robot.wait_for("debug_image", step=posed.publish)
    robot.wait_for("gate_image", step=posed.publish)
    robot.call("ask", AskSpatial.Request(question="how many?"))
    answer = robot.wait_for("answers")

    for message in (*robot.received["objects"], answer):
        assert stamp_of(message.header) in posed.sent
        assert message.clip_start.sec * 10**9 + message.clip_start.nanosec in posed.sent
        assert 1 <= message.clip_frames <= 8
        assert 0 <= message.latency.sec < patience(DEADLINE_S)
        assert message.model == "dummy"
    assert answer.header.frame_id == "map"
    assert answer.answer == "2"
    assert [item.label for item in answer.objects] == ["chair", "ball"]

    shown = [m for m in robot.received["markers"] if m.markers[0].header == objects.header]
    assert shown
    assert shown[0].markers[0].action == Marker.DELETEALL
    assert all(marker.header == objects.header for marker in shown[0].markers)
    assert len(shown[0].markers) == 1 + 2 * len(objects.objects)

    for name in ("debug_image", "gate_image"):
        picture = robot.received[name][-1]
        assert stamp_of(picture.header) in posed.sent
        assert picture.header.frame_id == OPTICAL
        pixels = image_to_rgb(picture)
        assert pixels.shape == (48, 64, 3)
        assert (pixels != np.array([200, 0, 0])).any()


def test_poses_are_those_of_the_image_stamp(posed, robot):
    assert robot.call("set_queries", SetQueries.Request(queries=["ahead"])).success
    try:
        message = robot.wait_for(
            "objects", lambda m: m.header.frame_id == "map", step=posed.publish
        )
    finally:
        robot.call("set_queries")
    assert message.objects[0].observations == 1  # so that nothing was averaged over time
    steps = (stamp_of(message.header) - posed.start_ns) // posed.period_ns
    map_from_base = SE3(np.eye(3), [0.05 * steps, 0.0, 0.0])
    expected = (map_from_base @ BASE_FROM_OPTICAL).apply([-0.4, 0.0, 2.0])
    np.testing.assert_allclose(positions(message)["ahead"], expected, atol=1e-6)


def test_objects_say_what_is_unknown(posed, robot):
    message = robot.wait_for("objects", lambda m: m.header.frame_id == "map", step=posed.publish)
    chair, ball = message.objects
    for item in (chair, ball):
        covariance = np.array(item.pose.covariance).reshape(6, 6)
        assert np.isfinite(covariance).all()
        assert (np.diag(covariance) > 0).all()
        q = item.pose.pose.orientation
        assert abs(np.linalg.norm([q.x, q.y, q.z, q.w]) - 1) < 1e-6
        assert item.size.x > 0
        assert item.id
    assert chair.orientation_estimated
    assert not ball.orientation_estimated
    np.testing.assert_allclose(
        np.array(ball.pose.covariance).reshape(6, 6)[3:, 3:], np.eye(3) * np.pi**2
    )


def test_names_stay_while_the_robot_moves(posed, robot):
    robot.until(
        lambda: len([m for m in robot.received["objects"] if m.header.frame_id == "map"]) >= 4,
        "four scenes",
        step=posed.publish,
    )
    named = [
        {item.label: item.id for item in m.objects}
        for m in robot.received["objects"]
        if m.header.frame_id == "map"
    ]
    assert all(names == named[0] for names in named)
    numbers = [m.sequence for m in robot.received["objects"]]
    assert numbers == sorted(set(numbers))


def test_without_transforms_results_stay_in_the_camera_frame_and_say_so(camera, robot):
    message = robot.wait_for("objects", step=camera.publish)
    assert message.header.frame_id == OPTICAL
    np.testing.assert_allclose(positions(message)["chair"], [-0.4, 0.0, 2.0], atol=1e-6)
    status = robot.until(
        lambda: (s := robot.diagnostics.get("transforms")) and s.level == b"\x01" and s,
        "a warning about transforms",
        step=camera.publish,
    )
    assert "optical frame" in status.message


def test_without_camera_info_there_are_answers_but_no_objects(camera, robot):
    camera.with_info = False
    message = robot.wait_for("objects", step=camera.publish)
    assert list(message.objects) == []
    reply = robot.call("ask", AskSpatial.Request(question="how many?"))
    assert reply.success
    assert reply.answer.answer == "0"
    status = robot.until(
        lambda: (s := robot.diagnostics.get("input")) and "camera_info" in s.message and s,
        "a warning about camera_info",
        step=camera.publish,
    )
    assert status.level == b"\x01"
    assert "/cam/camera_info" in status.message
    assert "no 3D objects" in status.message


@pytest.mark.parametrize("encoding", ["32FC1", "16UC1"])
def test_nan_and_zero_depth_are_unknown(camera, robot, encoding):
    camera.with_depth = False
    depth = np.full((48, 64), 2.0, np.float32)
    depth[:12], depth[12:24] = np.nan, 0.0
    if encoding == "16UC1":
        depth = np.nan_to_num(depth * 1000).astype(np.uint16)

    def publish():
        robot.depth.publish(stamped(depth, encoding, camera.stamp_ns + camera.period_ns))
        camera.publish()

    message = robot.wait_for(
        "objects", lambda m: m.objects and m.objects[0].depth_coverage > 0, step=publish
    )
    assert message.objects[0].depth_coverage == 0.5


def test_unreadable_encodings_are_refused_by_name(camera, robot):
    def publish():
        camera.stamp_ns += camera.period_ns
        pixels = np.zeros((48, 64), np.uint8)
        robot.image.publish(stamped(pixels, "bayer_unheard_of8", camera.stamp_ns))

    status = robot.until(
        lambda: (s := robot.diagnostics.get("input")) and s.level == b"\x02" and s,
        "an error about the encoding",
        step=publish,
    )
    assert "bayer_unheard_of8" in status.message
    assert any(v.key == "dropped: unreadable image" and int(v.value) > 0 for v in status.values)
    # And it goes on as soon as images can be read.
    robot.wait_for("objects", step=camera.publish)


def test_images_without_stamp_or_frame_are_refused(camera, robot):
    def publish():
        robot.image.publish(set_stamp(stamped(np.zeros((48, 64, 3), np.uint8), "rgb8", 1), 0))

    status = robot.until(
        lambda: (s := robot.diagnostics.get("input")) and s.level == b"\x02" and s,
        "an error about the stamp",
        step=publish,
    )
    assert "stamp" in status.message


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_compressed_images_are_found_by_their_type(camera, robot, kind):
    robot.node.destroy_publisher(robot.image)
    raw, robot.image = (
        robot.image,
        robot.node.create_publisher(CompressedImage, "image", qos_profile_sensor_data),
    )
    pixels = np.full((48, 64, 3), (10, 20, 220), np.uint8)  # BGR: red
    _, data = cv2.imencode(f".{kind}", pixels)
    try:

        def publish():
            camera.stamp_ns += camera.period_ns
            camera.sent.append(camera.stamp_ns)
            robot.image.publish(compressed(data, f"bgr8; {kind} compressed bgr8", camera.stamp_ns))

        robot.wait_for("objects", step=publish)
        picture = robot.wait_for("debug_image", step=publish)
    finally:
        robot.node.destroy_publisher(robot.image)
        robot.image = robot.node.create_publisher(Image, "image", qos_profile_sensor_data)
        del raw
    red, green, blue = image_to_rgb(picture)[0, -1]
    assert red > 200
    assert max(green, blue) < 40


def test_a_bag_that_loops_twice_goes_on(posed, robot, node):
    """Backward jumps of time must not wedge anything."""

    def jumps():
        return node.output.count("time was set back")

    for loop in range(3):
        before, wanted = jumps(), jumps() + (loop > 0)
        posed.stamp_ns, posed.x_m, posed.sent = posed.start_ns, 0.0, []
        robot.until(
            lambda wanted=wanted: jumps() >= wanted, f"jump {loop} to be seen", step=posed.publish
        )
        robot.forget()
        end = posed.start_ns + 20 * posed.period_ns
        robot.until(
            lambda end=end: any(
                stamp_of(m.header) >= end and m.header.frame_id == "map"
                for m in robot.received["objects"]
            ),
            f"an image late in loop {loop}",
            step=posed.publish,
        )
        assert jumps() == before + (loop > 0)
        last = robot.received["objects"][-1]
        assert stamp_of(last.header) in posed.sent
        assert {item.label for item in last.objects} == {"chair", "ball"}
        if (
            loop
        ):  # names begin anew, and the first image of a loop is not taken for one without a pose
            assert {item.id for item in last.objects} == {"chair-1", "ball-1"}
    assert robot.state() == "active"


def test_diagnostics_tell_rates_drops_latency_and_memory(posed, robot):
    robot.until(
        lambda: len(robot.received["objects"]) > 3 and len(robot.diagnostics) == 4,
        "diagnostics",
        step=posed.publish,
    )
    robot.diagnostics.clear()
    robot.until(lambda: len(robot.diagnostics) == 4, "fresh diagnostics", step=posed.publish)
    values = {v.key: v.value for s in robot.diagnostics.values() for v in s.values}
    assert float(values["images"].split(" Hz")[0]) > 0
    assert float(values["scenes"].split(" Hz")[0]) > 0
    assert values["image topic"] == "/cam/image"
    assert float(values["memory"].split()[0]) > 10
    assert "ms" in values["latency image to objects"]
    assert values["mean gate (share of the generator)"] == "0.250"
    assert "dropped: keyframe skipped, the model was busy" in values
    assert {s.name.split(": ")[0] for s in robot.diagnostics.values()} == {"cam/perception"}


def test_silence_is_explained(camera, robot):
    status = robot.until(
        lambda: (
            (s := robot.diagnostics.get("input")) and "no image on /cam/image" in s.message and s
        ),
        "a warning about missing images",
    )
    assert status.level == b"\x01"
    assert "fastdds_large_images.xml" in status.message
