"""Recordings, read without ROS.

``rosbags`` reads storage (mcap, sqlite3, ROS 1; zstd or lz4 where compressed), CDR and message
definitions. This module chooses the topics of a camera (image, calibration, depth, transforms),
and raises errors with a remedy.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager, suppress
from errno import ENOSPC
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rosbags.typesys import Stores, get_typestore

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.sensing.bags.damage import Damage
from vega3d_ros.sensing.bags.first_messages import take_in, take_in_first
from vega3d_ros.sensing.bags.formats import (
    METADATA,
    RawMessage,
    is_split,
    listing,
    open_source,
    storage_files,
)
from vega3d_ros.sensing.camera_topics import CameraTopicChooser, CameraTopics, TopicError
from vega3d_ros.sensing.frame_assembly import FrameAssembler
from vega3d_ros.sensing.image_decoding import frame_of
from vega3d_ros.sensing.topic_names import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, TF_MESSAGE
from vega3d_ros.sensing.transform_buffer import TransformBuffer
from vega3d_ros.sensing.transform_gate import GatedTransforms

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from typing import Self

    from vega3d_ros.core.frames import Frame
    from vega3d_ros.sensing.camera_settings import CameraSettings

__all__ = [
    "CAMERA_INFO",
    "COMPRESSED_IMAGE",
    "IMAGE",
    "TF_MESSAGE",
    "Bag",
    "BagError",
    "CameraTopics",
    "RawMessage",
    "open_bag",
    "read_frames",
]

_END_NS = 10**10  # longer than any frame waits
_FIRST = 10


class BagError(Vega3dError, ValueError):
    """A recording that cannot be used as asked; the message says what is wrong and what to do."""


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
        self._damage = Damage()
        self._store = get_typestore(Stores.ROS2_JAZZY)
        with _reading(path):
            self._source = open_source(path, self._damage)
            self._undefined = self._source.register_types(self._store)
        self.topics: Mapping[str, str] = self._source.topics
        self.counts: Counter[str] = self._source.counts
        self.start_ns = self._source.start_ns
        self.duration_s = (self._source.end_ns - self.start_ns) * 1e-9
        self.notes = tuple(self._source.notes)
        if not self.counts.total():
            self.close()
            reason = "; ".join(self.damage)
            msg = f"{path} is {f'damaged: {reason}' if reason else 'empty: it holds no message'}"
            raise BagError(msg)

    @property
    def damage(self) -> tuple[str, ...]:
        """What could not be read so far."""
        return self._damage.sentences()

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
        with _reading(self.path):
            yield from self._source.messages(frozenset(topics))

    def decode(self, message: RawMessage) -> Any:
        """The message as an object with the fields of its ROS type; arrays are NumPy's.

        Raises:
            BagError: If its bytes do not fit its definition, or its type is not known; counted as
                damage.
        """
        reason = "its bytes do not fit its definition"
        if message.type in self._undefined:
            reason = f"the definition of {message.type} is damaged"
        try:
            return self._store.deserialize_cdr(message.data, message.type)
        except Exception as error:
            self._damage.add(message[0:3:2], message.topic, reason, {message.topic: 1})
            what = f"a message of {message.topic} cannot be decoded: {reason}"
            msg = f"{self.path} is damaged: {what}"
            raise BagError(msg) from error

    def decoded(self, topics: Collection[str]) -> Iterator[tuple[RawMessage, Any]]:
        """Messages with what they hold; those that cannot be decoded are left out and counted.

        Raises:
            BagError: As ``raw_messages``.
        """
        for message in self.raw_messages(topics):
            with suppress(BagError):
                yield message, self.decode(message)

    def first(self, topic: str, usable: Callable[[Any], bool] = lambda _: True) -> Any:
        """The first message of a topic that can be decoded, and used if any of its first ten can.

        None where it has no such message.
        """
        first = None
        for _, decoded in islice(self.decoded([topic]), _FIRST):
            if usable(decoded):
                return decoded
            first = decoded if first is None else first
        return first

    def find_topics(
        self,
        *,
        image: str = "",
        camera_info: str = "",
        depth: str = "",
        tf: str = "",
        settings: CameraSettings | None = None,
    ) -> CameraTopics:
        """Choose the topics of one camera by type, content, frame and name.

        Args:
            image: Take this one; empty to choose.
            camera_info: As ``image``.
            depth: As ``image``.
            tf: As ``image``; or the namespace of a robot.
            settings: What the user says of the camera.

        Raises:
            BagError: If a named topic is not there, or no topic holds colour or grey images.
        """
        has = listing(self.topics, self.counts)
        for name in (image, camera_info, depth):
            if name and name not in self.topics:
                msg = f"{self.path} has no topic {name}; {has}"
                raise BagError(msg)
        full = {name: kind for name, kind in self.topics.items() if self.counts[name]}
        chooser = CameraTopicChooser(full, self.counts, self.first, self._parents)
        try:
            topics = chooser.choose(
                image=image, camera_info=camera_info, depth=depth, tf=tf, settings=settings
            )
        except TopicError as error:
            damage = "".join(f"; it is damaged: {one}" for one in self.damage)
            msg = f"{self.path} has {error}; {has}{damage}"
            raise BagError(msg) from error
        if tf and not topics.tf:
            msg = f"{self.path} has no transforms on {tf}; {has}"
            raise BagError(msg)
        return topics

    def _parents(self, tf: Sequence[str]) -> dict[str, str]:
        """The parent of every frame that has one, as told last."""
        parents: dict[str, str] = {}
        for _, message in self.decoded(tf):
            for transform in message.transforms:
                parents[transform.child_frame_id.removeprefix("/")] = frame_of(transform)
        return parents


def open_bag(path: str | Path) -> Bag:
    """Open a rosbag2 folder, a single .mcap or .db3 file, or a .bag of ROS 1.

    What is damaged is left out; ``Bag.damage`` and ``Bag.notes`` say so.

    Raises:
        BagError: If it is missing, damaged, empty or of an unknown kind.
    """
    path = Path(path)
    if not path.exists():
        msg = f"there is no bag at {path}"
        raise BagError(msg)
    if path.is_dir():
        files = storage_files(path)
        if not files or (not (path / METADATA).is_file() and not is_split(files)):
            files = files or sorted(path.glob("*.bag"))
            remedy = (
                f"run `ros2 bag reindex {path}`, or give the file {files[0]}"
                if files
                else "give the folder that `ros2 bag record` wrote"
            )
            msg = f"{path} is no rosbag2 folder (no {METADATA} or no file): {remedy}"
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
    transforms = GatedTransforms(TransformBuffer())
    assembler = FrameAssembler(
        topics.fixed_frame,
        transforms.lookup,
        settings=topics.settings,
        below=transforms.below,
        on_note=on_note,
    )
    take_in_first(bag, topics, assembler, transforms)
    now_ns = 0
    for message, decoded in bag.decoded(topics.names):
        now_ns = max(now_ns, message.stamp_ns)
        if message.topic == topics.image:
            if assembler.jumps_back(decoded):
                assembler.clear()
                transforms.rewind(now_ns)
            assembler.add_image(decoded, now_ns)
        else:
            take_in(message.topic, decoded, now_ns, topics, assembler, transforms)
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
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        if error.errno == ENOSPC:
            msg += f" in {tempfile.gettempdir()}; set TMPDIR to a folder with space"
        raise BagError(msg) from error
    except Exception as error:
        msg = (
            f"{path} is damaged or cut off ({type(error).__name__}: {error}); record or copy it "
            "again, or try `ros2 bag reindex` and the mcap tool's `mcap recover`"
        )
        raise BagError(msg) from error
