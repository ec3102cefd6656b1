"""Transforms between frames over time, for machines where tf2_ros is not installed.

As tf2: interpolates linearly in translation and along the shorter arc in rotation, chains through
the common ancestor, and never extrapolates.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.core.geometry import SE3, GeometryError
from vega3d_ros.core.stamps import nanoseconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NEWEST = -1  # as a stamp: the last one that all transforms between two frames have
CACHE_NS = 10_000_000_000  # as tf2's default
JUMP_BACK_NS = 500_000_000  # stamps this much older than the one before: time was set back
_NORM_TOLERANCE = 10e-3  # of a quaternion's squared length, as tf2
_SOON_NS = 2_000_000_000  # later samples are not expected any more
_MAX_DEPTH = 1000  # as tf2; only a loop of frames is this deep


class TransformError(Vega3dError, RuntimeError):
    """A transform that is not known at the wanted stamp.

    Attributes:
        may_come: Whether later messages can make it known.
    """

    def __init__(self, message: str, *, may_come: bool) -> None:
        super().__init__(message)
        self.may_come = may_come


class _Edge:
    """Samples of ``parent`` from ``child``, ordered by stamp; or one static transform."""

    def __init__(self, parent: str) -> None:
        self.parent = parent
        self.fixed: SE3 | None = None
        self.stamps: list[int] = []
        self.samples: list[SE3] = []

    def insert(self, stamp_ns: int, sample: SE3) -> None:
        if self.stamps and stamp_ns < self.stamps[-1] - CACHE_NS:
            return  # tf2 ignores what is older than its cache
        index = bisect_left(self.stamps, stamp_ns)
        if index < len(self.stamps) and self.stamps[index] == stamp_ns:
            self.samples[index] = sample
            return
        self.stamps.insert(index, stamp_ns)
        self.samples.insert(index, sample)
        # Removing in blocks keeps an insertion cheap.
        oldest = bisect_left(self.stamps, self.stamps[-1] - CACHE_NS)
        if oldest > len(self.stamps) // 2:
            del self.stamps[:oldest], self.samples[:oldest]

    def at(self, child: str, stamp_ns: int) -> SE3:
        if self.fixed is not None:
            return self.fixed
        oldest = bisect_left(self.stamps, self.stamps[-1] - CACHE_NS)
        index = bisect_left(self.stamps, stamp_ns, oldest)
        if index < len(self.stamps) and self.stamps[index] == stamp_ns:
            return self.samples[index]
        late = index == len(self.stamps)
        if index == oldest or late:
            side, near = ("after", self.stamps[-1]) if late else ("before", self.stamps[oldest])
            away_s = abs(stamp_ns - near) * 1e-9
            end = f"{side} its {'newest' if late else 'oldest'} sample"
            message = f"{self.parent!r} from {child!r} is wanted {away_s:.3f} s {end}"
            raise TransformError(message, may_come=late and stamp_ns - near < _SOON_NS)
        before, after = self.stamps[index - 1], self.stamps[index]
        fraction = (stamp_ns - before) / (after - before)
        return self.samples[index - 1].interpolate(self.samples[index], fraction)


class TransformBuffer:
    """The tree of frames over the last ten seconds. Not thread safe."""

    def __init__(self) -> None:
        self._edges: dict[str, _Edge] = {}

    def insert(
        self, parent: str, child: str, stamp_ns: int, sample: SE3, *, static: bool = False
    ) -> None:
        """Take in ``parent`` from ``child``.

        A child that changes its parent, or from static to moving, starts a new history.
        """
        edge = self._edges.get(child)
        if edge is None or edge.parent != parent or (edge.fixed is not None) != static:
            edge = self._edges[child] = _Edge(parent)
        if static:
            edge.fixed = sample
        else:
            edge.insert(stamp_ns, sample)

    def newest_ns(self, child: str) -> int | None:
        """Stamp of the newest moving sample of a frame, None where there is none."""
        edge = self._edges.get(child)
        return edge.stamps[-1] if edge is not None and edge.stamps else None

    def lookup(self, target: str, source: str, stamp_ns: int) -> SE3:
        """``target`` from ``source`` at a stamp, or at the last one that all between them have.

        Raises:
            TransformError: If the frames are not connected or a sample around the stamp is
                missing.
        """
        if target == source:
            return SE3.identity()
        sources, targets = list(self._ancestors(source)), list(self._ancestors(target))
        common = next((name for name in sources if name in targets), None)
        if common is None:
            known = {*self._edges, *(edge.parent for edge in self._edges.values())}
            missing = [name for name in (target, source) if name not in known]
            reason = (
                f"frame {missing[0]!r} is unknown" if missing else "the frames are not connected"
            )
            message = f"no transform {target!r} from {source!r}: {reason}"
            raise TransformError(message, may_come=False)
        up, down = sources[: sources.index(common)], targets[: targets.index(common)]
        if stamp_ns == NEWEST:
            moving = [self._edges[name].stamps for name in (*up, *down)]
            stamp_ns = min((stamps[-1] for stamps in moving if stamps), default=NEWEST)
        common_from_source = self._climb(up, stamp_ns)
        common_from_target = self._climb(down, stamp_ns)
        return common_from_target.inverse() @ common_from_source

    def below(self, frame: str) -> list[str]:
        """All frames below one."""
        return frames_below(frame, {child: edge.parent for child, edge in self._edges.items()})

    def clear(self) -> None:
        """Forget moving transforms; call it when time jumps back. Static ones stay."""
        self._edges = {name: edge for name, edge in self._edges.items() if edge.fixed is not None}

    def _ancestors(self, name: str) -> Iterator[str]:
        for _ in range(_MAX_DEPTH):
            yield name
            edge = self._edges.get(name)
            if edge is None:
                return
            name = edge.parent
        message = f"the frames above {name!r} form a loop; each frame must have one parent"
        raise TransformError(message, may_come=False)

    def _climb(self, names: list[str], stamp_ns: int) -> SE3:
        """From the first name's frame up to the parent of the last one."""
        result = SE3.identity()
        for name in names:
            result = self._edges[name].at(name, stamp_ns) @ result
        return result


