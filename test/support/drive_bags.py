"""A small recorded drive with truth, made by hand."""

from __future__ import annotations

import numpy as np
from rosbags.typesys import Stores, get_typestore

from vega3d_ros.core.geometry import SE3
from vega3d_ros.core.stamps import time_fields
from vega3d_ros.sensing.bags.reader import CAMERA_INFO, IMAGE, TF_MESSAGE
from vega3d_ros.sensing.bags.writer import BagWriter

STORE = get_typestore(Stores.ROS2_JAZZY)
START_NS = 1_700_000_000 * 10**9
OPTICAL = "camera_optical"
LOOKS_ALONG_X = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""map from an optical frame that looks along the map's x."""


def _make(name, **fields):
    return STORE.types[name](**fields)


def _header(stamp_ns, frame_id):
    time = _make("builtin_interfaces/msg/Time", **time_fields(stamp_ns))
    return _make("std_msgs/msg/Header", stamp=time, frame_id=frame_id)


def _image(stamp_ns, array, encoding):
    return _make(
        IMAGE,
        header=_header(stamp_ns, OPTICAL),
        height=array.shape[0],
        width=array.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=array.strides[0],
        data=np.frombuffer(array.tobytes(), np.uint8),
    )


def _camera_info(stamp_ns, width, height):
    k = np.array([width / 1.2, 0, width / 2 - 0.5, 0, width / 1.2, height / 2 - 0.5, 0, 0, 1.0])
    roi = _make(
        "sensor_msgs/msg/RegionOfInterest",
        x_offset=0,
        y_offset=0,
        height=0,
        width=0,
        do_rectify=False,
    )
    return _make(
        CAMERA_INFO,
        header=_header(stamp_ns, OPTICAL),
        height=height,
        width=width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=k,
        r=np.eye(3).ravel(),
        p=np.insert(k, [3, 6, 9], 0.0),
        binning_x=0,
        binning_y=0,
        roi=roi,
    )


def _tf(stamp_ns, parent, child, pose):
    x, y, z, w = (float(value) for value in pose.quaternion)
    a, b, c = (float(value) for value in pose.translation)
    transform = _make(
        "geometry_msgs/msg/Transform",
        translation=_make("geometry_msgs/msg/Vector3", x=a, y=b, z=c),
        rotation=_make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w),
    )
    stamped = _make(
        "geometry_msgs/msg/TransformStamped",
        header=_header(stamp_ns, parent),
        child_frame_id=child,
        transform=transform,
    )
    return _make(TF_MESSAGE, transforms=[stamped])


def write_drive(folder, frames=30, rate_hz=15.0, size=(64, 48)):
    """A bag of a camera that moves along the map's x: map -> base (moving) -> optical (static)."""
    width, height = size
    rng = np.random.default_rng(0)
    with BagWriter(folder) as writer:

        def write(topic, stamp_ns, message):
            writer.write(topic, stamp_ns, STORE.serialize_cdr(message, message.__msgtype__))

        for topic, kind in (
            ("/cam/image_raw", IMAGE),
            ("/cam/camera_info", CAMERA_INFO),
            ("/cam/depth", IMAGE),
            ("/tf", TF_MESSAGE),
            ("/tf_static", TF_MESSAGE),
        ):
            writer.add_topic(topic, kind)
        mount = SE3(LOOKS_ALONG_X, np.array([0.0, 0.0, 1.0]))
        write("/tf_static", START_NS, _tf(START_NS, "base", OPTICAL, mount))
        for i in range(frames):
            stamp_ns = START_NS + round(i / rate_hz * 1e9)
            place = SE3(np.eye(3), np.array([0.02 * i, 0.0, 0.0]))
            write("/tf", stamp_ns, _tf(stamp_ns, "map", "base", place))
            write("/cam/camera_info", stamp_ns, _camera_info(stamp_ns, width, height))
            depth = np.full((height, width), 2000 + i, np.uint16)
            depth[0, 0] = 0
            write("/cam/depth", stamp_ns, _image(stamp_ns, depth, "16UC1"))
            image = rng.integers(0, 255, (height, width, 3)).astype(np.uint8)
            image[0, 0] = (i, 100, 200)
            write("/cam/image_raw", stamp_ns, _image(stamp_ns, image, "rgb8"))


def _object(name, label, center, size, pixels):
    return {
        "id": name,
        "label": label,
        "center": center,
        "size": size,
        "yaw": 0.3,
        "visible_pixels": [pixels],
    }


def _question(kind, text, answer, at_s):
    return {"kind": kind, "question": text, "answer": answer, "ask_at_s": at_s}


TRUTH = {
    "fixed_frame": "map",
    "objects": [
        _object("chair_0", "chair", [2.2, 0.0, 0.5], [0.6, 0.6, 1.0], 900),
        _object("table_0", "table", [2.5, -1.0, 0.4], [1.2, 0.8, 0.8], 700),
        _object("bed_0", "bed", [9.0, 9.0, 0.4], [2.0, 1.6, 0.6], 20),
    ],
    "questions": [
        _question("count", "How many chairs can you see?", "2", 1.0),
        _question("size", "How large is the chair in centimetres?", "100", 1.3),
    ],
    "relations": [
        {
            "subject": "chair",
            "object": "table",
            "subject_id": "chair_0",
            "object_id": "table_0",
            "ask_at_s": 1.5,
        },
    ],
}
