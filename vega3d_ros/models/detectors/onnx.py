"""NanoDet-Plus and YOLOX files, run by OpenCV.

OpenCV has one pool of threads for the whole process, which image conversions elsewhere use too. A
network on that pool would take a core from every other worker of the process. So while a network
runs, OpenCV is held to ``threads`` (1: it runs in the calling thread and the pool sleeps), and
gets back what it had. Networks run one at a time; the GIL is free meanwhile.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from vega3d_ros.models.detectors.base import Detection2D, DetectorError, check_images, clipped
from vega3d_ros.models.detectors.coco import COCO_NAMES
from vega3d_ros.models.detectors.decoding import (
    NANODET_BINS,
    NANODET_STRIDES,
    YOLOX_STRIDES,
    decode_nanodet,
    decode_yolox,
    grid_points,
)
from vega3d_ros.models.detectors.letterbox import Letterbox
from vega3d_ros.models.detectors.onnx_file import read_inputs
from vega3d_ros.models.detectors.suppression import suppress
from vega3d_ros.models.detectors.vocabulary import match

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

_POOL = threading.Lock()


@dataclass(frozen=True)
class _Family:
    """How one kind of network is fed and read; thresholds are those of its authors' demos."""

    name: str
    strides: tuple[int, ...]
    columns: int  # of the output, beside one a class
    decode: Callable[
        [NDArray[np.float32], tuple[int, int]], tuple[NDArray[np.float32], NDArray[np.float32]]
    ]
    mean: tuple[float, float, float]  # BGR
    std: tuple[float, float, float]
    border: int
    centered: bool
    threshold: float
    overlap: float


_FAMILIES = (
    _Family(
        name="NanoDet-Plus",
        strides=NANODET_STRIDES,
        columns=4 * NANODET_BINS,
        decode=decode_nanodet,
        mean=(103.53, 116.28, 123.675),
        std=(57.375, 57.12, 58.395),
        border=0,
        centered=True,
        threshold=0.35,
        overlap=0.6,
    ),
    _Family(
        name="YOLOX",
        strides=YOLOX_STRIDES,
        columns=5,
        decode=decode_yolox,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        border=114,
        centered=False,
        threshold=0.3,
        overlap=0.45,
    ),
)


class OnnxDetector:
    """A NanoDet-Plus or YOLOX file as its authors export it; its outputs tell which it is.

    Args:
        file: The ``.onnx`` file; its input is [1, 3, H, W].
        names: Of its classes, in order.
        threshold: Lowest score given; None: that of the family's own demo.
        threads: OpenCV's while the network runs.

    Raises:
        DetectorError: If the file is neither, or has another number of classes.
    """

    def __init__(
        self,
        file: str | Path,
        *,
        names: Sequence[str] = COCO_NAMES,
        threshold: float | None = None,
        threads: int = 1,
    ) -> None:
        self._file = Path(file)
        self._threads = threads
        self._names = tuple(names)
        self._size = _input_size(self._file)
        try:
            self._net = cv2.dnn.readNetFromONNX(str(self._file))
            output = self._forward(np.zeros((1, 3, *self._size), np.float32))
        except cv2.error as error:
            reason = " ".join(error.err.split())
            msg = f"{self._file} does not run in OpenCV {cv2.__version__}: {reason}"
            raise DetectorError(msg) from error
        self._family = self._family_of(output.shape)
        self._threshold = self._family.threshold if threshold is None else threshold

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The names of its classes."""
        return self._names

    @property
    def family(self) -> str:
        """NanoDet-Plus or YOLOX."""
        return self._family.name

    def known(self, text: str) -> str | None:
        """The name that answers a text; None where none does."""
        return match(text, self._names)

    def detect(
        self, images: Sequence[NDArray[np.uint8]], texts: Sequence[str] = ()
    ) -> list[list[Detection2D]]:
        """See ``Detector.detect``. Images run one by one: the files are made for one."""
        check_images(images)
        asked = {self.known(text) for text in texts} if texts else set(self._names)
        classes = np.array([name in asked for name in self._names])
        if not classes.any():
            return [[] for _ in images]
        return [self._detect(image, classes) for image in images]

    def _detect(self, image: NDArray[np.uint8], classes: NDArray[np.bool_]) -> list[Detection2D]:
        family = self._family
        height, width = image.shape[:2]
        place = Letterbox((height, width), self._size, family.centered)
        put = place.put(image, family.border)
        bgr = np.asarray(cv2.dnn.blobFromImage(put, swapRB=True), np.float32)
        bgr -= np.array(family.mean, np.float32).reshape(1, 3, 1, 1)
        bgr /= np.array(family.std, np.float32).reshape(1, 3, 1, 1)
        output = self._forward(bgr)[0]
        boxes, scores = family.decode(output, self._size)
        kept = suppress(place.to_image(boxes), scores * classes, self._threshold, family.overlap)
        found = []
        for box, score, index in kept:
            if (inside := clipped(box, width, height)) is not None:
                found.append(Detection2D(inside, score, self._names[index]))
        return found

    def _forward(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        with _opencv_threads(self._threads):
            self._net.setInput(pixels)
            return np.asarray(self._net.forward(), np.float32)

    def _family_of(self, shape: tuple[int, ...]) -> _Family:
        sizes = ", ".join(str(side) for side in shape)
        for family in _FAMILIES:
            rows = len(grid_points(self._size, family.strides)[0])
            if len(shape) == 3 and shape[:2] == (1, rows) and shape[2] > family.columns:
                classes = shape[2] - family.columns
                if classes == len(self._names):
                    return family
                msg = (
                    f"{self._file} is a {family.name} of {classes} classes, "
                    f"but {len(self._names)} names are given; give the names of its classes"
                )
                raise DetectorError(msg)
        msg = (
            f"{self._file} is neither NanoDet-Plus nor YOLOX: its output is [{sizes}]; export it "
            "with the authors' own scripts, boxes not decoded"
        )
        raise DetectorError(msg)


@contextmanager
def _opencv_threads(threads: int) -> Iterator[None]:
    with _POOL:
        before = cv2.getNumThreads()
        cv2.setNumThreads(threads)
        try:
            yield
        finally:
            cv2.setNumThreads(before)


def _input_size(file: Path) -> tuple[int, int]:
    """(height, width) of the one input of a file."""
    inputs = read_inputs(file)
    shapes = list(inputs.values())
    if len(shapes) == 1 and len(shapes[0]) == 4:
        count, channels, height, width = shapes[0]
        if count in {1, None} and channels == 3 and height and width:
            return height, width
    told = ", ".join(f"{name} {list(shape)}" for name, shape in inputs.items()) or "none"
    msg = (
        f"{file} is neither NanoDet-Plus nor YOLOX: it must have one input [1, 3, height, width] "
        f"of fixed size, and has {told}"
    )
    raise DetectorError(msg)
