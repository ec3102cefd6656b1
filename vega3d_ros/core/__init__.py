"""Plain data and geometry that every other room builds on."""

from typing import TYPE_CHECKING

from vega3d_ros.core.lazy_names import lazily

__all__ = [
    "SE3",
    "Answer",
    "Box3D",
    "Camera",
    "Clip",
    "Frame",
    "Registry",
    "SceneObject",
    "Vega3dError",
]

if TYPE_CHECKING:
    from vega3d_ros.core.errors import Vega3dError
    from vega3d_ros.core.frames import Camera, Clip, Frame
    from vega3d_ros.core.geometry import SE3, Box3D
    from vega3d_ros.core.objects import Answer, SceneObject
    from vega3d_ros.core.registry import Registry
else:
    __getattr__ = lazily(
        __name__,
        {
            "errors": ("Vega3dError",),
            "frames": ("Camera", "Clip", "Frame"),
            "geometry": ("Box3D", "SE3"),
            "objects": ("Answer", "SceneObject"),
            "registry": ("Registry",),
        },
    )
