"""Recordings, read and written without ROS."""

from typing import TYPE_CHECKING

from vega3d_ros.core.lazy_names import lazily

__all__ = ["Bag", "BagError", "BagWriter", "open_bag", "read_frames"]

if TYPE_CHECKING:
    from vega3d_ros.sensing.bags.reader import Bag, BagError, open_bag, read_frames
    from vega3d_ros.sensing.bags.writer import BagWriter
else:
    __getattr__ = lazily(
        __name__,
        {"reader": ("Bag", "BagError", "open_bag", "read_frames"), "writer": ("BagWriter",)},
    )
