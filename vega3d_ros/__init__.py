"""vega3d_ros: spatial understanding from video for robots.

The public names are imported when they are first used, so that ``import vega3d_ros`` and
``vega3d_ros.msg`` load neither torch nor numpy nor rclpy.
"""

from pkgutil import extend_path
from typing import TYPE_CHECKING

# The generated msg, srv and action modules are installed elsewhere when this runs from a checkout.
__path__ = extend_path(__path__, __name__)
from vega3d_ros.core.lazy_names import lazily

__version__ = "0.1.0"
__all__ = [
    "SE3",
    "Answer",
    "Box3D",
    "Camera",
    "Clip",
    "Frame",
    "Perceiver",
    "Relation",
    "Scene",
    "SceneObject",
    "Vega3dError",
]

if TYPE_CHECKING:
    from vega3d_ros.core import SE3, Answer, Box3D, Camera, Clip, Frame, SceneObject, Vega3dError
    from vega3d_ros.perception import Perceiver, Relation, Scene
else:
    __getattr__ = lazily(
        __name__,
        {
            "core": (
                "SE3",
                "Answer",
                "Box3D",
                "Camera",
                "Clip",
                "Frame",
                "SceneObject",
                "Vega3dError",
            ),
            "perception": ("Perceiver", "Relation", "Scene"),
        },
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
