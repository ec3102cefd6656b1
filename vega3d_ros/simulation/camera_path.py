"""The path of a small differential-drive robot through a home, which carries the camera."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from vega3d_ros.core.errors import Vega3dError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from vega3d_ros.simulation.rooms import PlacedObject, Room

    Vector = NDArray[np.float64]

CLEARANCE_M = 0.35
TICK_S = 0.025
_CELL_M = 0.1
_SPEED_M_S, _TURN_RAD_S = 0.5, 0.8
_ACCELERATION_M_S2, _TURN_ACCELERATION_RAD_S2 = 0.6, 1.6
_LOOKAHEAD_M = 0.3
_SWEEP_RAD = np.radians(150)


class CameraPathError(Vega3dError, ValueError):
    """A home in which a robot cannot drive."""


class _Grid:
    """Free floor as a graph of cells, for shortest paths."""

    def __init__(self, room: Room) -> None:
        self.room = room
        xs = np.arange(-room.width_m / 2, room.width_m / 2, _CELL_M)
        ys = np.arange(-room.depth_m / 2, room.depth_m / 2, _CELL_M)
        spots = [(x, y) for x in xs for y in ys if room.is_free(x, y, CLEARANCE_M)]
        self.cells = np.array(spots).reshape(-1, 2)
        index = {
            (round(x / _CELL_M, 3), round(y / _CELL_M, 3)): i for i, (x, y) in enumerate(spots)
        }
        rows, columns, costs = [], [], []
        for (i, j), cell in index.items():
            for di, dj in ((1, 0), (0, 1), (1, 1), (1, -1)):
                other = index.get((round(i + di, 3), round(j + dj, 3)))
                if other is not None:
                    rows.append(cell)
                    columns.append(other)
                    costs.append(np.hypot(di, dj))
        size = len(spots)
        self.graph = coo_array((costs, (rows, columns)), shape=(size, size)).tocsr()

    def nearest(self, position: Vector) -> int:
        return int(np.linalg.norm(self.cells - position, axis=1).argmin())

    def reachable(self, start: int) -> NDArray[np.bool_]:
        return np.asarray(np.isfinite(dijkstra(self.graph, directed=False, indices=[start])[0]))

    def path(self, start: int, goal: int) -> Vector:
        """Points 2 cm apart from cell to cell, with corners cut where the floor is free."""
        _, before = dijkstra(self.graph, directed=False, indices=[start], return_predecessors=True)
        cells = [goal]
        while cells[-1] != start:
            cells.append(int(before[0, cells[-1]]))
        points = self.cells[cells[::-1]]
        corners, i = [points[0]], 0
        while i < len(points) - 1:
            i = max(
                j
                for j in range(i + 1, len(points))
                if j == i + 1 or self._straight(points[i], points[j])
            )
            corners.append(points[i])
        pieces = [_between(a, b, 0.02) for a, b in pairwise(corners)]
        return np.concatenate(pieces) if pieces else points

    def _straight(self, a: Vector, b: Vector) -> bool:
        return all(self.room.is_free(x, y, CLEARANCE_M) for x, y in _between(a, b, 0.05))


def _between(a: Vector, b: Vector, step: float) -> Vector:
    count = max(2, int(np.ceil(np.linalg.norm(b - a) / step)) + 1)
    return np.linspace(a, b, count)


class _Robot:
    """Unicycle with limited speed and acceleration."""

    def __init__(self, position: Vector, heading: float) -> None:
        self.position, self.heading = position.copy(), heading
        self._speed = self._turn = 0.0

    @property
    def state(self) -> tuple[float, float, float]:
        return float(self.position[0]), float(self.position[1]), self.heading

    def step(self, speed: float, turn: float) -> None:
        reach, turn_reach = _ACCELERATION_M_S2 * TICK_S, _TURN_ACCELERATION_RAD_S2 * TICK_S
        self._speed += float(np.clip(speed - self._speed, -reach, reach))
        self._turn += float(np.clip(turn - self._turn, -turn_reach, turn_reach))
        self.heading += self._turn * TICK_S
        ahead = np.array([np.cos(self.heading), np.sin(self.heading)])
        self.position = self.position + self._speed * TICK_S * ahead

    def error_to(self, heading: float) -> float:
        return float((heading - self.heading + np.pi) % (2 * np.pi) - np.pi)

    def follow(self, path: Vector) -> Iterator[tuple[float, float, float]]:
        """Drive along a path of points, turning on the spot where it bends sharply."""
        target = 0
        while np.linalg.norm(path[-1] - self.position) > 0.08:
            near = np.linalg.norm(path[target] - self.position) < _LOOKAHEAD_M
            while near and target < len(path) - 1:
                target += 1
                near = np.linalg.norm(path[target] - self.position) < _LOOKAHEAD_M
            dx, dy = path[target] - self.position
            error = self.error_to(float(np.arctan2(dy, dx)))
            left = float(np.linalg.norm(path[-1] - self.position))
            speed = 0.0 if abs(error) > 0.5 else _SPEED_M_S * np.cos(2 * error)
            self.step(
                min(speed, np.sqrt(0.5 * left)), float(np.clip(2.5 * error, -1, 1)) * _TURN_RAD_S
            )
            yield self.state

    def face(self, heading: float) -> Iterator[tuple[float, float, float]]:
        """Stop, turn towards ``heading`` and stay a moment."""
        while abs(error := self.error_to(heading)) > 0.1:
            self.step(0.0, float(np.clip(2.5 * error, -1, 1)) * _TURN_RAD_S)
            yield self.state
        for _ in range(int(0.2 / TICK_S)):
            self.step(0.0, 0.0)
            yield self.state


def _viewable(room: Room, cell: Vector, items: list[PlacedObject]) -> list[PlacedObject]:
    """Objects at a good distance, on the cell's side of inner walls, that one sweep can show.

    Returns:
        The objects of the sector with most, from right to left.
    """
    inner = [
        slab.center[0]
        for slab in room.slabs
        if slab.kind == "wall"
        and abs(slab.center[0]) < room.width_m / 2
        and slab.half[0] < slab.half[1]
    ]
    good = []
    for item in items:
        same = all((item.center[0] > x) == (cell[0] > x) for x in inner)
        dx, dy = item.center[:2] - cell
        if same and 1.2 < np.hypot(dx, dy) < 4.0:
            good.append((float(np.arctan2(dy, dx)), item))
    best: list[PlacedObject] = []
    for first, _ in good:
        sector = sorted(
            ((bearing - first) % (2 * np.pi), i) for i, (bearing, _) in enumerate(good)
        )
        inside = [good[i][1] for offset, i in sector if offset < _SWEEP_RAD]
        if len(inside) > len(best):
            best = inside
    return best


def robot_path(room: Room, rng: np.random.Generator, seconds: float) -> Vector:
    """Positions and headings [n, 3] (x, y, yaw), ``TICK_S`` apart.

    The robot drives from viewpoint to viewpoint, each chosen to show as many unseen objects as
    possible, and turns to them one after the other.

    Raises:
        CameraPathError: If there is no free floor to drive on.
    """
    grid = _Grid(room)
    if len(grid.cells) < 50:
        msg = "the home has no free floor to drive on; use another seed"
        raise CameraPathError(msg)
    # The largest connected piece of floor: most cells can be reached from a start in it.
    starts = rng.permutation(len(grid.cells))[:8]
    start = max(starts, key=lambda cell: int(grid.reachable(int(cell)).sum()))
    allowed = np.flatnonzero(grid.reachable(int(start)))
    robot = _Robot(grid.cells[start], rng.uniform(-np.pi, np.pi))
    unseen = list(room.objects)
    states = [robot.state]
    while len(states) * TICK_S < seconds:
        cell, items = _next_viewpoint(room, rng, grid, allowed, robot, unseen)
        states += robot.follow(grid.path(grid.nearest(robot.position), cell))
        here = robot.position
        bearings = [float(np.arctan2(*(item.center[:2] - here)[::-1])) for item in items]
        if bearings and abs(robot.error_to(bearings[-1])) < abs(robot.error_to(bearings[0])):
            bearings.reverse()
        for bearing in bearings:
            states += robot.face(bearing)
        unseen = [item for item in unseen if item not in items] or list(room.objects)
    return np.array(states[: round(seconds / TICK_S) + 1])


def _next_viewpoint(
    room: Room,
    rng: np.random.Generator,
    grid: _Grid,
    allowed: NDArray[np.int64],
    robot: _Robot,
    unseen: list[PlacedObject],
) -> tuple[int, list[PlacedObject]]:
    """The next cell, and the objects to look at from there."""
    best: tuple[float, int, list[PlacedObject]] | None = None
    for cell in rng.choice(allowed, size=min(40, len(allowed)), replace=False):
        items = _viewable(room, grid.cells[cell], unseen)
        away = float(np.linalg.norm(grid.cells[cell] - robot.position))
        score = len(items) - 0.4 * away - (2.0 if away < 0.5 else 0.0)
        if best is None or score > best[0]:
            best = score, int(cell), items
    if best is None:
        msg = "the home has no free floor to drive on; use another seed"
        raise CameraPathError(msg)
    return best[1], best[2]
