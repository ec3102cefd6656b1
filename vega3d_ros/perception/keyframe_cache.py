"""The fused tokens of keyframes, kept so that overlapping clips cost only what is new."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from vega3d_ros.core.frames import Frame
    from vega3d_ros.models.checkpoints.load import Modules


class FusedFrame(NamedTuple):
    """What is kept of a keyframe: tokens [rows, columns, D] and gate [rows, columns] (or None)."""

    tokens: Tensor
    gate: Tensor | None


class KeyframeCache:
    """The newest keyframes by model, camera and stamp.

    Exact, because each frame is encoded alone, with noise that depends on its stamp.

    Args:
        limit: Keyframes kept at most, or as many as the longest clip asked for has frames.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: OrderedDict[tuple[Modules, str, int], FusedFrame] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()

    def of(
        self,
        frames: Sequence[Frame],
        modules: Modules,
        encode: Callable[[list[Frame]], list[FusedFrame]],
    ) -> list[FusedFrame]:
        """What is kept of frames; those that are new are encoded.

        ``encode`` may clear the cache, to free memory; the frames asked for stay in it.
        """
        keys = [(modules, frame.frame_id, frame.stamp_ns) for frame in frames]
        found = {key: self._kept[key] for key in keys if key in self._kept}
        new = {k: f for k, f in zip(keys, frames, strict=True) if k not in found}
        if new:
            found.update(zip(new, encode(list(new.values())), strict=True))
        for key in keys:
            self._kept[key] = found[key]
            self._kept.move_to_end(key)
        while len(self._kept) > max(self.limit, len(frames)):
            self._kept.popitem(last=False)
        return [found[key] for key in keys]
