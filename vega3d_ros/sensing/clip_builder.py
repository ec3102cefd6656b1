"""From the messages of a camera to clips, for the node and for offline evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from vega3d_ros.core.frames import ClipBuffer, KeyframePolicy
from vega3d_ros.sensing.camera_settings import CameraSettings
from vega3d_ros.sensing.frame_assembly import FrameAssembler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vega3d_ros.core.frames import Clip, Frame
    from vega3d_ros.core.geometry import SE3

USED = "used"
TOO_SOON = "too soon after a keyframe"
HARDLY_MOVED = "the camera had hardly moved"


class NewClip(NamedTuple):
    """A clip whose newest image has just become a keyframe, and when that image arrived, ns."""

    clip: Clip
    arrival_ns: int


@dataclass(frozen=True, kw_only=True)
class ClipSettings:
    """How frames are put together and chosen; see the parameters of the node.

    Attributes:
        length: Frames in a clip, at most.
        capacity: Keyframes that a clip samples.
        policy: When a frame becomes a keyframe.
        fixed_frame: Frame of the poses; empty for none.
        pair_tolerance_ns: Largest distance between the stamps of an image and its depth.
        wait_ns: How long an image waits for its depth, calibration and pose.
        camera: What the user says of the camera.
    """

    length: int
    capacity: int
    policy: KeyframePolicy
    fixed_frame: str
    pair_tolerance_ns: int
    wait_ns: int
    camera: CameraSettings = field(default_factory=CameraSettings)


class ClipBuilder:
    """Pairs, poses and chooses the frames of one camera, and makes a clip per new keyframe.

    Overload thins the keyframes: a new keyframe replaces the last one where that one's clip can
    still be withdrawn. Each clip then has exactly one frame that the model has not seen yet. Times
    called ``now_ns`` are those of a steady clock; they only bound waiting.

    Args:
        settings: How to do it.
        lookup: As in ``FrameAssembler``.
        on_rewind: Called with a sentence when time was set back, before the image that showed it
            is taken in. Expected to call ``forget``.
        on_change: Called with a sentence when frame or calibration of the results change.
        on_frame_status: Called with each image's stamp and ``USED``, or why it was not used.
        withdraw: Takes the last clip back; returns False where the model has begun with it.
        below: As in ``FrameAssembler``, as the next one.
        on_note: Called with what is noticed about the camera.

    Attributes:
        assembler: Has the counts of dropped images.
        kind: Image size, camera, fixed frame, calibration and turn of the last frame; None before
            it.
    """

    def __init__(
        self,
        settings: ClipSettings,
        lookup: Callable[[str, str, int], SE3] | None,
        on_rewind: Callable[[str], None],
        on_change: Callable[[str], None] | None = None,
        on_frame_status: Callable[[int, str], None] | None = None,
        withdraw: Callable[[], bool] = lambda: False,
        *,
        below: Callable[[str], Iterable[str]] | None = None,
        on_note: Callable[[str, str], None] | None = None,
    ) -> None:
        self._on_rewind, self._on_change = on_rewind, on_change
        self._on_frame_status, self._withdraw = on_frame_status, withdraw
        self._keyframe_ns: int | None = None
        self._buffer = ClipBuffer(settings.length, settings.capacity, settings.policy)
        self.kind: tuple[Any, ...] | None = None
        self.assembler = FrameAssembler(
            settings.fixed_frame,
            lookup,
            settings.pair_tolerance_ns,
            settings.wait_ns,
            on_frame_status,
            settings=settings.camera,
            below=below,
            on_note=on_note,
        )

    @property
    def policy(self) -> KeyframePolicy:
        """When a frame becomes a keyframe; it may be set at any time."""
        return self._buffer.policy

    @policy.setter
    def policy(self, policy: KeyframePolicy) -> None:
        self._buffer.policy = policy

    def add_image(self, msg: Any, now_ns: int) -> None:
        if self.assembler.jumps_back(msg):
            self._on_rewind("an image is older than the one before")
        self.assembler.add_image(msg, now_ns)

    def forget(self) -> None:
        self._buffer.clear()
        self.assembler.clear()
        self.kind = self._keyframe_ns = None

    def advance(self, now_ns: int) -> Iterator[NewClip]:
        """Clips of the images that are complete, or have waited long enough."""
        for frame, arrival_ns, quarters in self.assembler.poll(now_ns, self._wants):
            if self._add(frame, quarters) and (clip := self._buffer.clip()):
                yield NewClip(clip, arrival_ns)

    def _wants(self, stamp: int) -> bool:
        """Whether an image could become a keyframe at all; only such images are decoded."""
        soon = self._buffer.policy.min_interval_s * 1e9
        if self._keyframe_ns is None or stamp - self._keyframe_ns >= soon:
            return True
        self._report(stamp, TOO_SOON)
        return False

    def _add(self, frame: Frame, quarters: int) -> bool:
        has_camera = frame.camera is not None
        kind = (frame.image.shape, frame.frame_id, frame.fixed_frame, has_camera, quarters)
        if kind != self.kind:
            if self.kind is not None and self._on_change is not None:
                turned = f" turned by {90 * quarters} degrees" if quarters else ""
                self._on_change(
                    f"results are now in {frame.fixed_frame or frame.frame_id!r}, "
                    f"{'with' if has_camera else 'without'} 3D objects, of pictures of "
                    f"{frame.image.shape[1]}x{frame.image.shape[0]}{turned}"
                )
            # One clip has one camera, one frame, one image size and one side up.
            self._buffer.clear()
            self.kind = kind
        kept = self._buffer.add(frame, self._withdraw)
        if kept:
            self._keyframe_ns = frame.stamp_ns
        self._report(frame.stamp_ns, USED if kept else HARDLY_MOVED)
        return kept

    def _report(self, stamp: int, status: str) -> None:
        if self._on_frame_status is not None:
            self._on_frame_status(stamp, status)
