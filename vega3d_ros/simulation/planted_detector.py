"""A detector for tests: true boxes of simulated images, with errors at stated rates."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.models.detectors.base import Detection2D, clipped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class PlantedErrors:
    """Rates of errors, each as a share of the true boxes.

    Attributes:
        jitter: Standard deviation of each edge, relative to the box's side.
        missed: Boxes that are not detected.
        doubled: Boxes that are detected twice, once around a part of the object.
        misnamed: Boxes with a wrong label; each object has one wrong label.
        renamed: Boxes that are detected a second time with that label.
        invented: Boxes around nothing.
        merged: Boxes that also cover the nearest object of the same label.
        least_pixels: Objects of fewer visible pixels are not detected.
    """

    jitter: float = 0.04
    missed: float = 0.2
    doubled: float = 0.05
    misnamed: float = 0.05
    renamed: float = 0.05
    invented: float = 0.05
    merged: float = 0.05
    least_pixels: int = 400


class PlantedDetector:
    """Detects objects in the images that were planted; the same image gets the same detections."""

    def __init__(
        self, vocabulary: Sequence[str], errors: PlantedErrors | None = None, seed: int = 0
    ) -> None:
        self.vocabulary: tuple[str, ...] = tuple(vocabulary)
        self.errors = errors or PlantedErrors()
        self._seed = seed
        self._answers: dict[bytes, list[Detection2D]] = {}

    def known(self, text: str) -> str | None:
        """The text itself if it is in the vocabulary."""
        return text if text in self.vocabulary else None

    def plant(
        self, image: NDArray[np.uint8], instance: NDArray[np.uint8], labels: Sequence[str]
    ) -> None:
        """Plant the detections of an image.

        Args:
            image: [H, W, 3].
            instance: [H, W]; 0 for the room, k + 1 for an object of label ``labels[k]``.
            labels: Labels of the objects.
        """
        key = _digest(image)
        rng = np.random.default_rng([self._seed, int.from_bytes(key[:8], "little")])
        height, width = instance.shape
        boxes = _boxes(instance, self.errors.least_pixels)
        answers = []
        for index, box in boxes.items():
            answers += self._with_errors(index, box, boxes, labels, rng)
        for _ in range(rng.poisson(self.errors.invented * max(len(boxes), 1))):
            center = rng.uniform([0, 0], [width, height])
            half = rng.uniform([0.05, 0.05], [0.3, 0.3]) * [width, height]
            name = self.vocabulary[rng.integers(len(self.vocabulary))]
            answers.append((np.concatenate([center - half, center + half]), name, 0.35))
        found = []
        for box, name, score in answers:
            inside = clipped(box.tolist(), width, height)
            if inside is not None:
                found.append(Detection2D(inside, float(np.clip(score, 0.05, 0.98)), name))
        self._answers[key] = sorted(found, key=lambda one: -one.score)

    def detect(
        self, images: Sequence[NDArray[np.uint8]], texts: Sequence[str] = ()
    ) -> list[list[Detection2D]]:
        """The planted detections; see ``Detector.detect``.

        Raises:
            KeyError: If an image was never planted.
        """
        return [
            [one for one in self._answers[_digest(image)] if not texts or one.label in texts]
            for image in images
        ]

    def _with_errors(
        self,
        index: int,
        box: NDArray[np.float64],
        boxes: dict[int, NDArray[np.float64]],
        labels: Sequence[str],
        rng: np.random.Generator,
    ) -> list[tuple[NDArray[np.float64], str, float]]:
        """Detected boxes, labels and scores of one object."""
        errors = self.errors
        if rng.random() < errors.missed:
            return []
        name = labels[index]
        tends_to = self.vocabulary[hash_of(name, index) % len(self.vocabulary)]
        if rng.random() < errors.merged:
            like = [k for k in boxes if labels[k] == name and k != index]
            if like:
                other = boxes[min(like, key=lambda k: float(np.abs(boxes[k] - box).sum()))]
                box = np.concatenate([np.minimum(box, other)[:2], np.maximum(box, other)[2:]])
        side = np.tile(box[2:] - box[:2], 2)
        jittered = box + rng.normal(0.0, errors.jitter, 4) * side
        score = rng.uniform(0.4, 0.9)
        wrong = rng.random() < errors.misnamed
        found = [(jittered, tends_to if wrong else name, score - 0.15 * wrong)]
        if rng.random() < errors.doubled:
            low, high = rng.uniform(0.0, 0.4, 2), rng.uniform(0.6, 1.0, 2)
            corner, extent = np.tile(box[:2], 2), side
            part = corner + np.concatenate([low, high]) * extent
            found.append((part, name, score - 0.15))
        if rng.random() < errors.renamed:
            again = box + rng.normal(0.0, errors.jitter, 4) * side
            found.append((again, tends_to, score - 0.15))
        return found


def hash_of(name: str, index: int) -> int:
    """A hash that is the same in every process."""
    return int.from_bytes(blake2b(f"{name} {index}".encode(), digest_size=4).digest(), "little")


def _digest(image: NDArray[np.uint8]) -> bytes:
    return blake2b(np.ascontiguousarray(image).tobytes(), digest_size=16).digest()


def _boxes(instance: NDArray[np.uint8], least: int) -> dict[int, NDArray[np.float64]]:
    """Boxes (x0, y0, x1, y1) around the visible pixels of each object, between pixel edges."""
    boxes = {}
    for value in np.flatnonzero(np.bincount(instance.ravel()) >= least):
        if value == 0:
            continue
        rows, columns = np.nonzero(instance == value)
        boxes[int(value) - 1] = np.array(
            [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float64
        )
    return boxes
