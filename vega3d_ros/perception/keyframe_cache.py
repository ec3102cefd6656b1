"""The fused tokens of keyframes, kept so that overlapping clips cost only what is new."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from vega3d_ros.core.frames import Frame
    from vega3d_ros.models.checkpoints.modules import Modules


_Clip = tuple[tuple[str, int], ...]


class FusedFrame(NamedTuple):
    """What is kept of a keyframe: tokens [rows, columns, D] and gate [rows, columns] (or None)."""

    tokens: Tensor
    gate: Tensor | None


class KeyframeCache:
    """The newest keyframes by model, camera and stamp.

    Exact: where each frame is encoded alone, with noise that depends on its stamp, it is kept;
    where the frames of a clip see each other (a prior of scope "clip"), they are kept for this
    very clip, all or none.

    Args:
        limit: Keyframes kept at most, or as many as the longest clip asked for has frames.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: OrderedDict[tuple[Modules, str, int, _Clip], FusedFrame] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        self._kept.clear()

    def of(
        self,
        frames: Sequence[Frame],
        modules: Modules,
        encode: Callable[[list[Frame]], list[FusedFrame]],
        at_once: int,
    ) -> list[FusedFrame]:
        """What is kept of frames; those that are new are encoded, ``at_once`` at a time."""
        whole = modules.prior is not None and modules.prior.scope == "clip"
        clip = tuple((frame.frame_id, frame.stamp_ns) for frame in frames) if whole else ()
        keys = [(modules, frame.frame_id, frame.stamp_ns, clip) for frame in frames]
        new = [(k, f) for k, f in zip(keys, frames, strict=True) if k not in self._kept]
        if whole and new:
            new, at_once = list(zip(keys, frames, strict=True)), len(frames)
        for start in range(0, len(new), at_once):
            part = new[start : start + at_once]
            for (key, _), fused in zip(part, encode([f for _, f in part]), strict=True):
                self._kept[key] = fused
        for key in keys:
            self._kept.move_to_end(key)
        found = [self._kept[key] for key in keys]
        while len(self._kept) > max(self.limit, len(frames)):
            self._kept.popitem(last=False)
        return found
