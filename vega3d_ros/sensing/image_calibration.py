"""The calibration of a camera's images over time."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.stamps import stamp_ns
from vega3d_ros.sensing.calibration import (
    Calibrations,
    content,
    is_bent,
    is_calibrated,
    named_raw,
)

if TYPE_CHECKING:
    from vega3d_ros.sensing.calibration import Calibration

_KEPT = 8


class ImageCalibration:
    """Keeps the CameraInfo of images, of which each is used from its stamp on.

    Args:
        rectification: See ``CameraSettings``.

    Attributes:
        topic: Of the images, whose name may tell whether they are rectified.
    """

    def __init__(self, rectification: str) -> None:
        self.topic = ""
        self._rectification = rectification
        self._infos: deque[tuple[int, Any]] = deque(maxlen=_KEPT)  # where they differ
        self._calibrations = Calibrations()

    @property
    def is_known(self) -> bool:
        """Whether any was received."""
        return bool(self._infos)

    def add(self, msg: Any) -> None:
        """Take in a CameraInfo; one of zeros does not replace another."""
        if self._infos:
            known = self._infos[-1][1]
            if not is_calibrated(msg) or content(msg) == content(known):
                return
            if not is_calibrated(known):
                self._infos.clear()
        self._infos.append((stamp_ns(msg), msg))

    def forget(self) -> None:
        """Forget all but the newest, whose stamp means nothing any more."""
        while len(self._infos) > 1:
            self._infos.popleft()

    def at(self, stamp: int, size: tuple[int, int]) -> Calibration:
        """That of an image: the last one until its stamp, else the first one after it.

        Raises:
            ImageError: As ``calibration``, as the next one.
            FrameError: Likewise.
        """
        infos = [info for since, info in self._infos if since <= stamp]
        info = infos[-1] if infos else self._infos[0][1]
        raw = named_raw(self.topic)
        if self._rectification != "auto":
            raw = self._rectification == "raw"
        return self._calibrations.of(info, size, raw=is_bent(info) if raw is None else raw)
