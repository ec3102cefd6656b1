"""Records a robot's drive through a simulated home as a ROS 2 bag with ground truth.

Frames follow REP-103 and REP-105: ``map`` -> ``odom`` -> ``base_link`` on /tf, ``base_link`` ->
``camera_link`` -> ``camera_color_optical_frame`` on /tf_static. The truth's poses between two
transforms are those that tf2 interpolates.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from rosbags.typesys import Stores, get_typestore

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.core.geometry import SE3
from vega3d_ros.core.stamps import time_fields
from vega3d_ros.core.token_grid import BODY_FROM_OPTICAL
from vega3d_ros.sensing.bags.writer import BagWriter
from vega3d_ros.simulation.camera_path import TICK_S, robot_path
from vega3d_ros.simulation.clips import truth_record
from vega3d_ros.simulation.dataset import FRAME_ID, TRUTH_FILE
from vega3d_ros.simulation.planning import plan_home
from vega3d_ros.simulation.question_sampling import sample_questions
from vega3d_ros.simulation.referring import make_referring
from vega3d_ros.simulation.rooms import SPLITS
from vega3d_ros.simulation.visibility import IMAGE_PIXELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from vega3d_ros.core.frames import Camera
    from vega3d_ros.simulation.furniture import FurnitureFolder
    from vega3d_ros.simulation.renderer import View

_START_NS = 1_700_000_000 * 10**9
_TICK_NS = round(TICK_S * 1e9)
_LEAD_S = 0.2
# As on a robot, images do not fall on the ticks of /tf.
_OFFSET_NS = 7_000_000
_STORE = get_typestore(Stores.ROS2_JAZZY)


class RecordingError(Vega3dError, ValueError):
    """A recording that cannot be made as asked; the message says what to change."""


@dataclass(frozen=True)
class RecordingOptions:
    """How to record; ``compressed`` means JPEG and PNG (``CompressedImage``), not ``Image``."""

    seconds: float = 40.0
    rate_hz: float = 10.0
    compressed: bool = True
    width: int = 320
    height: int = 240

    def __post_init__(self) -> None:
        if not 2.0 <= self.seconds <= 3600.0:
            msg = f"a recording lasts 2 to 3600 seconds, not {self.seconds}"
            raise RecordingError(msg)
        if not 0.5 <= self.rate_hz <= 1 / TICK_S:
            msg = f"images come at 0.5 to {1 / TICK_S:.0f} Hz, not {self.rate_hz}"
            raise RecordingError(msg)


def _message(name: str, **fields: Any) -> Any:
    return _STORE.types[name](**fields)


def _serialized(name: str, **fields: Any) -> memoryview:
    return _STORE.serialize_cdr(_message(name, **fields), name)


def _header(stamp_ns: int, frame_id: str) -> Any:
    time = _message("builtin_interfaces/msg/Time", **time_fields(stamp_ns))
    return _message("std_msgs/msg/Header", stamp=time, frame_id=frame_id)


def _transform(stamp_ns: int, parent: str, child: str, pose: SE3) -> Any:
    x, y, z = (float(v) for v in pose.translation)
    qx, qy, qz, qw = (float(v) for v in pose.quaternion)
    transform = _message(
        "geometry_msgs/msg/Transform",
        translation=_message("geometry_msgs/msg/Vector3", x=x, y=y, z=z),
        rotation=_message("geometry_msgs/msg/Quaternion", x=qx, y=qy, z=qz, w=qw),
    )
    return _message(
        "geometry_msgs/msg/TransformStamped",
        header=_header(stamp_ns, parent),
        child_frame_id=child,
        transform=transform,
    )


def _flat(state: NDArray[np.float64]) -> SE3:
    """Pose on the floor of (x, y, yaw)."""
    x, y, yaw = state
    c, s = np.cos(yaw), np.sin(yaw)
    return SE3(np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]), np.array([x, y, 0.0]))


@dataclass(frozen=True, eq=False)
class _Rig:
    """The frames of the robot over time.

    Attributes:
        map_from_odom: Constant, but published at every tick as by a localisation.
        odom_from_base: One per tick.
        base_from_camera: ``camera_link``: x forward, pitched down a little.
    """

    map_from_odom: SE3
    odom_from_base: list[SE3]
    base_from_camera: SE3

    @property
    def camera_from_optical(self) -> SE3:
        return SE3(BODY_FROM_OPTICAL, np.zeros(3))

    def optical_at(self, since_start_ns: int) -> SE3:
        """Map from the optical frame, as tf2 would interpolate it."""
        tick, rest = divmod(since_start_ns, _TICK_NS)
        base = self.odom_from_base[tick].interpolate(
            self.odom_from_base[tick + 1], rest / _TICK_NS
        )
        return self.map_from_odom @ base @ self.base_from_camera @ self.camera_from_optical


def _build_rig(rng: np.random.Generator, states: NDArray[np.float64]) -> _Rig:
    map_from_odom = _flat(states[0]) @ _flat(rng.normal(0, (0.1, 0.1, 0.05)))
    odom_from_map = map_from_odom.inverse()
    pitch = rng.uniform(0.08, 0.18)
    c, s = np.cos(pitch), np.sin(pitch)
    mount = SE3(
        np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]]),
        np.array([0.12, 0.0, rng.uniform(1.0, 1.25)]),
    )
    return _Rig(map_from_odom, [odom_from_map @ _flat(state) for state in states], mount)


def record(
    folder: str | Path,
    *,
    seed: int,
    split: str = "heldout",
    furniture: FurnitureFolder | None = None,
    options: RecordingOptions | None = None,
) -> Iterator[float]:
    """Record a drive through a home of two rooms.

    Writes the bag (mcap and ``metadata.yaml``) and ``truth.json`` into the new ``folder``; the
    truth has the schema of ``docs/ground_truth.md``.

    Yields:
        The share that is written, 0 to 1, after every image.

    Raises:
        BagError: If the folder exists.
        RenderError: If rendering is impossible here.
        CameraPathError: If the home has no free floor to drive on.
    """
    # Imported here, because the import chooses the GL backend.
    from vega3d_ros.simulation.renderer import RoomRenderer, pinhole_camera  # noqa: PLC0415

    options = options or RecordingOptions()
    # The third number makes recordings differ from clips of the same seed.
    rng = np.random.default_rng([SPLITS.index(split), seed, 0, 1])
    home = plan_home(rng, split, furniture.models if furniture else ())
    rig = _build_rig(rng, robot_path(home, rng, options.seconds + 2 * _LEAD_S))
    camera = pinhole_camera(options.width, options.height, rng.uniform(50, 60))
    renderer = RoomRenderer(options.width, options.height, furniture)
    renderer.load_room(home, rng)
    start_ns = _START_NS + seed * 10**12
    count = int(options.seconds * options.rate_hz)
    since = [round((_LEAD_S + i / options.rate_hz) * 1e9) + _OFFSET_NS for i in range(count)]
    poses = [rig.optical_at(offset) for offset in since]
    visible = np.zeros((count, len(home.objects)), np.int64)
    with BagWriter(Path(folder)) as bag:
        topics = _add_topics(bag, compressed=options.compressed)
        messages = list(_tf_messages(rig, start_ns))
        for i, (offset, pose) in enumerate(zip(since, poses, strict=True)):
            view = renderer.render(pose, camera)
            pixels = np.bincount(view.instance.ravel(), minlength=len(home.objects) + 1)[1:]
            visible[i] = np.round(pixels * IMAGE_PIXELS / view.instance.size)
            messages += _camera_messages(topics, start_ns + offset, view, camera)
            yield 0.95 * (i + 1) / count
        for received_ns, topic, data in sorted(messages, key=lambda message: message[0]):
            bag.write(topic, received_ns, data)
    renderer.close()
    stamps = [start_ns + offset for offset in since]
    truth: dict[str, Any] = {"split": split, "seed": seed, "index": 0}
    truth |= truth_record(home, camera, stamps, poses, visible)
    truth |= _language(truth, rng, since[0] * 1e-9)
    (Path(folder) / TRUTH_FILE).write_text(json.dumps(truth))
    yield 1.0


def _language(
    truth: dict[str, Any], rng: np.random.Generator, first_image_s: float
) -> dict[str, Any]:
    """Questions with their times, and referring expressions for the whole recording."""
    sampled = sample_questions(truth, rng)
    for item in (*sampled["questions"], *sampled["relations"]):
        item["ask_at_s"] = round(item["ask_at_s"] + first_image_s, 2)
    referring = make_referring(truth["objects"], rng, (24, 32))
    return {**sampled, "referring": [expression.record() for expression in referring]}


def _add_topics(bag: BagWriter, *, compressed: bool) -> dict[str, str]:
    kind = "sensor_msgs/msg/CompressedImage" if compressed else "sensor_msgs/msg/Image"
    topics = {
        "image": "/camera/image_raw" + ("/compressed" if compressed else ""),
        "depth": "/camera/depth/image_raw" + ("/compressedDepth" if compressed else ""),
        "info": "/camera/camera_info",
    }
    bag.add_topic(topics["image"], kind)
    bag.add_topic(topics["depth"], kind)
    bag.add_topic(topics["info"], "sensor_msgs/msg/CameraInfo")
    bag.add_topic("/tf", "tf2_msgs/msg/TFMessage")
    bag.add_topic("/tf_static", "tf2_msgs/msg/TFMessage", latched=True)
    return topics


_Timed = tuple[int, str, memoryview]


def _tf_messages(rig: _Rig, start_ns: int) -> Iterator[_Timed]:
    def message(*transforms: Any) -> memoryview:
        return _serialized("tf2_msgs/msg/TFMessage", transforms=list(transforms))

    static = message(
        _transform(start_ns, "base_link", "camera_link", rig.base_from_camera),
        _transform(start_ns, "camera_link", FRAME_ID, rig.camera_from_optical),
    )
    yield start_ns, "/tf_static", static
    for tick, base in enumerate(rig.odom_from_base):
        stamp_ns = start_ns + tick * _TICK_NS
        odometry = _transform(stamp_ns, "odom", "base_link", base)
        localisation = _transform(stamp_ns, "map", "odom", rig.map_from_odom)
        yield stamp_ns + 2_000_000, "/tf", message(odometry)
        yield stamp_ns + 3_000_000, "/tf", message(localisation)


def _camera_messages(
    topics: dict[str, str], stamp_ns: int, view: View, camera: Camera
) -> Iterator[_Timed]:
    """Image, depth and calibration, received a little after the exposure as from a driver."""
    header = _header(stamp_ns, FRAME_ID)
    depth_mm = np.round(view.depth_m * 1000).astype(np.uint16)
    if topics["image"].endswith("/compressed"):
        jpeg = cv2.imencode(".jpg", view.rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])[1]
        png = cv2.imencode(".png", depth_mm, [cv2.IMWRITE_PNG_COMPRESSION, 6])[1]
        # compressed_depth_image_transport puts 12 bytes before the PNG: the format, here none of
        # the inverse-depth ones, and its two parameters.
        payload = np.concatenate([np.zeros(12, np.uint8), png.ravel()])
        image = _compressed(header, "rgb8; jpeg compressed bgr8", jpeg.ravel())
        depth = _compressed(header, "16UC1; compressedDepth png", payload)
    else:
        image = _raw(header, "rgb8", view.rgb)
        depth = _raw(header, "16UC1", depth_mm)
    yield stamp_ns + 14_000_000, topics["info"], _camera_info(header, camera)
    yield stamp_ns + 15_000_000, topics["image"], image
    yield stamp_ns + 21_000_000, topics["depth"], depth


def _compressed(header: Any, kind: str, data: NDArray[np.uint8]) -> memoryview:
    return _serialized("sensor_msgs/msg/CompressedImage", header=header, format=kind, data=data)


def _raw(header: Any, encoding: str, image: NDArray[Any]) -> memoryview:
    return _serialized(
        "sensor_msgs/msg/Image",
        header=header,
        height=image.shape[0],
        width=image.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=image.strides[0],
        data=np.ascontiguousarray(image).view(np.uint8).ravel(),
    )


def _camera_info(header: Any, camera: Camera) -> memoryview:
    projection = np.hstack([camera.matrix, np.zeros((3, 1))])
    roi = _message(
        "sensor_msgs/msg/RegionOfInterest",
        x_offset=0,
        y_offset=0,
        height=0,
        width=0,
        do_rectify=False,
    )
    return _serialized(
        "sensor_msgs/msg/CameraInfo",
        header=header,
        height=camera.height,
        width=camera.width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=camera.matrix.ravel(),
        r=np.eye(3).ravel(),
        p=projection.ravel(),
        binning_x=0,
        binning_y=0,
        roi=roi,
    )
