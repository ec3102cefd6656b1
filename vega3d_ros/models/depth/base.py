"""What every source of depth gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vega3d_ros.core.errors import Vega3dError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vega3d_ros.core.frames import Frame


class DepthError(Vega3dError, ValueError):
    """A source that cannot be loaded or asked; the message names what lacks and the remedy."""


@dataclass(frozen=True, eq=False)
class DepthImage:
    """Depth of a frame.

    Attributes:
        metres: [H, W] float32 at the frame's size, along the optical axis; NaN where unknown.
        source: What boxes that rest on it say: "depth" (measured) or "network".
        scale_error: Standard deviation of the error that all its values share, relative to them.
    """

    metres: NDArray[np.float32]
    source: str
    scale_error: float = 0.0


class DepthSource(Protocol):
    """Gives the depth of frames; what it gives depends on the frame alone."""

    def depth(self, frame: Frame) -> DepthImage | None:
        """The frame's depth; None where this source has none for it.

        Raises:
            DepthError: If it needs the camera's calibration, and the frame has none.
        """
