"""Truth of other makes than the simulator's: topics of detections."""

from __future__ import annotations

from types import SimpleNamespace as Message

import numpy as np
import pytest
from support.drive_bags import LOOKS_ALONG_X

from vega3d_ros.core.frames import Camera
from vega3d_ros.core.geometry import SE3
from vega3d_ros.evaluation.run_log import SceneRecord
from vega3d_ros.evaluation.sources.truth import DETECTIONS, TopicTruth

CAMERA = Camera(width=100, height=80, fx=80.0, fy=80.0, cx=49.5, cy=39.5)
POSE = SE3(LOOKS_ALONG_X, np.array([1.0, 0.0, 1.0]))


def detections(stamp_ns, frame_id, *places):
    def detection(place):
        x, y, z = place
        results = [
            Message(hypothesis=Message(class_id=label, score=score))
            for label, score in (("table", 0.2), ("chair", 0.8))
        ]
        pose = Message(
            position=Message(x=x, y=y, z=z), orientation=Message(x=0.0, y=0.0, z=0.0, w=1.0)
        )
        return Message(
            id="", results=results, bbox=Message(center=pose, size=Message(x=1.0, y=0.5, z=0.4))
        )

    header = Message(stamp=Message(sec=0, nanosec=stamp_ns), frame_id=frame_id)
    return Message(header=header, detections=[detection(place) for place in places])


class Bag:
    """A bag of decoded messages."""

    def __init__(self, *messages):
        self.topics = {"/truth": DETECTIONS}
        self._messages = messages

    def raw_messages(self, _topics):
        return iter(self._messages)

    def decode(self, message):
        return message


def scene(stamp_ns):
    return SceneRecord(
        stamp_ns=stamp_ns, start_ns=stamp_ns, frames=1, frame_id="map", at_ns=stamp_ns, objects=(),
        camera=CAMERA, pose=POSE, camera_frame="optical",
    )  # fmt: skip


def test_one_message_holds_for_the_whole_recording_and_visibility_follows_from_the_view():
    message = detections(1, "map", (4.0, 0.0, 1.0), (-4.0, 0.0, 1.0), (20.0, 0.0, 1.0))
    true_objects = TopicTruth(Bag(message), "/truth").at(scene(9 * 10**8))
    assert [entry.item.label for entry in true_objects.values()] == ["chair"] * 3
    assert [entry.visible for entry in true_objects.values()] == [
        True,
        False,
        False,
    ]  # ahead alone
    assert true_objects["chair_0"].item.box.size.tolist() == [1.0, 0.5, 0.4]


def test_of_several_the_nearest_counts():
    messages = [detections(at, "map", (3.0 + at * 1e-9, 0.0, 1.0)) for at in (1, 500_000_000)]
    truth = TopicTruth(Bag(*messages), "/truth")
    assert truth.at(scene(480_000_000))["chair_0"].item.box.center[0] == pytest.approx(3.5)
    assert truth.at(scene(250_000_000)) is None


def test_objects_in_the_camera_frame_are_transformed_to_the_scene():
    truth = TopicTruth(Bag(detections(1, "optical", (0.0, 0.0, 3.0))), "/truth")
    (entry,) = truth.at(scene(1)).values()
    assert entry.item.box.center == pytest.approx([4.0, 0.0, 1.0])
    assert entry.visible
    assert TopicTruth(Bag(detections(1, "arm", (0.0, 0.0, 3.0))), "/truth").at(scene(1)) is None
