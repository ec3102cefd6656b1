"""What the files of a depth network tell before it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vega3d_ros.core.json_io import JsonError, read_object
from vega3d_ros.models.depth.base import DepthError

if TYPE_CHECKING:
    from pathlib import Path

_WIDE = 16 / 9  # the widest image that the estimate allows for
_UNRESIZED = 720  # rows of an image that is not resized
_LIVE = 3  # feature maps of the finest size that live at once


def read_description(file: Path) -> dict[str, Any]:
    """A JSON file of a network's folder.

    Raises:
        DepthError: If it is missing or damaged.
    """
    try:
        return read_object(file)
    except JsonError as error:
        msg = f"{error}; download the depth network again"
        raise DepthError(msg) from error


def memory(folder: Path) -> dict[str, int]:
    """Bytes that a network takes: its weights, and what its largest feature maps take at work.

    Raises:
        DepthError: If a file of its description is missing or damaged.
    """
    config = read_description(folder / "config.json")
    size = read_description(folder / "preprocessor_config.json").get("size") or {}
    height = size.get("height") or size.get("shortest_edge") or _UNRESIZED
    pixels = height * max(size.get("width") or 0, height * _WIDE)
    widths = [config.get(key) or 0 for key in ("fusion_hidden_size", "decoder_hidden_size")]
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return {
        "depth network": weights,
        "depth network at work": int(4 * _LIVE * pixels * max(*widths, 64)),
    }
