"""Scan2Cap: captions of objects whose box was found (Chen et al. 2021).

After VEGA-3D's ``eval_scan2cap.py``: an object that no proposal covers by half gets the empty
caption, and the corpus is scored with ``sos`` and ``eos`` around every text. That is not the
published m@0.5IoU, where such an object scores 0: the two words alone match the references, and a
file of nothing but empty captions has a ROUGE-L of a quarter. Both are given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vega3d_ros.evaluation.metrics.captions import corpus_scores
from vega3d_ros.evaluation.metrics.intervals import mean_over_clips

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vega3d_ros.evaluation.metrics.intervals import Estimate

_SHOWN = ("CIDEr", "BLEU-4", "METEOR", "ROUGE-L")


def wrapped(caption: str) -> str:
    """A caption as the official code scores it."""
    return "sos " + caption.replace(".", " . ").replace(",", " , ").lower() + " eos"


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Estimate]:
    """Caption scores at an overlap of 0.5, as the official code counts missed boxes and as zero.

    Args:
        rows: With ``sample_id``, ``pred_response``, ``gt_response`` (all references), ``scene``
            and ``hit``: whether the box that was captioned overlaps the true one by half.
    """
    by_id = {str(row["sample_id"]): row for row in rows}
    scores = corpus_scores(
        {key: [wrapped(text) for text in row["gt_response"]] for key, row in by_id.items()},
        {key: wrapped(row["pred_response"]) for key, row in by_id.items()},
        {key: row["scene"] for key, row in by_id.items()},
    )
    hits = np.array([float(row["hit"]) for row in by_id.values()])
    scenes = [row["scene"] for row in by_id.values()]
    figures = {f"{name}@0.5": scores.figures[name] for name in _SHOWN}
    for name in _SHOWN:
        if name in scores.items:
            figures[f"missed boxes as 0: {name}@0.5"] = mean_over_clips(
                scores.items[name] * hits, scenes
            )
    figures["missed boxes: share"] = mean_over_clips(1 - hits, scenes)
    return figures
