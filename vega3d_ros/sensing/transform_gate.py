"""Keeps a transform buffer in one run of time, also where time is set back.

When a bag loops or a simulator resets, messages of the old run still wait in queues, and would be
taken for the newest ones. They are ignored here, before any buffer sees them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from vega3d_ros.sensing.transform_buffer import JUMP_BACK_NS, read_transforms

if TYPE_CHECKING:
    from vega3d_ros.core.geometry import SE3

HOLD_NS = 2_000_000_000  # what waited in queues when time was set back has arrived by then


class TransformStore(Protocol):
    """The tree of frames; ``TransformBuffer`` or tf2's."""

    def insert(
        self, parent: str, child: str, stamp_ns: int, sample: SE3, *, static: bool = False
    ) -> None:
        """Take in ``parent`` from ``child``."""

    def lookup(self, target: str, source: str, stamp_ns: int) -> SE3:
        """``target`` from ``source`` at a stamp; raises TransformError where it is not known."""

    def clear(self) -> None:
        """Forget moving transforms."""


class GatedTransforms:
    """A transform store behind a gate that ignores what is left of time before a jump back.

    Times called ``now_ns`` are those of a steady clock, or of recording. Not thread safe.
    """

    def __init__(self, store: TransformStore) -> None:
        self._store = store
        self._newest: dict[str, int] = {}  # stamp of each moving frame in this run of time
        self._before: dict[str, int] = {}  # the same of the run before
        self._arrived: set[str] = set()  # frames of which the new run has come
        self._hold_until_ns = 0

    def insert(self, message: Any, now_ns: int, *, static: bool) -> list[str]:
        """Take in a tf2_msgs/TFMessage.

        Returns:
            Why transforms were refused, one sentence each.
        """
        transforms, refusals = read_transforms(message)
        for parent, child, stamp_ns, sample in transforms:
            if static or self._admits(child, stamp_ns, now_ns):
                self._store.insert(parent, child, stamp_ns, sample, static=static)
        return refusals

    def lookup(self, target: str, source: str, stamp_ns: int) -> SE3:
        """``target`` from ``source`` at a stamp; raises TransformError where it is not known."""
        return self._store.lookup(target, source, stamp_ns)

    def rewind(self, now_ns: int) -> None:
        """Forget the run of time that ended; clock and images call it, in any order with /tf."""
        arrived = self._arrived if now_ns < self._hold_until_ns else set()
        self._begin({child for child in self._newest if child not in arrived}, now_ns)

    def _admits(self, child: str, stamp_ns: int, now_ns: int) -> bool:
        if now_ns >= self._hold_until_ns:
            self._before.clear()
            self._arrived.clear()
        newest, before = self._newest.get(child), self._before.get(child)
        ahead = newest is None or stamp_ns > newest + JUMP_BACK_NS
        if before is not None and ahead and stamp_ns >= before - JUMP_BACK_NS:
            return False
        if newest is not None and stamp_ns < newest - JUMP_BACK_NS:
            later = {n for n, last in self._newest.items() if last > stamp_ns + JUMP_BACK_NS}
            self._begin(later - self._arrived | {child}, now_ns)
            newest = None
        self._newest[child] = stamp_ns if newest is None else max(newest, stamp_ns)
        self._arrived.add(child)
        return True

    def _begin(self, ended: set[str], now_ns: int) -> None:
        """Begin a new run of time for the frames whose old run has ended."""
        if not ended:
            return
        self._store.clear()
        self._before.update({child: self._newest.pop(child) for child in ended})
        self._arrived -= ended
        self._hold_until_ns = now_ns + HOLD_NS
