"""What it costs to know a keyframe by its picture, beside what nano's encoders take for one.

python benchmarks/picture_checksum.py
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.core.frames import Clip, Frame
from vega3d_ros.perception.perceiver import Perceiver

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = ((320, 240), (640, 480), (1280, 720), (1920, 1080))
RUNS = 9


def frame(index: int, width: int, height: int) -> Frame:
    """A random picture."""
    values = np.random.default_rng(index).integers(0, 256, (height, width, 3))
    return Frame(index, values.astype(np.uint8), "camera")


def milliseconds(run: Callable[[Frame], object], frames: list[Frame]) -> float:
    """Median over frames."""
    took = []
    for one in frames:
        start = perf_counter()
        run(one)
        took.append(perf_counter() - start)
    return float(np.median(took) * 1e3)


def main() -> None:
    """Print a line for each size of picture."""
    perceiver = Perceiver.from_pretrained("nano")
    for width, height in SIZES:
        frames = [frame(index, width, height) for index in range(RUNS)]
        checksum = milliseconds(lambda one: one.image_checksum, frames)
        observe = milliseconds(lambda one: perceiver.observe(Clip((one,))), frames)
        share = checksum / observe
        print(
            f"{width}x{height}: checksum {checksum:.2f} ms, observe {observe:.0f} ms, {share:.2%}"
        )


if __name__ == "__main__":
    main()
