"""The error of this room."""

from vega3d_ros.core.errors import Vega3dError


class PerceiverError(Vega3dError, ValueError):
    """A clip or a question that cannot be used; the message says what to change."""