def frames_below(frame: str, parents: Mapping[str, str]) -> list[str]:
    """All frames below one, by the parent of each."""
    found: list[str] = []
    level = {frame}
    while level := {c for c, p in parents.items() if p in level} - {frame, *found}:
        found += sorted(level)
    return found


def to_se3(transform: Any) -> SE3:
    """A geometry_msgs/Transform.

    Raises:
        GeometryError: If it is not a rigid transform.
    """
    return SE3.from_fields(transform.translation, transform.rotation)


def read_transforms(message: Any) -> tuple[list[tuple[str, str, int, SE3]], list[str]]:
    """The transforms of a tf2_msgs/TFMessage: parent, child, stamp in ns, and parent from child.

    Returns:
        The transforms; and why others were refused, one sentence each.
    """
    transforms, refusals = [], []
    for item in message.transforms:
        parent, child = item.header.frame_id.lstrip("/"), item.child_frame_id.lstrip("/")
        try:
            sample = _checked(parent, child, item.transform)
        except GeometryError as error:
            refusals.append(f"transform {parent!r} from {child!r} refused: {error}")
            continue
        transforms.append((parent, child, nanoseconds(item.header.stamp), sample))
    return transforms, refusals


def _checked(parent: str, child: str, transform: Any) -> SE3:
    if not parent or not child or parent == child:
        msg = "it must lead from one named frame to another"
        raise GeometryError(msg)
    q = transform.rotation
    if not abs(q.x * q.x + q.y * q.y + q.z * q.z + q.w * q.w - 1) < _NORM_TOLERANCE:
        msg = f"its rotation ({q.x}, {q.y}, {q.z}, {q.w}) is no unit quaternion"
        raise GeometryError(msg)
    return to_se3(transform)
