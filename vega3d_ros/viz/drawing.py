"""Pictures of what was understood: boxes in frames, the gate as a heat map, a map from above.

Images are [H, W, 3] uint8 RGB; every function returns a new image. Where a picture is larger than
the frame it shows, intrinsics are scaled with it, so enlarge small images first to get fine lines
and readable text.
"""

from __future__ import annotations

import itertools
import zlib
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from vega3d_ros.core.errors import Vega3dError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from vega3d_ros.core.frames import Camera, Frame
    from vega3d_ros.core.geometry import Box3D
    from vega3d_ros.core.objects import SceneObject

    Image = NDArray[np.uint8]
    Points = NDArray[np.float64]

Color = tuple[int, int, int]

NEAR_M = 0.05
EDGES = tuple((a, b) for a, b in itertools.combinations(range(8), 2) if (a ^ b) in {1, 2, 4})
WHITE: Color = (255, 255, 255)
INK: Color = (28, 32, 38)
GREY: Color = (120, 126, 134)
PAPER: Color = (250, 250, 248)
TRUTH: Color = (150, 156, 164)
PATH: Color = (0, 114, 189)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_COLORMAP = cv2.COLORMAP_INFERNO


class DrawingError(Vega3dError, ValueError):
    """Something that cannot be drawn; the message says what was given and what is expected."""


