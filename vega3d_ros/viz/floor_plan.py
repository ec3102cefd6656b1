"""A map from above: objects found, objects that are there, and the way of the camera."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from vega3d_ros.viz.drawing import (
    GREY,
    INK,
    PAPER,
    WHITE,
    Rect,
    draw_label,
    label_color,
    measure_text,
    put_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vega3d_ros.core.geometry import SE3, Box3D
    from vega3d_ros.core.objects import SceneObject

    Image = NDArray[np.uint8]
    Points = NDArray[np.float64]

MARGIN_M = 0.6
SAME_OBJECT_M = 0.6
_GRID = (226, 228, 226)
_TRUTH_FILL = (222, 225, 228)
_TRUTH_LINE = (148, 154, 162)
_PATH_START, _PATH_END = np.array([166, 206, 235]), np.array([8, 81, 156])
_LEGEND_PX = 34


class TrueObject(NamedTuple):
    """An object that is known to be there: its label and its box in the map's frame."""

    label: str
    box: Box3D


class _Plan:
    """An empty sheet with a metric grid, and the way from metres to its pixels (y goes up)."""

    def __init__(self, low: Points, high: Points, width_px: int) -> None:
        self.low, self.high = np.floor(low * 2) / 2, np.ceil(high * 2) / 2
        extent_x, extent_y = self.high - self.low
        self.scale = width_px / extent_x
        height_px = round(extent_y * self.scale)
        self.height_px = height_px
        self.image: Image = np.full((height_px + _LEGEND_PX, width_px, 3), PAPER, np.uint8)

    def pixels(self, points: Points) -> NDArray[np.int32]:
        """Pixels [n, 2] of map points [n, >=2]."""
        x = (points[:, 0] - self.low[0]) * self.scale
        y = self.height_px - (points[:, 1] - self.low[1]) * self.scale
        return np.stack([x, y], axis=1).round().astype(np.int32)


def top_down_map(
    objects: Sequence[SceneObject],
    truth_objects: Sequence[TrueObject],
    path: Sequence[SE3],
    width_px: int = 1000,
) -> Image:
    """Draw footprints of objects found and of true objects, and the camera's path.

    Args:
        objects: Found objects, with boxes in a frame whose z axis is up.
        truth_objects: Objects known to be there, in the same frame; may be empty.
        path: Poses of the camera (the frame from its optical frame), oldest first.
        width_px: Width of the picture; its height follows from what is in it.

    Returns:
        [H, width_px, 3] uint8 RGB, with a metre grid and a legend below.
    """
    boxes = [found.box for found in objects] + [item.box for item in truth_objects]
    corners = [box.corners for box in boxes]
    corners += [pose.translation[None] for pose in path]
    points = np.concatenate(corners)[:, :2] if corners else np.array([[-1.0, -1.0], [1.0, 1.0]])
    low, high = points.min(axis=0) - MARGIN_M, points.max(axis=0) + MARGIN_M
    # A long thin drive must not make a picture too flat or too tall to read.
    least = np.maximum((high - low).max() * 0.7, 2.0)
    grow = np.maximum(least - (high - low), 0) / 2
    plan = _Plan(low - grow, high + grow, width_px)
    size_px = max(12, round(width_px / 62))

    _draw_grid(plan, size_px)
    for item in truth_objects:
        outline = _footprint(item.box, plan)
        cv2.fillConvexPoly(plan.image, outline, _TRUTH_FILL, cv2.LINE_AA)
        cv2.polylines(plan.image, [outline], True, _TRUTH_LINE, 1, cv2.LINE_AA)
    _draw_path(plan, path)
    right = [found for found in objects if not truth_objects or _is_right(found, truth_objects)]
    wrong = [found for found in objects if all(found is not other for other in right)]
    for found in wrong:
        outline = _footprint(found.box, plan)
        cv2.polylines(plan.image, [outline], True, _line_color(found.label), 1, cv2.LINE_AA)
    for found in right:
        outline = _footprint(found.box, plan)
        cv2.polylines(plan.image, [outline], True, WHITE, 5, cv2.LINE_AA)
        cv2.polylines(plan.image, [outline], True, _line_color(found.label), 3, cv2.LINE_AA)
    taken = _draw_labels(plan, right, truth_objects, size_px)
    for found in sorted(wrong, key=lambda item: -item.score):
        _draw_note(plan, found, size_px, taken)
    _draw_legend(plan, size_px, has_truth=bool(truth_objects))
    return plan.image


def _line_color(label: str) -> tuple[int, int, int]:
    """The label's colour, darkened to be seen on paper."""
    red, green, blue = (round(channel * 0.82) for channel in label_color(label))
    return red, green, blue


def _footprint(box: Box3D, plan: _Plan) -> NDArray[np.int32]:
    hull: NDArray[np.int32] = cv2.convexHull(plan.pixels(box.corners)).astype(np.int32)
    return hull


def _draw_grid(plan: _Plan, size_px: int) -> None:
    image, height, width = plan.image, plan.height_px, plan.image.shape[1]
    for metre in range(int(np.ceil(plan.low[0])), int(np.floor(plan.high[0])) + 1):
        x = int(plan.pixels(np.array([[metre, plan.low[1]]]))[0, 0])
        cv2.line(image, (x, 0), (x, height), _GRID, 1)
        put_text(image, f"{metre} m", (x + 4, height - 5), round(size_px * 0.8), GREY)
    for metre in range(int(np.ceil(plan.low[1])), int(np.floor(plan.high[1])) + 1):
        y = int(plan.pixels(np.array([[plan.low[0], metre]]))[0, 1])
        cv2.line(image, (0, y), (width, y), _GRID, 1)
        put_text(image, f"{metre} m", (4, y - 4), round(size_px * 0.8), GREY)


