"""How a recording is played."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Playing:
    """How a recording is played.

    Attributes:
        rate: Speed; 2 plays twice as fast.
        start_s: Seconds of the recording to leave out at its beginning.
        seconds: Stop after so many seconds of the recording; None plays it to the end.
        loops: How often to play it; the clock goes back each time.
        paused: Begin paused; ``/vega3d_replay/resume`` goes on.
    """

    rate: float = 1.0
    start_s: float = 0.0
    seconds: float | None = None
    loops: int = 1
    paused: bool = False