class Rect(NamedTuple):
    """A rectangle of pixels, right and bottom excluded."""

    left: int
    top: int
    right: int
    bottom: int

    def overlap(self, other: Rect) -> int:
        """Pixels shared with another rectangle."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0, width) * max(0, height)


def label_color(label: str) -> Color:
    """The bright colour that a label always has, whatever else is in the picture."""
    # A checksum, not hash(): the latter changes from process to process.
    checksum = zlib.crc32(label.encode())
    hue, strength = checksum % 180, 170 + (checksum >> 8) % 60
    pixel = cv2.cvtColor(np.array([[[hue, strength, 245]]], np.uint8), cv2.COLOR_HSV2RGB)
    red, green, blue = (int(value) for value in pixel[0, 0])
    return red, green, blue


def enlarged(image: Image, width_px: int = 448) -> Image:
    """The image at least ``width_px`` wide, for text and lines to be readable in it."""
    height, width = image.shape[:2]
    if width >= width_px:
        return image.copy()
    size = (width_px, round(height * width_px / width))
    return _u8(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC))


def draw_objects(image: Image, objects: Sequence[SceneObject], frame: Frame) -> Image:
    """Draw the objects' 3D boxes with label and score into a picture of a frame.

    Args:
        image: [H, W, 3], the frame's image, at any size.
        objects: Their boxes in the frame's fixed frame or in its camera frame. Others cannot be
            placed in this picture and are left out, as is everything where the frame has no
            camera.
        frame: Gives intrinsics, pose and frame names.
    """
    picture = _checked(image).copy()
    if frame.camera is None:
        return picture
    height, width = picture.shape[:2]
    camera = frame.camera.resized(width, height)
    seen: list[tuple[float, SceneObject, list[Points]]] = []
    for item in objects:
        box = box_in_camera(item.box, item.frame_id, frame)
        lines = [] if box is None else project_box(box, camera)
        if box is not None and lines:
            seen.append((float(box.center[2]), item, lines))
    seen.sort(key=lambda entry: -entry[0])
    thickness = max(1, round(width / 320))
    for _, item, lines in seen:
        _draw_wireframe(picture, lines, label_color(item.label), thickness)
    size_px = text_size_px(picture)
    taken: list[Rect] = []
    for _, item, lines in reversed(seen):
        text = f"{item.label} {item.score:.2f}"
        points = np.clip(np.concatenate(lines), 0, [width - 1, height - 1])
        left, top = points.min(axis=0)
        taken.append(
            draw_label(picture, text, (left, top), label_color(item.label), size_px, taken)
        )
    return picture


def draw_gate(image: Image, gate: ArrayLike, limits: tuple[float, float] | None = None) -> Image:
    """Draw where the gate listens to the generator, as a heat map with its legend.

    Args:
        image: [H, W, 3], the frame's image, at any size.
        gate: [rows, cols], the generator's share of each fused token, in [0, 1].
        limits: Shares that the two ends of the colours stand for; None: from 0 to the largest
            share, rounded up to a tenth. The legend names them.

    Raises:
        DrawingError: If the gate is not such a grid or the limits are empty.
    """
    shares = np.asarray(gate, dtype=np.float32)
    if shares.ndim != 2 or 0 in shares.shape or not np.isfinite(shares).all():
        msg = f"gate must be a finite [rows, cols] grid, not {list(shares.shape)}"
        raise DrawingError(msg)
    low, high = limits or (0.0, max(0.1, float(np.ceil(shares.max() * 10 - 1e-3)) / 10))
    if not low < high:
        msg = f"gate limits must be (low, high) with low < high, not {limits}"
        raise DrawingError(msg)
    height, width = _checked(image).shape[:2]
    smooth = cv2.resize(shares, (width, height), interpolation=cv2.INTER_LINEAR)
    heat = _colormap((smooth - low) / (high - low))
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    picture = _u8(cv2.addWeighted(grey, 0.45, heat, 0.55, 0))
    _draw_gate_legend(picture, (low, high), float(shares.mean()))
    return picture


def box_in_camera(box: Box3D, frame_id: str, frame: Frame) -> Box3D | None:
    """The box in a frame's camera; None where the frame does not know the box's frame."""
    if frame_id == frame.frame_id:
        return box
    if frame.pose is not None and frame_id == frame.fixed_frame:
        return box.transformed(frame.pose.inverse())
    return None


def project_box(box: Box3D, camera: Camera) -> list[Points]:
    """The edges of a box in the camera's optical frame as pixel pairs [2, 2] (u, v).

    Edges are clipped at a plane just before the camera, so that a box which reaches behind the
    camera is still drawn. Empty where no edge crosses the picture.
    """
    corners = box.corners
    clipped = [_clip_near(corners[i], corners[j]) for i, j in EDGES]
    lines = [camera.project(ends) for ends in clipped if ends is not None]
    return lines if any(_crosses(line, camera) for line in lines) else []


def contact_sheet(
    images: Sequence[Image], columns: int, captions: Sequence[str] = (), gap_px: int = 8
) -> Image:
    """Images of one size beside and below each other, each with a caption above if given.

    Raises:
        DrawingError: If there are no images, they differ in size, or the captions do not match.
    """
    if not images or columns < 1 or len({image.shape for image in images}) > 1:
        msg = (
            f"need images of one size and columns >= 1, not {[i.shape for i in images]}, {columns}"
        )
        raise DrawingError(msg)
    if captions and len(captions) != len(images):
        msg = f"{len(captions)} captions for {len(images)} images"
        raise DrawingError(msg)
    height, width = images[0].shape[:2]
    text_px = max(13, round(width / 28)) if captions else 0
    header = round(text_px * 1.7)
    rows = -(-len(images) // columns)
    columns = min(columns, len(images))
    sheet = np.full(
        (rows * (height + header + gap_px) + gap_px, columns * (width + gap_px) + gap_px, 3),
        PAPER,
        np.uint8,
    )
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        x, y = gap_px + column * (width + gap_px), gap_px + row * (height + header + gap_px)
        if captions:
            put_text(sheet, captions[i], (x + 1, y + round(text_px * 1.15)), text_px, INK)
        sheet[y + header : y + header + height, x : x + width] = image
    return sheet


def text_size_px(image: Image) -> int:
    """Height of text that suits a picture's size, pixels."""
    return int(np.clip(round(image.shape[1] / 36), 9, 22))


def measure_text(text: str, size_px: int) -> tuple[int, int]:
    """Width and height of a line of text, pixels."""
    (width, _), _ = cv2.getTextSize(text, _FONT, size_px / 28, 1)
    return width, round(size_px * 1.3)


def put_text(image: Image, text: str, at: tuple[float, float], size_px: int, color: Color) -> None:
    """Write one line with its baseline starting at (x, y)."""
    origin = (round(at[0]), round(at[1]))
    cv2.putText(image, text, origin, _FONT, size_px / 28, color, 1, cv2.LINE_AA)


