"""Objects as RViz markers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Vector3
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from vega3d_ros.ros.messages import pose_message, vector_message
from vega3d_ros.viz.drawing import label_color

if TYPE_CHECKING:
    from collections.abc import Sequence

    from std_msgs.msg import Header

    from vega3d_ros.core.objects import SceneObject

TEXT_HEIGHT_M = 0.12


def marker_array(objects: Sequence[SceneObject], header: Header) -> MarkerArray:
    """A see-through box and a label for each object, after one that deletes all earlier ones."""
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    for index, item in enumerate(objects):
        red, green, blue = (value / 255 for value in label_color(item.label))
        box = Marker(
            header=header,
            ns="boxes",
            id=index,
            type=Marker.CUBE,
            action=Marker.ADD,
            lifetime=Duration(),
        )
        box.pose = pose_message(item.box)
        box.scale = vector_message(item.box.size)
        box.color = ColorRGBA(r=red, g=green, b=blue, a=0.35)
        text = Marker(
            header=header, ns="labels", id=index, type=Marker.TEXT_VIEW_FACING, action=Marker.ADD
        )
        text.pose = pose_message(item.box)
        text.pose.position.z = float(item.box.bounds[1][2]) + TEXT_HEIGHT_M
        text.scale = Vector3(z=TEXT_HEIGHT_M)
        text.color = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
        text.text = f"{item.id or item.label} {item.score:.2f}"
        markers += [box, text]
    return MarkerArray(markers=markers)
