"""Camera paths of clips, as of a small robot that drives and looks around.

A camera pose is ``map`` from the optical frame (x right, y down, z forward; REP-103).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.core.geometry import SE3

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vega3d_ros.simulation.rooms import PlacedObject, Room

CLEARANCE_M = 0.38


def camera_pose(x: float, y: float, z: float, heading: float, pitch: float) -> SE3:
    """Pose of a camera at (x, y, z) that looks along ``heading`` (about z), ``pitch`` upwards."""
    forward = np.array(
        [np.cos(pitch) * np.cos(heading), np.cos(pitch) * np.sin(heading), np.sin(pitch)]
    )
    right = np.array([np.sin(heading), -np.cos(heading), 0.0])
    return SE3(np.stack([right, np.cross(forward, right), forward], axis=1), np.array([x, y, z]))


def _bearing(item: PlacedObject, x: float, y: float) -> float:
    return float(np.arctan2(item.center[1] - y, item.center[0] - x))


def _wrap(angle: float) -> float:
    return float((angle + np.pi) % (2 * np.pi) - np.pi)


def _walk(
    rng: np.random.Generator, room: Room, frames: int, target: PlacedObject | None
) -> list[tuple[float, float, float]] | None:
    """Positions and headings of one attempt, or None where the start is not free."""
    x = rng.uniform(-room.width_m / 2, room.width_m / 2)
    y = rng.uniform(-room.depth_m / 2, room.depth_m / 2)
    if not room.is_free(x, y, CLEARANCE_M):
        return None
    heading = rng.uniform(-np.pi, np.pi)
    if target is not None:
        heading = _bearing(target, x, y) + rng.normal(0, 0.35)
    style = rng.choice(["drive", "turn", "look"], p=[0.4, 0.3, 0.3])
    side = rng.choice([-1.0, 1.0])
    # "turn" turns on the spot; "look" drives past while a pan head follows the target.
    if style == "turn":
        heading -= side * 0.5
    offset = side * rng.uniform(0.6, 1.4) if style == "look" else 0.0
    turn = rng.normal(0, 0.1)
    walk = []
    for _ in range(frames):
        walk.append((x, y, _wrap(heading)))
        if style == "turn":
            heading += side * rng.uniform(0.14, 0.35)
            continue
        course, step = heading + offset, rng.uniform(0.15, 0.4)
        ahead = x + step * np.cos(course), y + step * np.sin(course)
        if not room.is_free(*ahead, CLEARANCE_M):
            heading += side * rng.uniform(0.14, 0.35)
            continue
        x, y = ahead
        turn = 0.7 * turn + rng.normal(0, 0.07)
        before = heading
        heading += turn
        if style == "look" and target is not None:
            heading = before + np.clip(_wrap(_bearing(target, x, y) - before), -0.3, 0.3)
            offset += before - heading
    return walk


def _in_view(room: Room, walk: list[tuple[float, float, float]]) -> NDArray[np.bool_]:
    """Which objects are well inside the view by bearing and distance, [frames, objects]."""
    x, y, heading = np.array(walk).T[:, :, None]
    centers = np.array([item.center for item in room.objects])
    dx, dy = centers[:, 0] - x, centers[:, 1] - y
    off = np.abs((np.arctan2(dy, dx) - heading + np.pi) % (2 * np.pi) - np.pi)
    distance = np.hypot(dx, dy)
    return np.asarray((distance > 1.3) & (distance < 5.0) & (off < 0.45))


def clip_path(rng: np.random.Generator, room: Room, frames: int) -> list[SE3] | None:
    """Poses of one clip, 0.15-0.4 m or 8-20 degrees apart; None where the room is too full.

    It is the path of a few that shows most; one in thirty is the first, and may show a bare wall.
    """
    height, pitch = rng.uniform(0.8, 1.4), rng.uniform(-0.29, 0.05)
    tries = 1 if rng.random() < 0.03 or not room.objects else 4
    best, most = None, -1.0
    for _ in range(80):
        target = room.objects[rng.integers(len(room.objects))] if tries > 1 else None
        walk = _walk(rng, room, frames, target)
        if walk is None:
            continue
        seen = _in_view(room, walk) if room.objects else np.zeros((1, 1), np.bool_)
        # Frames that show any object count most, then the number of different objects.
        score = float(seen.any(axis=1).mean()) + 0.05 * float(seen.any(axis=0).sum())
        if score > most:
            best, most = walk, score
        tries -= 1
        if tries == 0:
            break
    if best is None:
        return None
    return [
        camera_pose(x, y, height + rng.normal(0, 0.004), heading, pitch + rng.normal(0, 0.008))
        for x, y, heading in best
    ]
