"""The quality of service that a bag's topics are offered with when it is played."""

from __future__ import annotations

from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)

_UNSPECIFIED = QosTime(0, 0)


def offered_qos(*, latched: bool, depth: int = 1) -> Qos:
    """Reliable, and where ``latched`` the last ``depth`` messages reach late subscribers too."""
    return Qos(
        QosHistory.KEEP_LAST,
        depth,
        QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        _UNSPECIFIED,
        _UNSPECIFIED,
        QosLiveliness.AUTOMATIC,
        _UNSPECIFIED,
        avoid_ros_namespace_conventions=False,
    )
