"""Puts images, calibrations, depth and poses together into frames.

Pairs by acquisition stamp, never by arrival. An image waits a bounded time for its depth and pose;
then the frame goes without, or the image is dropped, counted by reason. Messages are read by their
fields, so that messages of rclpy and of rosbags can be used.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from vega3d_ros.core.frames import Camera, Frame, FrameError
from vega3d_ros.core.stamps import SECOND_NS, stamp_ns
from vega3d_ros.sensing.depth_registration import (
    DepthRegistration,
    UnregisteredDepthError,
    camera_info_beside,
)
from vega3d_ros.sensing.image_decoding import camera_from_info, frame_of, image_to_rgb
from vega3d_ros.sensing.lags import DepthOffsets, PoseDelays
from vega3d_ros.sensing.raw_images import ImageError
from vega3d_ros.sensing.transform_buffer import JUMP_BACK_NS, TransformError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from vega3d_ros.core.geometry import SE3

MAX_WAITING = 32
STALE_NS = 2 * SECOND_NS  # without depth for longer, images do not wait for it
POSE_LOST_NS = 5 * SECOND_NS


class Assembled(NamedTuple):
    """A frame, and when its image arrived by the steady clock, nanoseconds."""

    frame: Frame
    arrival_ns: int


@dataclass(frozen=True)
class _Waiting:
    msg: Any
    stamp_ns: int
    arrival_ns: int


class FrameAssembler:
    """Makes frames of one camera.

    Times called ``now_ns`` are those of a steady clock; they only bound waiting.

    Args:
        fixed_frame: Frame of the poses; empty: frames get no pose.
        lookup: Gives ``fixed_frame`` from a frame at a stamp, or raises TransformError. None where
            transforms are not available.
        tolerance_ns: Largest difference between the stamps of an image and its depth.
        wait_ns: Longest time that an image waits for its depth, calibration or pose.
        on_drop: Called with the stamp of every image that is dropped, and the reason.

    Attributes:
        depth_expected: Whether depth has a publisher, so that the first image waits for it too.
        registration: Brings depth into the colour camera.
        drops: Number of dropped images by reason.
        lacks: Number of frames without depth, camera or pose by reason.
        details: What is wrong at present, by reason.
        depth_offsets: How far depth is stamped from the images.
        pose_delays: How late poses come.
    """

    def __init__(
        self,
        fixed_frame: str = "",
        lookup: Callable[[str, str, int], SE3] | None = None,
        tolerance_ns: int = 20_000_000,
        wait_ns: int = 300_000_000,
        on_drop: Callable[[int, str], None] | None = None,
    ) -> None:
        self.fixed_frame = fixed_frame.removeprefix("/")
        self.depth_expected = False
        self.drops: Counter[str] = Counter()
        self.lacks: Counter[str] = Counter()
        self.details: dict[str, str] = {}
        self.registration = DepthRegistration(lookup)
        self.depth_offsets = DepthOffsets(tolerance_ns)
        self.pose_delays = PoseDelays(wait_ns)
        self._lookup = lookup
        self._tolerance_ns = tolerance_ns
        self._wait_ns = wait_ns
        self._on_drop = on_drop
        self._info: Any = None
        self._depth_arrival_ns: int | None = None
        self._first_image_ns: int | None = None
        self._pose_ns: int | None = None  # when a pose was last found
        self._images: deque[_Waiting] = deque()
        self._depths: deque[tuple[int, Any]] = deque(maxlen=MAX_WAITING)  # with their stamps
        self._newest_ns: int | None = None

    @property
    def waiting(self) -> int:
        return len(self._images)

    def expect_depth(self, topic: str, info_topic: str = "") -> None:
        """Expect depth of a recording, and name its topics in what is told of it.

        Args:
            topic: Of depth; empty where there is none.
            info_topic: Of its calibration; empty where there is none.
        """
        self.depth_expected = bool(topic)
        if topic:
            self.registration.name_topics(topic, info_topic or camera_info_beside(topic))

    def jumps_back(self, msg: Any) -> bool:
        """Whether an image is so old that time was set back (a bag that loops)."""
        return self._newest_ns is not None and stamp_ns(msg) < self._newest_ns - JUMP_BACK_NS

    def clear(self) -> None:
        """Forget waiting messages and all stamps; calibration and counts stay."""
        if self._on_drop is not None:
            for image in self._images:
                self._on_drop(image.stamp_ns, "forgotten while it waited")
        self._images.clear()
        self._depths.clear()
        self.pose_delays.clear()
        self._newest_ns = None

    def add_camera_info(self, msg: Any) -> None:
        """Take in a calibration; the newest is used for all images, since it hardly changes."""
        self._info = msg

    def add_depth(self, msg: Any, now_ns: int) -> None:
        self._depth_arrival_ns = now_ns
        self._depths.append((stamp_ns(msg), msg))

    def add_image(self, msg: Any, now_ns: int) -> None:
        """Take in an image; ``poll`` yields its frame."""
        stamp = stamp_ns(msg)
        if not msg.header.frame_id:
            detail = "header.frame_id of the image is empty; set it in the camera driver"
            self._drop(stamp, "no frame_id", detail)
        elif stamp <= 0:
            detail = "header.stamp of the image is zero; the camera driver must set it"
            self._drop(stamp, "no stamp", detail)
        elif self._newest_ns is not None and stamp <= self._newest_ns:
            detail = (
                f"an image of {stamp} ns came after one of {self._newest_ns} ns; the camera "
                f"driver must give every image a later stamp"
            )
            self._drop(stamp, "late", detail)
        else:
            self._newest_ns = stamp
            if self._first_image_ns is None:
                self._first_image_ns = now_ns
            if len(self._images) == MAX_WAITING:
                oldest = self._images.popleft()
                detail = f"more than {MAX_WAITING} images wait for depth or transforms"
                self._drop(oldest.stamp_ns, "queue full", detail)
            self._images.append(_Waiting(msg, stamp, now_ns))

    def poll(
        self, now_ns: int, wanted: Callable[[int], bool] | None = None
    ) -> Iterator[Assembled]:
        """Yield the frames that are complete or have waited long enough, oldest first.

        Args:
            now_ns: Steady clock.
            wanted: Called with an image's stamp before it is decoded; False skips the image.
        """
        self._measure_delays(now_ns)
        while self._images:
            image = self._images[0]
            if wanted is not None and not wanted(image.stamp_ns):
                self._images.popleft()
                continue
            may_wait = now_ns - image.arrival_ns < self._wait_ns
            if may_wait and (self._awaits_info(now_ns) or self._awaits_depth(image, now_ns)):
                return
            pose: SE3 | None = None
            if self.fixed_frame and self._lookup is not None:
                try:
                    pose = self._lookup(self.fixed_frame, frame_of(image.msg), image.stamp_ns)
                    self._pose_ns = now_ns
                    self.pose_delays.found()
                    self._solved("no transform")
                except TransformError as error:
                    if may_wait and (error.may_come or self._poses_may_begin(now_ns)):
                        return
                    if self._pose_ns is not None and now_ns - self._pose_ns < POSE_LOST_NS:
                        # One frame fewer is better than a clip in which some poses are missing.
                        self._drop(image.stamp_ns, "no transform", str(error))
                        self.pose_delays.missed(
                            image.stamp_ns, frame_of(image.msg), image.arrival_ns
                        )
                        self._images.popleft()
                        continue
                    self.details["no transform"] = str(error)
                    self.lacks["no transform"] += 1
            self._images.popleft()
            frame = self._frame(image, pose)
            if frame is not None:
                yield Assembled(frame, image.arrival_ns)

    def _measure_delays(self, now_ns: int) -> None:
        lookup = self._lookup
        if lookup is not None:
            self.pose_delays.probe(lambda name, at: lookup(self.fixed_frame, name, at), now_ns)

    def _awaits_info(self, now_ns: int) -> bool:
        return self._info is None and self._just_began(now_ns)

    def _awaits_depth(self, image: _Waiting, now_ns: int) -> bool:
        if self._depth_arrival_ns is None:
            return self.depth_expected and self._just_began(now_ns)
        if now_ns - self._depth_arrival_ns > STALE_NS:
            return False
        msg = self._match(image.stamp_ns)
        if msg is None:
            return max((stamp for stamp, _ in self._depths), default=0) < image.stamp_ns
        at_first = self._just_began(now_ns)
        if at_first and self.registration.lacks_info(msg, image.msg):
            return True
        frame_id = frame_of(image.msg)
        return self.registration.awaits_transform(msg, frame_id, image.stamp_ns, at_first=at_first)

    def _just_began(self, now_ns: int) -> bool:
        began = self._first_image_ns
        return began is not None and now_ns - began < self._wait_ns

    def _poses_may_begin(self, now_ns: int) -> bool:
        """Whether images began so recently that unknown frames may still become known."""
        began = self._first_image_ns
        return self._pose_ns is None and began is not None and now_ns - began < POSE_LOST_NS

    def _match(self, stamp: int) -> Any:
        """The depth image nearest to a stamp, within the tolerance."""
        nearest = self._nearest_depth(stamp)
        if nearest is None or abs(nearest[0] - stamp) > self._tolerance_ns:
            return None
        return nearest[1]

    def _nearest_depth(self, stamp: int) -> tuple[int, Any] | None:
        return min(self._depths, key=lambda depth: abs(depth[0] - stamp), default=None)

    def _drop(self, stamp: int, reason: str, detail: str) -> None:
        self.drops[reason] += 1
        self.details[reason] = detail
        if self._on_drop is not None:
            self._on_drop(stamp, reason)

    def _lack(self, reason: str, detail: str) -> None:
        self.lacks[reason] += 1
        self.details[reason] = detail

    def _solved(self, *reasons: str) -> None:
        for reason in reasons:
            self.details.pop(reason, None)

    def _frame(self, image: _Waiting, pose: SE3 | None) -> Frame | None:
        try:
            rgb = image_to_rgb(image.msg)
        except ImageError as error:
            self._drop(image.stamp_ns, "unreadable image", f"topic `image`: {error}")
            return None
        self._solved("unreadable image", "no frame_id", "no stamp", "late", "queue full")
        height, width = rgb.shape[:2]
        camera = self._camera(width, height)
        return Frame(
            image.stamp_ns,
            rgb,
            frame_of(image.msg),
            camera=camera,
            depth_m=self._depth(image, camera, width, height),
            pose=pose,
            fixed_frame=self.fixed_frame if pose is not None else "",
        )

    def _camera(self, width: int, height: int) -> Camera | None:
        if self._info is None:
            detail = "no camera_info was received: answers only, no 3D objects"
            self._lack("no camera_info", detail)
            return None
        try:
            camera = camera_from_info(self._info, (width, height))
        except (ImageError, FrameError) as error:
            self._lack("unusable camera_info", f"topic `camera_info`: {error}")
            return None
        self._solved("no camera_info", "unusable camera_info")
        return camera

    def _depth(
        self, image: _Waiting, camera: Camera | None, width: int, height: int
    ) -> NDArray[np.float32] | None:
        if self._depth_arrival_ns is None:
            return None
        msg = self._match(image.stamp_ns)
        if (nearest := self._nearest_depth(image.stamp_ns)) is not None:
            self.depth_offsets.add(nearest[0] - image.stamp_ns)
        if msg is None:
            tolerance_ms = self._tolerance_ns * 1e-6
            self._lack(
                "no depth", f"no depth image within {tolerance_ms:.0f} ms of the image's stamp"
            )
            return None
        frame_id = frame_of(image.msg)
        try:
            depth = self.registration.registered(
                msg, frame_id, camera, (width, height), image.stamp_ns
            )
        except UnregisteredDepthError as error:
            self._lack("unregistered depth", str(error))
            return None
        except ImageError as error:
            self._lack("unreadable depth", f"topic `depth`: {error}")
            return None
        self._solved("no depth", "unregistered depth", "unreadable depth")
        return depth
