"""The perception node. Only this room and ``replay`` import rclpy or message packages."""

from typing import TYPE_CHECKING

from vega3d_ros.core.lazy_names import lazily

__all__ = ["PerceptionNode"]

if TYPE_CHECKING:
    from vega3d_ros.ros.perception_node import PerceptionNode
else:
    __getattr__ = lazily(__name__, {"perception_node": ("PerceptionNode",)})
