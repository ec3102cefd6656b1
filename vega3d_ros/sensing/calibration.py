"""CameraInfo to a pinhole camera, and the undistortion that makes raw images its own.

K and D describe the raw image, R and P the rectified one. A raw image is undistorted here, with R,
as image_proc would; its new camera matrix keeps the edges of the image in view. Region of interest
and binning are applied as CameraInfo defines them, unless only its matrices as they are fit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from vega3d_ros.core.frames import Camera, FrameError
from vega3d_ros.sensing.raw_images import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Singles = NDArray[np.float32]
    Size = tuple[int, int]

_FISHEYE = frozenset({"equidistant", "fisheye", "kannala_brandt", "kannala_brandt4"})
_POLYNOMIAL = frozenset({"plumb_bob", "rational_polynomial", "radtan", "brown_conrady"})
_LENGTHS = (4, 5, 8, 12, 14)  # of D, for OpenCV's polynomial models
_UNNAMED = frozenset({5, 8, 12, 14})  # lengths of D that only one model has
_SMALLEST_SCALE = 0.5  # of the focal length: the middle keeps half of its resolution
_LEAST_SHOWN = 0.1  # of the image, by a lens whose border stays in view
_NOWHERE = -2.0  # px; no pixel, not even between two
_NO_TURN = 1e-6
_KEPT = 4
_REMEDY = (
    "rectify the images (ros2 run image_proc rectify_node) and use their topic, or calibrate the "
    "camera anew"
)


class CameraInfoLike(Protocol):
    """The fields of sensor_msgs/CameraInfo that are read."""

    height: int
    width: int
    distortion_model: str
    d: Any
    k: Any
    r: Any
    p: Any
    binning_x: int
    binning_y: int
    roi: Any


@dataclass(frozen=True, eq=False)
class Calibration:
    """The pinhole camera of an image, and how the image becomes that of one.

    Attributes:
        camera: Of the images that ``image`` gives.
        raw: Whether the images were raw.
        rectified: The camera's calibration for its rectified images, where these differ.
        note: What was done or assumed; empty: nothing that needs to be told.
        maps: Where each pixel comes from in the raw image, for OpenCV, in pixels; None where
            images stay as they are.
        stretch: [H, W], what depth is multiplied by where the rectified camera looks another way.
    """

    camera: Camera
    raw: bool
    rectified: Calibration | None = None
    note: str = ""
    maps: tuple[Singles, Singles] | None = None
    stretch: Singles | None = None

    def image(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The pinhole camera's image [H, W, 3]; black where the raw one shows nothing."""
        if self.maps is None:
            return rgb
        return np.asarray(cv2.remap(rgb, *self.maps, cv2.INTER_LINEAR), np.uint8)

    def depth(self, depth_m: Singles) -> Singles:
        """The same of depth registered to the raw image: values of the nearest pixels, or NaN."""
        if self.maps is None:
            return depth_m
        unknown = (float("nan"),) * 4
        found = cv2.remap(
            depth_m, *self.maps, cv2.INTER_NEAREST, None, cv2.BORDER_CONSTANT, unknown
        )
        return np.asarray(found if self.stretch is None else found * self.stretch, np.float32)


class Calibrations:
    """Calibrations of one topic's CameraInfo, each made once."""

    def __init__(self) -> None:
        self._known: dict[Any, Calibration | ImageError | FrameError] = {}

    def of(self, info: CameraInfoLike, size: Size, *, raw: bool) -> Calibration:
        """See ``calibration``; it raises the same."""
        key = (content(info), size, raw)
        if key not in self._known:
            if len(self._known) == _KEPT:  # a zoom lens changes it for ever
                self._known.clear()
            try:
                self._known[key] = calibration(info, size, raw=raw)
            except (ImageError, FrameError) as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, Exception):
            raise found.with_traceback(None)
        return found


def content(info: CameraInfoLike) -> tuple[Any, ...]:
    """The values of a calibration, to tell two apart."""
    roi = info.roi
    window = (roi.width, roi.height, roi.x_offset, roi.y_offset)
    numbers = [_values(getattr(info, name, ())).tobytes() for name in ("d", "k", "r", "p")]
    binning = (info.binning_x, info.binning_y)
    model = getattr(info, "distortion_model", "")
    return (*numbers, model, info.width, info.height, *binning, *window)


def is_calibrated(info: CameraInfoLike) -> bool:
    """Whether it holds a focal length at all."""
    k, p = _values(info.k), _values(info.p)
    return bool((k.size == 9 and k[0] != 0) or (p.size == 12 and p[0] != 0))


def is_bent(info: CameraInfoLike) -> bool:
    """Whether the lens has distortion."""
    return bool(_values(getattr(info, "d", ())).any())


