"""Names of colours, as people use them for furniture, and how much of a thing has each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

COLOR_NAMES = (
    *("black", "grey", "white", "red", "orange", "brown"),
    *("yellow", "green", "blue", "purple", "pink"),
)
"""The eleven basic colour terms of English (Berlin and Kay, 1969)."""

_SAMPLES = 4096
_LEAST_SHARE = 0.02
# Of a colour's largest channel, 0 to 1: below the first it is black, whatever its hue.
_BLACK_BELOW, _DARK_BELOW, _WHITE_FROM = 0.16, 0.62, 0.78
# Saturation, 0 to 1, below which a colour has no hue: cameras tint grey a little.
_GREY_BELOW = 0.17
_PALE_BELOW = 0.55
# Hue in degrees where each name ends.
_HUES = (
    *((15, "red"), (42, "orange"), (70, "yellow"), (165, "green"), (255, "blue")),
    *((300, "purple"), (345, "pink"), (361, "red")),
)


def color_shares(pixels: NDArray[np.uint8]) -> tuple[tuple[str, float], ...]:
    """Which colours a thing has.

    Each pixel is named by its hue, saturation and brightness; shade makes a colour darker but
    leaves its hue, so dark reds stay red, while dark orange is what is called brown.

    Args:
        pixels: [N, 3] RGB of the thing.

    Returns:
        Names with their share of the pixels, the largest first; rare ones are left out.
    """
    if not len(pixels):
        return ()
    sample = pixels[:: max(1, len(pixels) // _SAMPLES)].astype(np.float32) / 255
    hsv = cv2.cvtColor(sample[:, None], cv2.COLOR_RGB2HSV)[:, 0]
    hue, saturation, value = hsv.T
    ends = np.array([end for end, _ in _HUES])
    indices = np.array([COLOR_NAMES.index(name) for _, name in _HUES])
    named = indices[np.searchsorted(ends, hue, side="right")]

    def put(name: str, where: NDArray[np.bool_]) -> None:
        named[where] = COLOR_NAMES.index(name)

    warm = (hue >= 10) & (hue < 50)
    put("brown", warm & (value < _DARK_BELOW))
    red = (hue < 10) | (hue >= 330)
    put("pink", red & (saturation < _PALE_BELOW) & (value >= _DARK_BELOW))
    grey = saturation < _GREY_BELOW
    put("grey", grey)
    put("white", grey & (value >= _WHITE_FROM))
    put("black", value < _BLACK_BELOW)
    shares = np.bincount(named, minlength=len(COLOR_NAMES)) / len(named)
    return tuple(
        (COLOR_NAMES[index], float(shares[index]))
        for index in np.argsort(-shares, kind="stable")
        if shares[index] >= _LEAST_SHARE
    )


def mean_colors(
    views: Sequence[tuple[tuple[str, float], ...]],
) -> tuple[tuple[str, float], ...]:
    """The colours of a thing from those of its views, as ``color_shares`` gives them."""
    told = [dict(view) for view in views if view]
    total = {
        name: sum(view.get(name, 0.0) for view in told) / len(told)
        for name in dict.fromkeys(name for view in told for name in view)
    }
    return tuple(sorted(total.items(), key=lambda pair: (-pair[1], pair[0])))
