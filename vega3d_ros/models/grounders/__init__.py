"""Grounders: from texts to things with boxes in 3D.

One file or folder per kind behind :class:`vega3d_ros.models.grounders.base.Grounder`, and one line
here. Nothing is imported until it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vega3d_ros.core.registry import Registry
from vega3d_ros.models.grounders.base import Detection, Grounder, GrounderError, View

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GROUNDERS", "Detection", "Grounder", "GrounderError", "View"]

GROUNDERS: Registry[Callable[..., Grounder[Any]]] = Registry(
    "grounder",
    entry_points="vega3d_ros.grounders",
    lifted="vega3d_ros.models.grounders.lifted:LiftedGrounder",
    token_head="vega3d_ros.models.grounders.token_head.grounder:TokenHeadGrounder",  # noqa: S106 - a place
)
"""Kinds by the ``type`` in ``model.json``."""
