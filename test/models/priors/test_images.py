"""Frames at the working size of a prior."""

from __future__ import annotations

import pytest
import torch

from vega3d_ros.models.priors.base import PriorError
from vega3d_ros.models.priors.images import check_images, fit_images

pytestmark = pytest.mark.numeric


def ramp(width: int, height: int) -> torch.Tensor:
    """Red is the column, green the row, both as the centre's share of the size."""
    x = (torch.arange(width) + 0.5) / width
    y = (torch.arange(height) + 0.5) / height
    rows, cols = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([cols, rows, torch.zeros_like(rows)])[None]


def test_full_shows_the_whole_frame() -> None:
    fitted = fit_images(ramp(400, 300), 40, 24, "full")
    expected = ramp(40, 24)[:, :, 1:-1, 1:-1]
    bound = 2e-3 * float(expected.max())
    torch.testing.assert_close(fitted[:, :, 1:-1, 1:-1], expected, rtol=0, atol=bound)


def test_full_is_anti_aliased() -> None:
    stripes = (torch.arange(320) % 2).float().expand(1, 3, 240, 320)
    fitted = fit_images(stripes, 40, 30, "full")
    assert (fitted - 0.5).abs().max() < 0.05


def test_official_cuts_the_centre() -> None:
    # 4:3 enlarged to cover 832x480: 832x624, of which the middle 480 rows (76.9 %) remain.
    fitted = fit_images(ramp(416, 312), 832, 480, "official")
    assert fitted.shape == (1, 3, 480, 832)
    green = fitted[0, 1, :, 400]
    assert abs(green[0] - (72.5 / 624)) < 2e-3
    assert abs(green[-1] - (551.5 / 624)) < 2e-3
    red = fitted[0, 0, 200]
    assert red[0] < 0.01
    assert red[-1] > 0.99


def test_official_never_falls_short() -> None:
    for width, height in ((517, 391), (333, 77), (84, 56), (1, 1)):
        assert fit_images(ramp(width, height), 208, 128, "official").shape == (1, 3, 128, 208)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(3, 8, 8), "N, 3, H, W"),
        (torch.rand(2, 8, 8, 3), "N, 3, H, W"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "255"),
        (torch.full((2, 3, 8, 8), 255.0), r"\[0, 1\]"),
        (torch.full((2, 3, 8, 8), -0.1), r"\[0, 1\]"),
        (torch.full((2, 3, 8, 8), torch.nan), r"\[0, 1\]"),
        (torch.rand(1, 3, 8, 8), "stamps"),
    ],
)
def test_unusable_images_are_refused(images: torch.Tensor, message: str) -> None:
    with pytest.raises(PriorError, match=message):
        check_images(images, [1, 2])