def draw_label(
    image: Image,
    text: str,
    at: tuple[float, float],
    color: Color,
    size_px: int,
    taken: Sequence[Rect] = (),
) -> Rect:
    """Write a label on a plate near a point, where it hides no other label.

    Args:
        image: Drawn into.
        text: One line.
        at: (x, y) that the label belongs to; it is placed above, below or shifted from there.
        color: Of the plate.
        size_px: Text height.
        taken: Plates already drawn.

    Returns:
        The plate drawn.
    """
    text_width, plate_height = measure_text(text, size_px)
    plate_width = text_width + size_px // 2 + 2
    height, width = image.shape[:2]
    candidates = []
    for shift_y in (-1, 0, 1, -2, 2, -3, 3, -4, 4):
        for shift_x in (0.0, -0.5, 0.5, -1.0):
            left = round(min(max(0, at[0] + shift_x * plate_width), max(0, width - plate_width)))
            top = round(min(max(0, at[1] + shift_y * (plate_height + 1)), height - plate_height))
            candidates.append(Rect(left, top, left + plate_width, top + plate_height))
    plate = min(candidates, key=lambda rect: sum(rect.overlap(other) for other in taken))
    cv2.rectangle(image, plate[:2], (plate.right - 1, plate.bottom - 1), color, cv2.FILLED)
    dark = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] < 128
    baseline = (plate.left + size_px // 4 + 1, plate.top + round(size_px * 0.98))
    put_text(image, text, baseline, size_px, WHITE if dark else INK)
    return plate


def _checked(image: Image) -> Image:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        msg = f"image must be [H, W, 3] uint8 RGB, not {list(image.shape)} {image.dtype}"
        raise DrawingError(msg)
    return image


def _u8(array: ArrayLike) -> Image:
    return np.asarray(array, dtype=np.uint8)


def _colormap(values: NDArray[np.float32]) -> Image:
    levels = np.clip(values * 255, 0, 255).astype(np.uint8)
    return _u8(cv2.cvtColor(cv2.applyColorMap(levels, _COLORMAP), cv2.COLOR_BGR2RGB))


def _clip_near(a: Points, b: Points) -> Points | None:
    """The part [2, 3] of a segment before the near plane, or None."""
    if max(a[2], b[2]) <= NEAR_M:
        return None
    if a[2] < NEAR_M:
        a = b + (a - b) * (b[2] - NEAR_M) / (b[2] - a[2])
    elif b[2] < NEAR_M:
        b = a + (b - a) * (a[2] - NEAR_M) / (a[2] - b[2])
    return np.stack([a, b])


def _crosses(pixels: Points, camera: Camera) -> bool:
    # Far outside, integers of the line clipper could overflow.
    (u0, v0), (u1, v1) = np.clip(pixels, -1e6, 1e6).round().astype(int).tolist()
    inside, _, _ = cv2.clipLine((0, 0, camera.width, camera.height), (u0, v0), (u1, v1))
    return bool(inside)


def _draw_wireframe(image: Image, lines: list[Points], color: Color, thickness: int) -> None:
    pixels = [np.clip(line, -1e6, 1e6).round().astype(int).tolist() for line in lines]
    outline = np.concatenate(lines).clip(-1e4, 1e4).round().astype(np.int32)
    veil = image.copy()
    cv2.fillConvexPoly(veil, cv2.convexHull(outline), color)
    image[:] = cv2.addWeighted(image, 0.86, veil, 0.14, 0)
    for line_color, width in ((INK, thickness + 2), (color, thickness)):
        for start, end in pixels:
            cv2.line(image, start, end, line_color, width, cv2.LINE_AA)


def _draw_gate_legend(image: Image, limits: tuple[float, float], mean: float) -> None:
    height, width = image.shape[:2]
    size_px = text_size_px(image)
    bar_width, bar_height = max(1, width // 4), max(4, size_px // 2)
    low, high, title = (
        f"{limits[0]:.2f}",
        f"{limits[1]:.2f}",
        f"generator's share, mean {mean:.2f}",
    )
    text_height = measure_text(title, size_px)[1]
    low_width, high_width = measure_text(low, size_px)[0], measure_text(high, size_px)[0]
    pad = size_px // 2
    panel_width = max(
        low_width + high_width + bar_width + 4 * pad, measure_text(title, size_px)[0] + 2 * pad
    )
    panel_top = height - 2 * text_height - pad
    panel = image[max(0, panel_top) :, : min(width, panel_width)]
    panel[:] = (panel * 0.25).astype(np.uint8)
    put_text(image, title, (pad, panel_top + round(size_px * 1.2)), size_px, WHITE)
    baseline = height - pad
    put_text(image, low, (pad, baseline), size_px, WHITE)
    left, middle = 2 * pad + low_width, baseline - size_px // 3
    bar = _colormap(np.linspace(0, 1, bar_width, dtype=np.float32)[None].repeat(bar_height, 0))
    top = max(0, middle - bar_height // 2)
    target = image[top : top + bar_height, left : left + bar_width]
    target[:] = bar[: target.shape[0], : target.shape[1]]
    put_text(image, high, (left + bar_width + pad, baseline), size_px, WHITE)
