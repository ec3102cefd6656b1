"""Pictures of what was understood: boxes in frames, the gate, maps from above."""

from typing import TYPE_CHECKING

from vega3d_ros.core.lazy_names import lazily

__all__ = ["draw_gate", "draw_objects", "top_down_map"]

if TYPE_CHECKING:
    from vega3d_ros.viz.drawing import draw_gate, draw_objects
    from vega3d_ros.viz.floor_plan import top_down_map
else:
    __getattr__ = lazily(
        __name__, {"drawing": ("draw_gate", "draw_objects"), "floor_plan": ("top_down_map",)}
    )
