"""Recordings played into a perception node over real topics."""

from typing import TYPE_CHECKING

from vega3d_ros.core.lazy_names import lazily

__all__ = ["LiveRun", "PerceptionClient", "Player", "Recorder"]

if TYPE_CHECKING:
    from vega3d_ros.replay.client import PerceptionClient
    from vega3d_ros.replay.live_run import LiveRun
    from vega3d_ros.replay.player import Player
    from vega3d_ros.replay.recorder import Recorder
else:
    __getattr__ = lazily(
        __name__,
        {
            "client": ("PerceptionClient",),
            "live_run": ("LiveRun",),
            "player": ("Player",),
            "recorder": ("Recorder",),
        },
    )