def named_raw(topic: str) -> bool | None:
    """Whether a topic's name says that its images are raw, or rectified; None: it does not."""
    for part in reversed(topic.lower().split("/")):
        words = part.split("_")
        if any(word.startswith(("rect", "undistort")) for word in words):
            return False
        if any(word == "raw" or word.startswith(("unrect", "distort")) for word in words):
            return True
    return None


def calibration(info: CameraInfoLike, size: Size | None = None, *, raw: bool) -> Calibration:
    """The pinhole camera of raw or rectified images.

    Args:
        info: The calibration as it is published.
        size: Width and height of the images; None: those that ``info`` implies.
        raw: Whether they are raw.

    Raises:
        ImageError: If the camera is not calibrated, the calibration is for another size, or its
            distortion cannot be taken out.
        FrameError: If the values are no camera.
    """
    k, p = _matrix(info.k, 9, (0, 4, 2, 5)), _matrix(info.p, 12, (0, 5, 2, 6))
    own, other = (k, p) if raw else (p, k)
    matrix = other if own is None else own
    if matrix is None:
        if not np.isfinite(_values(info.k)).all():
            text = f"K and P of camera_info hold no focal length (fx={_values(info.k)[0]})"
            raise FrameError(text)
        text = (
            "camera_info is all zeros: the camera is not calibrated (ros2 run "
            "camera_calibration cameracalibrator)"
        )
        raise ImageError(text)
    turn = _rotation(info) if raw else np.eye(3)
    model, d = _distortion(info) if raw else ("", np.zeros(4))
    turned = np.abs(turn - np.eye(3)).max() > _NO_TURN
    bent = bool(d.any())
    if k is None and (bent or turned):
        text = f"camera_info has D or R of the raw image, but K is all zeros; {_REMEDY}"
        raise ImageError(text)
    camera, note = _fitted(info, matrix, size)
    if own is None and (raw or is_bent(info)):  # else K and P are the same
        note = _joined(note, f"{'K' if raw else 'P'} is all zeros: the other one is used")
    if not bent and not turned:
        return Calibration(camera, raw, None, note)
    told = f"images are undistorted ({model})" if bent else "images are rectified by R"
    rectified = calibration(info, size, raw=False)
    undistortion = _undistortion(camera, model, d, turn)
    return replace(undistortion, rectified=rectified, note=_joined(note, told))


def _values(values: Any) -> Array:
    return np.asarray(values, np.float64).reshape(-1)


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _matrix(values: Any, length: int, places: tuple[int, ...]) -> Array | None:
    """fx, fy, cx, cy; None where they are not set."""
    flat = _values(values)
    return flat[list(places)] if flat.size == length and abs(flat[0]) > 0 else None


def _rotation(info: CameraInfoLike) -> Array:
    flat = _values(getattr(info, "r", ()))
    if flat.size != 9 or not flat.any():
        return np.eye(3)
    turn = flat.reshape(3, 3)
    if not np.abs(turn @ turn.T - np.eye(3)).max() < 1e-3 or np.linalg.det(turn) < 0:
        text = f"R of camera_info is no rotation; {_REMEDY}"
        raise ImageError(text)
    return turn


def _distortion(info: CameraInfoLike) -> tuple[str, Array]:
    """Model, and coefficients as OpenCV takes them."""
    d, given = _values(getattr(info, "d", ())), str(getattr(info, "distortion_model", ""))
    if not d.any():
        return "", np.zeros(4)
    if not np.isfinite(d).all():
        text = f"D of camera_info holds NaN or infinity; {_REMEDY}"
        raise ImageError(text)
    name = given.strip().lower().replace("-", "_").replace(" ", "_")
    if not name and d.size in _UNNAMED:
        name = "plumb_bob" if d.size == 5 else "rational_polynomial"
    if name not in _FISHEYE | _POLYNOMIAL:
        known = "plumb_bob, rational_polynomial, equidistant"
        text = f"distortion_model {given!r} with a D of {d.size} is not one of {known}; {_REMEDY}"
        raise ImageError(text)
    lengths = (4,) if name in _FISHEYE else _LENGTHS
    used = int(np.flatnonzero(d)[-1]) + 1
    length = next((n for n in lengths if n >= used), None)
    if d.size < 4 or length is None:
        expected = ", ".join(map(str, lengths))
        text = f"a {given} D has {expected} values, that of camera_info {d.size}; {_REMEDY}"
        raise ImageError(text)
    return name, np.append(d, np.zeros(length))[:length]


