"""The best depth that there is of each frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vega3d_ros.core.frames import Frame
    from vega3d_ros.models.depth.base import DepthImage, DepthSource


class FirstDepth:
    """Of several sources, the first that has depth of a frame.

    Args:
        *sources: The best first. Later ones are asked only where those before have none.
    """

    def __init__(self, *sources: DepthSource) -> None:
        self.sources = sources

    def depth(self, frame: Frame) -> DepthImage | None:
        """See ``DepthSource``."""
        for source in self.sources:
            if (found := source.depth(frame)) is not None:
                return found
        return None
