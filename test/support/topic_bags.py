"""Recordings of chosen topics, each with a few messages."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from support.drive_bags import START_NS, STORE, _camera_info, _header, _image, _make, _tf

from vega3d_ros.core.geometry import SE3
from vega3d_ros.sensing.bags.reader import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, TF_MESSAGE
from vega3d_ros.sensing.bags.writer import BagWriter

SIZE = (64, 48)


@dataclass(frozen=True)
class Topic:
    """``number`` messages, one a tenth of a second; ``make(stamp_ns)`` gives each."""

    type: str
    make: object
    number: int = 5


def picture(frame_id="camera_optical", encoding="rgb8", number=5, size=SIZE, values=None):
    """An image topic: noise in colours or grey, depth of 2 m, or the given values."""
    width, height = size
    if values is None:
        rng = np.random.default_rng(0)
        values = {
            "mono8": rng.integers(0, 255, (height, width)).astype(np.uint8),
            "mono16": rng.integers(0, 4000, (height, width)).astype(np.uint16),
            "16UC1": np.full((height, width), 2000, np.uint16),
            "32FC1": np.linspace(1.5, 2.5, height * width, dtype=np.float32).reshape(height, -1),
        }.get(encoding, rng.integers(0, 255, (height, width, 3)).astype(np.uint8))

    def make(stamp_ns):
        message = _image(stamp_ns, values, encoding)
        message.header.frame_id = frame_id
        return message

    return Topic(IMAGE, make, number)


def compressed(frame_id="camera_optical", form="jpeg", data=None, number=5):
    """A JPEG of noise, or other data under a name of their format."""
    if data is None:
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 255, (SIZE[1], SIZE[0], 3)).astype(np.uint8)
        data = cv2.imencode(".jpg", pixels)[1].tobytes()

    def make(stamp_ns):
        header = _header(stamp_ns, frame_id)
        return _make(
            COMPRESSED_IMAGE, header=header, format=form, data=np.frombuffer(data, np.uint8)
        )

    return Topic(COMPRESSED_IMAGE, make, number)


def calibration(frame_id="camera_optical", size=SIZE):
    """The calibration of a camera."""

    def make(stamp_ns):
        message = _camera_info(stamp_ns, *size)
        message.header.frame_id = frame_id
        return message

    return Topic(CAMERA_INFO, make)


def transform(parent, child, place=(0.0, 0.0, 0.0), step=(0.0, 0.0, 0.0)):
    """A transform that moves by a step with every message."""

    def make(stamp_ns):
        count = (stamp_ns - START_NS) / 1e8
        moved = np.asarray(place) + count * np.asarray(step)
        return _tf(stamp_ns, parent, child, SE3(np.eye(3), moved))

    return Topic(TF_MESSAGE, make)


def write_topics(folder, topics):
    """Write a recording of ``{name: Topic}``."""
    with BagWriter(folder) as writer:
        for name, topic in topics.items():
            writer.add_topic(name, topic.type)
        messages = sorted(
            (START_NS + i * 10**8, name)
            for name, topic in topics.items()
            for i in range(topic.number)
        )
        for stamp_ns, name in messages:
            message = topics[name].make(stamp_ns)
            writer.write(name, stamp_ns, STORE.serialize_cdr(message, topics[name].type))
    return folder