def _fitted(info: CameraInfoLike, values: Array, size: Size | None) -> tuple[Camera, str]:
    """The camera of a raw or rectified matrix at the images' size, and what was assumed."""
    bins = max(1, info.binning_x), max(1, info.binning_y)
    full = (int(info.width), int(info.height))
    sized = full[0] > 0 and full[1] > 0
    if not sized and size is not None:
        full = size[0] * bins[0], size[1] * bins[1]
    fx, fy, cx, cy = (float(value) for value in values)
    width, height = full
    if info.roi.width and info.roi.height:
        width, height = int(info.roi.width), int(info.roi.height)
        cx, cy = cx - info.roi.x_offset, cy - info.roi.y_offset
    camera = Camera(width=width, height=height, fx=fx, fy=fy, cx=cx, cy=cy)
    told = "" if sized else "camera_info has no size: its matrices are taken for the image's"
    if bins != (1, 1):
        camera = camera.resized(width // bins[0], height // bins[1])
    if size is None:
        return camera, told
    fits = size == (camera.width, camera.height)
    as_it_is = Camera(
        width=size[0], height=size[1], fx=fx, fy=fy, cx=float(values[2]), cy=float(values[3])
    )
    by_the_book = bins == (1, 1) and sized
    if fits and (by_the_book or _centred(camera)):
        return camera, told
    if (bins != (1, 1) or not sized) and (fits or full == size) and _centred(as_it_is):
        assumed = f"camera_info says binning {bins[0]}x{bins[1]}, but fits the image as it is"
        return as_it_is, told if bins == (1, 1) else assumed
    if fits and sized:
        return camera, told
    text = (
        f"camera_info is for {camera.width}x{camera.height}, the image is {size[0]}x{size[1]}"
        if sized
        else f"camera_info has no size, and its matrices do not fit {size[0]}x{size[1]}"
    )
    text += "; use the camera_info that belongs to this image topic"
    raise ImageError(text)


def _centred(camera: Camera) -> bool:
    """Whether the principal point lies in the middle half of the image, as a whole one's does."""
    return (
        abs(camera.cx - camera.width / 2) < camera.width / 4
        and abs(camera.cy - camera.height / 2) < camera.height / 4
    )


def _undistortion(camera: Camera, model: str, d: Array, turn: Array) -> Calibration:
    """The calibration of raw images; ``camera`` is their K at their size."""
    widest = _zoomed(camera, _SMALLEST_SCALE)
    _, _, shown = _origins(camera, widest, model, d, turn)
    if shown.mean() < _LEAST_SHOWN:
        text = f"D of camera_info leaves {shown.mean():.0%} of the image; {_REMEDY}"
        raise ImageError(text)
    rows, columns = (np.flatnonzero(shown.any(axis=axis)) for axis in (1, 0))
    reach = (
        (widest.cx - columns[0]) / (camera.cx + 0.5),
        (columns[-1] - widest.cx) / (camera.width - 0.5 - camera.cx),
        (widest.cy - rows[0]) / (camera.cy + 0.5),
        (rows[-1] - widest.cy) / (camera.height - 0.5 - camera.cy),
    )
    # No shorter than what keeps the border of the raw image in view.
    scale = float(np.clip(_SMALLEST_SCALE / max(reach), _SMALLEST_SCALE, 1.0))
    new = _zoomed(camera, scale)
    maps, along, _ = _origins(camera, new, model, d, turn)
    turned = np.abs(turn - np.eye(3)).max() > _NO_TURN
    stretch = (1 / along).astype(np.float32) if turned else None
    return Calibration(new, True, maps=maps, stretch=stretch)


def _zoomed(camera: Camera, scale: float) -> Camera:
    return replace(camera, fx=camera.fx * scale, fy=camera.fy * scale)


def _origins(
    camera: Camera, new: Camera, model: str, d: Array, turn: Array
) -> tuple[tuple[Singles, Singles], Array, NDArray[np.bool_]]:
    """Where the pixels of the undistorted image come from.

    Returns:
        x and y in the raw image, [H, W] each, outside of it where nothing is seen; the raw
        camera's depth of the rays whose depth is 1 in the new one, [H, W]; and where something is
        seen, [H, W].
    """
    size = (camera.width, camera.height)
    undistort: Any = cv2.fisheye if model in _FISHEYE else cv2
    x, y = undistort.initUndistortRectifyMap(
        camera.matrix, d, turn, new.matrix, size, cv2.CV_32FC1
    )
    u, v = np.meshgrid(np.arange(size[0], dtype=float), np.arange(size[1], dtype=float))
    rays = new.rays(np.stack([u, v], axis=-1)) @ turn
    along = rays[..., 2]
    # Beyond where the polynomial turns back, it shows the picture once more.
    growth = np.gradient(x, axis=1) * np.gradient(y, axis=0)
    growth -= np.gradient(x, axis=0) * np.gradient(y, axis=1)
    aside = np.hypot(rays[..., 0], rays[..., 1]) / np.maximum(along, 1e-9)
    beyond = (aside >= np.where(growth > 0, np.inf, aside).min()) | (along <= 0)
    x[beyond], y[beyond] = _NOWHERE, _NOWHERE
    shown = (x > -0.5) & (x < size[0] - 0.5) & (y > -0.5) & (y < size[1] - 0.5)
    return (x, y), along, shown
