"""Understanding a clip: what is where, and answers about it."""

from typing import TYPE_CHECKING

from vega3d_ros.core.lazy_names import lazily

__all__ = [
    "ObjectMap",
    "Parameters",
    "Perceiver",
    "PerceiverError",
    "Relation",
    "Scene",
    "Worker",
    "relate",
]

if TYPE_CHECKING:
    from vega3d_ros.perception.errors import PerceiverError
    from vega3d_ros.perception.object_map import ObjectMap
    from vega3d_ros.perception.perceiver import Perceiver
    from vega3d_ros.perception.relations import Relation, relate
    from vega3d_ros.perception.scene import Scene
    from vega3d_ros.perception.settings import Parameters
    from vega3d_ros.perception.worker import Worker
else:
    __getattr__ = lazily(
        __name__,
        {
            "errors": ("PerceiverError",),
            "object_map": ("ObjectMap",),
            "perceiver": ("Perceiver",),
            "relations": ("Relation", "relate"),
            "scene": ("Scene",),
            "settings": ("Parameters",),
            "worker": ("Worker",),
        },
    )
