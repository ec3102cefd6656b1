"""What was computed of keyframes, kept so that overlapping clips cost only what is new."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vega3d_ros.core.frames import Frame

T = TypeVar("T")
_Picture = tuple[str, int, int]


class KeyframeCache(Generic[T]):
    """The newest keyframes by who looked at them, camera, stamp and picture.

    Exact: where each frame is looked at alone, with noise that depends on its stamp, it is kept;
    where the frames of a clip see each other (a prior of scope "clip"), they are kept for this
    very clip, all or none.

    Args:
        limit: Keyframes kept at most, or as many as the longest clip asked for has frames.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: OrderedDict[tuple[object, _Picture, tuple[_Picture, ...]], T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()

    def of(
        self,
        frames: Sequence[Frame],
        owner: object,
        make: Callable[[list[Frame]], Sequence[T]],
        *,
        whole: bool = False,
    ) -> list[T]:
        """What an owner keeps of frames; of those that are new it is made.

        ``make`` may clear the cache, to free memory; the frames asked for stay in it.

        Args:
            frames: Of a clip.
            owner: Whose it is.
            make: Gives what is to be kept of each frame.
            whole: Whether the frames of a clip see each other.
        """
        # Recordings that start at the same time, and pictures without a clock, share stamps.
        pictures = [(frame.frame_id, frame.stamp_ns, frame.image_checksum) for frame in frames]
        clip = tuple(pictures) if whole else ()
        keys = [(owner, picture, clip) for picture in pictures]
        found = {key: self._kept[key] for key in keys if key in self._kept}
        if whole and len(found) < len(frames):
            found = {}
        new = {k: f for k, f in zip(keys, frames, strict=True) if k not in found}
        if new:
            found.update(zip(new, make(list(new.values())), strict=True))
        for key in keys:
            self._kept[key] = found[key]
            self._kept.move_to_end(key)
        while len(self._kept) > max(self.limit, len(frames)):
            self._kept.popitem(last=False)
        return [found[key] for key in keys]
