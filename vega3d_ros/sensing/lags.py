"""How late depth and poses are beside their images, measured over the last images.

Each warns where images lose something by it again and again, with what was measured and the
parameter that helps. Messages that are missing now and then are no reason to warn.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vega3d_ros.core.stamps import SECOND_NS
from vega3d_ros.sensing.transform_buffer import TransformError

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW = 60  # images
FEWEST = 5  # images that must have lost something
_MOST_UNPAIRED = 0.5
_MOST_LATE = 0.1
_OTHER_CLOCK_NS = SECOND_NS
_GIVEN_UP_NS = 5 * SECOND_NS
_PROBES = 8


class DepthOffsets:
    """Stamps of depth minus those of the images next to them.

    Args:
        tolerance_ns: Largest difference that is paired.
    """

    def __init__(self, tolerance_ns: int) -> None:
        self._tolerance_ns = tolerance_ns
        self._offsets: deque[int] = deque(maxlen=WINDOW)

    def add(self, offset_ns: int) -> None:
        """Take in the offset of the nearest depth of an image."""
        self._offsets.append(offset_ns)

    def warning(self) -> str:
        """Empty where most images have depth."""
        apart = [offset for offset in self._offsets if abs(offset) > self._tolerance_ns]
        if len(apart) < FEWEST or len(apart) <= _MOST_UNPAIRED * len(self._offsets):
            return ""
        middle = float(np.median(apart))
        how = f"{_duration(abs(middle))} {'later' if middle > 0 else 'earlier'}"
        tolerance_s = self._tolerance_ns * 1e-9
        said = (
            f"{len(apart)} of the last {len(self._offsets)} images have no depth: it is stamped "
            f"{how} than they are, and pair_tolerance_s is {tolerance_s:g}; "
        )
        if abs(middle) > _OTHER_CLOCK_NS:
            return said + "depth and images are stamped by different clocks: correct the driver"
        farthest = float(np.percentile(np.abs(apart), 90))
        return said + (
            f"set pair_tolerance_s to {_enough(farthest, 0.005):g}, or let the driver stamp both "
            f"alike"
        )


class _Late(NamedTuple):
    stamp_ns: int
    frame_id: str
    arrival_ns: int


class PoseDelays:
    """When poses become known of images that were dropped without one.

    Args:
        wait_ns: Longest time that an image waits for its pose.
    """

    def __init__(self, wait_ns: int) -> None:
        self._wait_ns = wait_ns
        self._outcomes: deque[bool] = deque(maxlen=WINDOW)  # whether an image was dropped
        self._delays: deque[int] = deque(maxlen=WINDOW)
        self._awaited: deque[_Late] = deque(maxlen=_PROBES)

    def found(self) -> None:
        """Count an image whose pose came in time."""
        self._outcomes.append(False)

    def missed(self, stamp_ns: int, frame_id: str, arrival_ns: int) -> None:
        """Count an image that was dropped; its pose may still come."""
        self._outcomes.append(True)
        self._awaited.append(_Late(stamp_ns, frame_id, arrival_ns))

    def probe(self, lookup: Callable[[str, int], object], now_ns: int) -> None:
        """Look whether awaited poses are known by now.

        Args:
            lookup: Finds the pose of a frame at a stamp; raises TransformError.
            now_ns: Steady clock.
        """
        while self._awaited:
            late = self._awaited[0]
            try:
                lookup(late.frame_id, late.stamp_ns)
            except TransformError:
                if now_ns - late.arrival_ns < _GIVEN_UP_NS:
                    return
            else:
                self._delays.append(now_ns - late.arrival_ns)
            self._awaited.popleft()

    def clear(self) -> None:
        """Forget what is awaited; call it where time is set back."""
        self._awaited.clear()

    def warning(self) -> str:
        """Empty where hardly an image is dropped."""
        late = sum(self._outcomes)
        if late < FEWEST or late < _MOST_LATE * len(self._outcomes):
            return ""
        said = f"{late} of the last {len(self._outcomes)} images were dropped without a pose: "
        if not self._delays:
            return said + "TF has gaps in which no pose is known; see whether localisation runs"
        lag, most = np.median(self._delays), np.percentile(self._delays, 90)
        return said + (
            f"TF comes {_duration(float(lag))} after them, and wait_s is "
            f"{self._wait_ns * 1e-9:g}; set wait_s to {_enough(float(most), 0.05):g}, or make TF "
            "faster"
        )


def _duration(time_ns: float) -> str:
    return f"{time_ns * 1e-6:.0f} ms" if time_ns < SECOND_NS else f"{time_ns * 1e-9:.4g} s"


def _enough(time_ns: float, step_s: float) -> float:
    """A round number of seconds that is at least one step more."""
    return round(step_s * (math.floor(time_ns * 1e-9 / step_s + 1e-6) + 2), 6)
