"""Recordings, read without ROS.

``rosbags`` reads storage (mcap, sqlite3, ROS 1; zstd or lz4 where compressed), CDR and message
definitions. This module chooses the topics of a camera (image, calibration, depth, transforms),
and raises errors with a remedy.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rosbags.typesys import Stores, get_typestore

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.sensing.bags.first_messages import take_in_first
from vega3d_ros.sensing.bags.fixed_frame import fixed_frame_above, frames_above
from vega3d_ros.sensing.bags.formats import listing, open_source
from vega3d_ros.sensing.camera_settings import CameraSettings
from vega3d_ros.sensing.depth_registration import camera_info_beside
from vega3d_ros.sensing.frame_assembly import FrameAssembler
from vega3d_ros.sensing.image_decoding import depth_to_metres, frame_of
from vega3d_ros.sensing.raw_images import ImageError
from vega3d_ros.sensing.transform_buffer import TransformBuffer, insert_transforms

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from typing import Self

    from vega3d_ros.core.frames import Frame

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
TF_MESSAGE = "tf2_msgs/msg/TFMessage"

_END_NS = 10**10  # longer than any frame waits
_DEPTH_ENCODINGS = ("16UC1", "32FC1", "mono16")
_COLOR_ENCODINGS = ("rgb", "bgr", "mono8", "8UC", "bayer", "yuv", "nv12", "nv21", "uyvy", "yuyv")


class BagError(Vega3dError, ValueError):
    """A recording that cannot be used as asked; the message says what is wrong and what to do."""


class RawMessage(NamedTuple):
    """One message of a bag, not decoded.

    Attributes:
        topic: Its topic.
        type: For example ``sensor_msgs/msg/Image``.
        stamp_ns: When it was recorded, nanoseconds.
        data: CDR with its header of 4 bytes, as raw publishers take it.
    """

    topic: str
    type: str
    stamp_ns: int
    data: bytes


@dataclass(frozen=True, kw_only=True)
class CameraTopics:
    """The topics of one camera; an empty name means that the bag has none.

    Attributes:
        image: Colour or grey images, Image or CompressedImage.
        camera_info: Their calibration.
        depth: Depth, registered to them or of another camera.
        depth_camera_info: Calibration of depth, where it has one of its own.
        tf: Topics of transforms.
        frame_id: The camera's optical frame, as the images name it.
        fixed_frame: The map above ``frame_id``, else the root; empty where nothing is above it.
        notes: What was chosen among several topics, or left out, and why.
        settings: What the user says of the camera.
    """

    image: str
    camera_info: str = ""
    depth: str = ""
    depth_camera_info: str = ""
    tf: tuple[str, ...] = ()
    frame_id: str = ""
    fixed_frame: str = ""
    notes: tuple[str, ...] = ()
    settings: CameraSettings = field(default_factory=CameraSettings)

    @property
    def names(self) -> tuple[str, ...]:
        """Every topic that there is."""
        calibrations = (self.camera_info, self.depth_camera_info)
        return tuple(name for name in (self.image, *calibrations, self.depth, *self.tf) if name)


class Bag:
    """An opened recording. Use ``open_bag`` in a ``with`` statement.

    Attributes:
        path: The folder or storage file.
        topics: Type of every topic.
        counts: Messages of every topic.
        start_ns: Recording time of the first message, nanoseconds.
        duration_s: From the first to the last message.
        notes: What was special in opening it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._store = get_typestore(Stores.ROS2_JAZZY)
        with _reading(path):
            self._source = open_source(path)
            self._connections = list(self._source.connections)
            self._source.register_types(self._store)
            self.topics: Mapping[str, str] = {c.topic: c.msgtype for c in self._connections}
            self.counts: Counter[str] = Counter()
            for connection in self._connections:  # a topic has one for each of its publishers
                self.counts[connection.topic] += connection.msgcount
            self.start_ns = self._source.start_ns
            self.duration_s = self._source.duration_ns * 1e-9
            self.notes = tuple(self._source.notes)
            count = self._source.count
        if count == 0:
            self.close()
            msg = f"{path} is empty: it holds no message"
            raise BagError(msg)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._source.close()

    def raw_messages(self, topics: Collection[str]) -> Iterator[RawMessage]:
        """Messages of the topics, not decoded, in the order of recording.

        Raises:
            BagError: If a topic is not in the bag, or where the file turns out to be damaged.
        """
        if missing := set(topics) - set(self.topics):
            has = listing(self.topics, self.counts)
            msg = f"{self.path} has no topic {', '.join(sorted(missing))}; {has}"
            raise BagError(msg)
        wanted = [c for c in self._connections if c.topic in set(topics)]
        if not wanted:
            return  # to the reader, no connections would mean all of them
        with _reading(self.path):
            for connection, stamp_ns, data in self._source.messages(wanted):
                yield RawMessage(connection.topic, connection.msgtype, stamp_ns, data)

    def decode(self, message: RawMessage) -> Any:
        """The message as an object with the fields of its ROS type; arrays are NumPy's.

        Raises:
            BagError: If its bytes do not fit its type.
        """
        with _reading(self.path):
            return self._store.deserialize_cdr(message.data, message.type)

    def first(self, topic: str) -> Any:
        """The first message of a topic, decoded; None where the topic has no message."""
        message = next(self.raw_messages([topic]), None)
        return None if message is None else self.decode(message)

    def find_topics(
        self,
        *,
        image: str = "",
        camera_info: str = "",
        depth: str = "",
        settings: CameraSettings | None = None,
    ) -> CameraTopics:
        """Choose the topics of one camera by type, encoding, frame and name.

        Args:
            image: Take this one; empty to choose.
            camera_info: As ``image``.
            depth: As ``image``.
            settings: What the user says of the camera.

        Raises:
            BagError: If a named topic is not there, or no topic holds colour or grey images.
        """
        has = listing(self.topics, self.counts)
        for name in (image, camera_info, depth):
            if name and name not in self.topics:
                msg = f"{self.path} has no topic {name}; {has}"
                raise BagError(msg)
        notes: list[str] = []
        colors, depths = self._image_topics()
        if not image and not colors:
            msg = f"{self.path} has no topic with colour or grey images; {has}"
            raise BagError(msg)
        image = image or max(colors, key=self._image_rank)
        if others := sorted(set(colors) - {image}):
            notes.append(f"image: took {image}, not {', '.join(others)}")
        frame_id = self._frame_id(image)
        camera_info = camera_info or self._nearest(self._of_type(CAMERA_INFO), image)
        if not camera_info:
            notes.append("no camera_info: nothing can be placed in 3D")
        tf = tuple(self._of_type(TF_MESSAGE))
        parents = self._parents(tf)
        if not depth and depths:
            depth, note = self._choose_depth(depths, image, camera_info, parents)
            notes += [note] if note else []
        depth_info = self._depth_calibration(depth, camera_info) if depth else ""
        settings = settings or CameraSettings()
        frame_id = settings.camera_frame or frame_id
        fixed_frame = fixed_frame_above(frame_id, parents)
        if not fixed_frame:
            notes.append(f"no transform leads to {frame_id!r}: results stay in the camera's frame")
        return CameraTopics(
            image=image,
            camera_info=camera_info,
            depth=depth,
            depth_camera_info=depth_info,
            tf=tf,
            frame_id=frame_id,
            fixed_frame=fixed_frame,
            notes=tuple(notes),
            settings=settings,
        )

    def _of_type(self, *types: str) -> list[str]:
        return sorted(n for n, t in self.topics.items() if t in types and self.counts[n])

    def _image_topics(self) -> tuple[list[str], list[str]]:
        colors, depths = [], []
        for name in self._of_type(IMAGE, COMPRESSED_IMAGE):
            message = self.first(name)
            compressed = self.topics[name] == COMPRESSED_IMAGE
            encoding = message.format if compressed else message.encoding
            if encoding.startswith(_DEPTH_ENCODINGS) or "compressedDepth" in encoding:
                depths.append(name)
            elif compressed or encoding.startswith(_COLOR_ENCODINGS):
                colors.append(name)
        return colors, depths

    def _image_rank(self, name: str) -> tuple[bool, bool, int, str]:
        frame_id = self._frame_id(name)
        calibrated = any(self._frame_id(info) == frame_id for info in self._of_type(CAMERA_INFO))
        return calibrated, self.topics[name] == IMAGE, self.counts[name], name

    def _nearest(self, names: Sequence[str], image: str) -> str:
        """The topic that fits an image best: first by frame, then by the start of its name."""
        frame_id = self._frame_id(image)

        def likeness(name: str) -> tuple[bool, int]:
            pairs = zip(name.split("/"), image.split("/"), strict=False)
            shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
            return self._frame_id(name) == frame_id, shared

        return max(names, key=likeness, default="")

    def _frame_id(self, topic: str) -> str:
        message = self.first(topic)
        return "" if message is None else frame_of(message)

    def _choose_depth(
        self, depths: Sequence[str], image: str, camera_info: str, parents: Mapping[str, str]
    ) -> tuple[str, str]:
        """The depth topic of an image, or none, and what to tell of it."""
        frame_id = self._frame_id(image)
        registered = [name for name in depths if self._frame_id(name) == frame_id]
        if registered:
            return self._nearest(registered, image), ""
        root = [frame_id, *frames_above(frame_id, parents)][-1]
        lacks = {}
        for name in depths:
            own = self._frame_id(name)
            info = self._depth_calibration(name, camera_info)
            if not camera_info:
                lacks[name] = "the image has no calibration"
            elif not info or self._frame_id(info) != own:
                lacks[name] = f"there is no calibration of it on {camera_info_beside(name)}"
            elif [own, *frames_above(own, parents)][-1] != root:
                lacks[name] = f"no transform leads from {own!r} to it"
        if usable := [name for name in depths if name not in lacks]:
            depth = self._nearest(usable, image)
            return depth, f"{depth} is reprojected from {self._frame_id(depth)!r} to {frame_id!r}"
        reasons = "; ".join(f"{name}: {reason}" for name, reason in lacks.items())
        return "", (
            f"left out depth that is not in the image's frame {frame_id!r}, so it is not "
            f"registered to the colour camera, and cannot be reprojected: {reasons}"
        )

    def _depth_calibration(self, depth: str, camera_info: str) -> str:
        """The calibration of a depth topic: beside it, else of its frame and size; or none."""
        others = [name for name in self._of_type(CAMERA_INFO) if name != camera_info]
        beside = camera_info_beside(depth)
        if beside in others:
            return beside
        alike = [name for name in others if self._frame_id(name) == self._frame_id(depth)]
        if not alike:
            return ""
        try:
            shape = depth_to_metres(self.first(depth)).shape
        except ImageError:
            return ""
        sizes = {name: self.first(name) for name in alike}
        return next((n for n, info in sizes.items() if (info.height, info.width) == shape), "")

    def _parents(self, tf: Sequence[str]) -> dict[str, str]:
        """The parent of every frame that has one, as told last."""
        parents: dict[str, str] = {}
        for message in self.raw_messages(tf):
            for transform in self.decode(message).transforms:
                parents[transform.child_frame_id.removeprefix("/")] = frame_of(transform)
        return parents