def _draw_path(plan: _Plan, path: Sequence[SE3]) -> None:
    """The camera's way, from light to dark, with arrows where it looks."""
    if not path:
        return
    places = plan.pixels(np.stack([pose.translation for pose in path]))
    last = max(1, len(path) - 1)
    for i in range(1, len(path)):
        color = _PATH_START + (_PATH_END - _PATH_START) * (i / last)
        cv2.line(
            plan.image, places[i - 1].tolist(), places[i].tolist(), color.tolist(), 3, cv2.LINE_AA
        )
    for i in sorted({round(share * (len(path) - 1)) for share in np.linspace(0, 1, 9)}):
        color = (_PATH_START + (_PATH_END - _PATH_START) * (i / last)).tolist()
        looks = path[i].rotation[:2, 2] * [1, -1]
        norm = np.linalg.norm(looks)
        if norm > 1e-3:
            tip = places[i] + (looks / norm * 0.3 * plan.scale).round().astype(int)
            cv2.arrowedLine(
                plan.image, places[i].tolist(), tip.tolist(), color, 2, cv2.LINE_AA, tipLength=0.35
            )
        cv2.circle(plan.image, places[i].tolist(), 4, color, cv2.FILLED, cv2.LINE_AA)


def _draw_labels(
    plan: _Plan,
    objects: Sequence[SceneObject],
    truth_objects: Sequence[TrueObject],
    size_px: int,
) -> list[Rect]:
    """Labels of what is right and of what was missed; returns where they are."""
    taken: list[Rect] = []
    for found in sorted(objects, key=lambda item: -item.score):
        outline = _footprint(found.box, plan).reshape(-1, 2)
        at = (float(outline[:, 0].min()), float(outline[:, 1].min()))
        text = f"{found.label} {found.score:.2f}"
        taken.append(draw_label(plan.image, text, at, _line_color(found.label), size_px, taken))
    for item in truth_objects:
        if any(_is_found(item, found) for found in objects):
            continue
        outline = _footprint(item.box, plan).reshape(-1, 2)
        at = (float(outline[:, 0].min()), float(outline[:, 1].max()))
        taken.append(draw_label(plan.image, item.label, at, _TRUTH_FILL, size_px, taken))
    return taken


def _draw_note(plan: _Plan, found: SceneObject, size_px: int, taken: list[Rect]) -> None:
    """A wrong object's label, small and near its middle; none where it would hide another."""
    x, y = plan.pixels(found.box.center[None])[0].tolist()
    small_px = round(size_px * 0.7)
    width, height = measure_text(found.label, small_px)
    left = x - width // 2
    for line in (0, 1, -1):
        bottom = y + line * height
        place = Rect(left, bottom - height, left + width, bottom + 2)
        if not any(place.overlap(other) for other in taken):
            taken.append(place)
            put_text(plan.image, found.label, (left, bottom), small_px, _line_color(found.label))
            return


def _is_right(found: SceneObject, truth_objects: Sequence[TrueObject]) -> bool:
    return any(_is_found(item, found) for item in truth_objects)


def _is_found(item: TrueObject, found: SceneObject) -> bool:
    """Whether a found object beside it bears its name already."""
    apart = np.linalg.norm((item.box.center - found.box.center)[:2])
    return item.label == found.label and bool(apart < SAME_OBJECT_M)


def _draw_legend(plan: _Plan, size_px: int, *, has_truth: bool) -> None:
    image, top = plan.image, plan.height_px
    image[top:] = WHITE
    cv2.line(image, (0, top), (image.shape[1], top), _GRID, 1)
    middle, baseline, x = top + _LEGEND_PX // 2, top + _LEGEND_PX // 2 + size_px // 3, 12

    def caption(text: str, x: int) -> int:
        put_text(image, text, (x, baseline), size_px, INK)
        return x + measure_text(text, size_px)[0] + 26

    swatch = 24
    if has_truth:
        corner, opposite = (x, middle - 7), (x + swatch, middle + 7)
        cv2.rectangle(image, corner, opposite, _TRUTH_FILL, cv2.FILLED)
        cv2.rectangle(image, corner, opposite, _TRUTH_LINE, 1)
        x = caption("there (truth)", x + swatch + 8)
    color = _line_color("chair")
    cv2.rectangle(image, (x, middle - 7), (x + swatch, middle + 7), color, 3)
    x = caption("found, with score", x + swatch + 8)
    if has_truth:
        cv2.rectangle(image, (x, middle - 7), (x + swatch, middle + 7), color, 1)
        x = caption("found where there is none", x + swatch + 8)
    cv2.arrowedLine(
        image,
        (x, middle),
        (x + swatch, middle),
        _PATH_END.tolist(),
        2,
        cv2.LINE_AA,
        tipLength=0.35,
    )
    x = caption("camera, and where it looks", x + swatch + 8)
    put_text(image, "grid 1 m", (x, baseline), size_px, GREY)
