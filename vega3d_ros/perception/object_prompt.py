"""What was found, as object tokens for the language model to read behind the clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from vega3d_ros.core.geometry import SE3
from vega3d_ros.models.mllms.qwen2_5_vl.object_tokens import VALUES, object_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vega3d_ros.core.frames import Clip
    from vega3d_ros.models.fusion.clip_tokens import ClipTokens
    from vega3d_ros.models.grounders.base import Detection, View
    from vega3d_ros.models.mllms.clip_reading import ClipReading
    from vega3d_ros.models.mllms.qwen2_5_vl.object_tokens import ObjectTokens


class ObjectPrompt:
    """Lets a language model read what was found.

    Args:
        module: Makes the tokens.
        colors: Names of the colours that it was trained with.
    """

    def __init__(self, module: ObjectTokens, colors: Sequence[str]) -> None:
        self._module = module
        self._colors = colors

    @torch.inference_mode()
    def add(self, reading: ClipReading, clip: Clip, found: Sequence[Detection]) -> None:
        """Add one token for each detection to what was read."""
        module, language, tokens = self._module, reading.language, reading.tokens.flat
        values, shown = describe(found, clip, reading.tokens)
        weights = torch.from_numpy(shown).to(tokens)
        reading.add_objects(
            module(
                language.embed_names([one.label for one in found]),
                module.colors(weights @ tokens),
                language.embed_names(self._colors),
                torch.from_numpy(values).to(tokens),
            )
        )


def describe(
    found: Sequence[Detection], clip: Clip, tokens: ClipTokens
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the language model reads of K detections beside their names.

    Returns:
        [K, VALUES] (see ``object_values``), in the frame of the levelled newest camera, and
        [K, T], how much each visual token shows of each, rows of sum 1.
    """
    reference = _newest_level_from_output(clip, tokens)
    values = np.zeros((len(found), VALUES), np.float32)
    shown = np.zeros((len(found), len(tokens.flat)), np.float32)
    for k, one in enumerate(found):
        seen = np.zeros(len(clip))
        for view in one.views:
            showing = tokens_of(view, clip, tokens.grid)
            shown[k, showing] = np.maximum(shown[k, showing], view.score)
            seen[view.frame] = max(seen[view.frame], view.score)
        values[k] = object_values(one.box.transformed(reference), one.score, seen)
    return values, shown / np.maximum(shown.sum(axis=1, keepdims=True), 1e-6)


def _newest_level_from_output(clip: Clip, tokens: ClipTokens) -> SE3:
    newest = tokens.geometry[-1]
    if newest is None:
        return SE3.identity()
    if clip.fixed_frame and newest.fixed_from_level is not None:
        return newest.fixed_from_level.inverse()
    return SE3(newest.level_from_optical, np.zeros(3))


def tokens_of(view: View, clip: Clip, grid: tuple[int, int]) -> NDArray[np.int64]:
    """The tokens that pixels of a view lie in; of a box alone, the one at its centre."""
    rows, columns = grid
    height, width = clip.frames[view.frame].image.shape[:2]
    pixels = view.pixels
    if not len(pixels) and view.box is not None:
        x0, y0, x1, y1 = view.box
        pixels = np.array([[(x0 + x1) // 2, (y0 + y1) // 2]], np.int32)
    column = np.clip((2 * pixels[:, 0] + 1) * columns // (2 * width), 0, columns - 1)
    row = np.clip((2 * pixels[:, 1] + 1) * rows // (2 * height), 0, rows - 1)
    cells: NDArray[np.int64] = np.unique((view.frame * rows + row) * columns + column)
    return cells