def open_bag(path: str | Path) -> Bag:
    """Open a rosbag2 folder, a single .mcap or .db3 file, or a .bag of ROS 1.

    A file that is cut off is read up to there; ``Bag.notes`` says so.

    Raises:
        BagError: If it is missing, damaged, empty or of an unknown kind.
    """
    path = Path(path)
    if not path.exists():
        msg = f"there is no bag at {path}"
        raise BagError(msg)
    if path.is_dir() and not (path / "metadata.yaml").is_file():
        files = sorted(f.name for f in path.iterdir() if f.suffix in {".mcap", ".db3", ".bag"})
        if len(files) != 1 or files[0].endswith(".bag"):
            remedy = (
                f"run `ros2 bag reindex {path}`, or give the file {path / files[0]}"
                if files
                else "give the folder that `ros2 bag record` wrote"
            )
            msg = f"{path} is no rosbag2 folder (no metadata.yaml): {remedy}"
            raise BagError(msg)
    return Bag(path)


def read_frames(
    bag: Bag,
    topics: CameraTopics,
    wanted: Callable[[int], bool] | None = None,
    on_note: Callable[[str, str], None] | None = None,
) -> Iterator[Frame]:
    """Every usable frame of a camera, decoded, with calibration, depth and pose where known.

    Uses the node's pairing and transforms; waiting is measured in the recording's time.

    Args:
        bag: The recording.
        topics: Of its camera.
        wanted: Called with the stamp of every image; False skips it, undecoded. None: all.
        on_note: As in ``FrameAssembler``.

    Raises:
        BagError: Where the file turns out to be damaged.
    """
    transforms = TransformBuffer()
    assembler = FrameAssembler(
        topics.fixed_frame,
        transforms.lookup,
        settings=topics.settings,
        below=transforms.below,
        on_note=on_note,
    )
    take_in_first(bag, topics, assembler, transforms)
    now_ns = 0
    for message in bag.raw_messages(topics.names):
        decoded, now_ns = bag.decode(message), message.stamp_ns
        if message.topic == topics.image:
            assembler.add_image(decoded, now_ns)
        elif message.topic == topics.depth:
            assembler.add_depth(decoded, now_ns)
        elif message.topic == topics.camera_info:
            assembler.add_camera_info(decoded)
        elif message.topic == topics.depth_camera_info:
            assembler.registration.add_camera_info(decoded)
        else:
            insert_transforms(transforms, decoded, static=message.topic.endswith("/tf_static"))
        for assembled in assembler.poll(now_ns, wanted):
            yield assembled.frame
    for assembled in assembler.poll(now_ns + _END_NS, wanted):
        yield assembled.frame


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raise one kind of error for all that parsers and decompressors raise."""
    try:
        yield
    except BagError:
        raise
    except Exception as error:
        msg = (
            f"{path} is damaged or cut off ({type(error).__name__}: {error}); record or copy it "
            "again, or try `ros2 bag reindex` and the mcap tool's `mcap recover`"
        )
        raise BagError(msg) from error
