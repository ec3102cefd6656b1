"""From camera messages, recordings and videos to frames and clips, without ROS."""

from typing import TYPE_CHECKING

from vega3d_ros.core.lazy_names import lazily

__all__ = [
    "ClipBuilder",
    "FrameAssembler",
    "TransformBuffer",
    "clip_from_bag",
    "clip_from_images",
    "clip_from_video",
    "image_to_rgb",
    "open_bag",
]

if TYPE_CHECKING:
    from vega3d_ros.sensing.bags.clip_source import clip_from_bag
    from vega3d_ros.sensing.bags.reader import open_bag
    from vega3d_ros.sensing.clip_builder import ClipBuilder
    from vega3d_ros.sensing.frame_assembly import FrameAssembler
    from vega3d_ros.sensing.image_decoding import image_to_rgb
    from vega3d_ros.sensing.transform_buffer import TransformBuffer
    from vega3d_ros.sensing.video import clip_from_images, clip_from_video
else:
    __getattr__ = lazily(
        __name__,
        {
            "bags.clip_source": ("clip_from_bag",),
            "bags.reader": ("open_bag",),
            "clip_builder": ("ClipBuilder",),
            "frame_assembly": ("FrameAssembler",),
            "image_decoding": ("image_to_rgb",),
            "transform_buffer": ("TransformBuffer",),
            "video": ("clip_from_video", "clip_from_images"),
        },
    )
