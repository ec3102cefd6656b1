"""Grounders: from texts to things with boxes in 3D."""

from vega3d_ros.models.grounders.base import Detection, Grounder, GrounderError, View

GROUNDERS = {
    "token_head": "vega3d_ros.models.grounders.token_head.grounder:TokenHeadGrounder",
    "lifted": "vega3d_ros.models.grounders.lifted:LiftedGrounder",
}
"""Where the class of each kind is."""

__all__ = ["GROUNDERS", "Detection", "Grounder", "GrounderError", "View"]
