"""Which frame of a recording's transforms is the fixed one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_EARTH = frozenset({"earth", "ecef", "utm", "wgs84"})  # z is not up there, or places are too large
_MAP = "map"


def frames_above(frame_id: str, parents: Mapping[str, str]) -> list[str]:
    """The frames above one, the root last; without what repeats in a loop."""
    above: list[str] = []
    frame = frame_id
    while (frame := parents.get(frame, frame_id)) not in (frame_id, *above):
        above.append(frame)
    return above


def fixed_frame_above(frame_id: str, parents: Mapping[str, str]) -> str:
    """``map`` where it is above a frame, else the topmost one below the earth (REP-105).

    Args:
        frame_id: Of the camera.
        parents: The parent of every frame.

    Returns:
        Empty where nothing is above it.
    """
    above = frames_above(frame_id, parents)
    maps = [name for name in above if _last(name) == _MAP]
    local = [name for name in above if _last(name) not in _EARTH]
    return next((names[-1] for names in (maps, local, above) if names), "")


def _last(name: str) -> str:
    return name.rsplit("/", maxsplit=1)[-1].lower()
