"""Multi3DRefer: any number of boxes for a description, none too (Zhang et al. 2023).

After VEGA-3D's ``eval_multi3drefer.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from vega3d_ros.evaluation.metrics.boxes import THRESHOLDS, overlap, overlap_with_headings
from vega3d_ros.evaluation.metrics.intervals import mean_over_clips

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from vega3d_ros.evaluation.metrics.intervals import Estimate

    Boxes = Sequence[Sequence[float]]

# Zero, one or more targets; with or without distractors of the same class.
TYPES = ("zt_w_d", "zt_wo_d", "st_w_d", "st_wo_d", "mt")
_MASS = 0.4
_TEMPERATURE = 0.07


def select(scores: Sequence[float], objects: Boxes) -> list[Sequence[float]]:
    """The boxes that an official prediction means.

    The last score stands for "none of them". Where it is the greatest, nothing is meant; else the
    best boxes until their softmax, over all scores, adds up to 0.4. In float32, as the official
    code computes it.

    Args:
        scores: Similarities, one more than ``objects``.
        objects: The boxes they belong to.
    """
    values = np.asarray(scores, np.float32)
    if int(values.argmax()) == len(values) - 1:
        return []
    powers = np.exp((values - values.max()) / np.float32(_TEMPERATURE))
    shares = (powers / powers.sum())[:-1]
    order = np.argsort(-shares, kind="stable")
    reached = np.cumsum(shares[order], dtype=np.float32) >= np.float32(_MASS)
    count = int(reached.argmax()) + 1 if reached.any() else len(order)
    return [objects[i] for i in order[:count]]


def as_scores(boxes: Boxes) -> tuple[list[float], list[list[float]]]:
    """Scores and objects from which ``select`` takes exactly these boxes.

    For models that say which boxes they mean, and not how similar every proposal is. The boxes
    share a little more than 0.4 of the mass. The rest goes to copies of the first box, each with
    less than any chosen one, so that they are never reached.
    """
    if not boxes:
        return [0.0], []
    count = len(boxes)
    each = (_MASS + 0.5 * _MASS / count) / count
    rest = 1 - each * count
    fillers = int(rest / each) + 1  # and "none of them"
    less = rest / (fillers + 1)
    shares = [each] * count + [less] * (fillers + 1)
    objects = [list(box) for box in boxes] + [list(boxes[0])] * fillers
    return [_TEMPERATURE * float(np.log(share)) for share in shares], objects


def f1(predicted: Boxes, true: Boxes, *, headings: bool = False) -> tuple[float, float]:
    """F1 of a set of boxes at an overlap of 0.25 and of 0.5.

    Boxes are paired so that the sum of overlaps is greatest, which is not always the pairing with
    most hits. An empty prediction is right where nothing is true, and only there.

    Args:
        predicted: Six numbers each, or seven with ``headings``.
        true: Six numbers each.
        headings: Whether boxes are turned by their headings.
    """
    if not predicted or not true:
        same = float(not predicted and not true)
        return same, same
    overlaps = _overlaps(predicted, true, headings=headings)
    rows, columns = linear_sum_assignment(-overlaps)
    matched = overlaps[rows, columns]
    low, high = (
        2 * int((matched >= np.float32(k)).sum()) / (len(predicted) + len(true))
        for k in THRESHOLDS
    )
    return low, high


def _overlaps(predicted: Boxes, true: Boxes, *, headings: bool) -> NDArray[np.float32]:
    """Square and padded with zeros, as the official code matches it."""
    side = max(len(predicted), len(true))
    square = np.zeros((side, side), np.float32)
    if headings:
        found = [[overlap_with_headings(p, t) for t in true] for p in predicted]
    else:
        found = overlap(
            np.asarray(predicted, np.float64)[:, None, :6], np.asarray(true, np.float64)[None]
        ).tolist()
    # A box with a NaN in it overlaps nothing; officially the matching stops with an error.
    square[: len(predicted), : len(true)] = np.nan_to_num(found)
    return square


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Estimate]:
    """Mean F1 in all and by type.

    Args:
        rows: With ``scores``, ``objects``, ``gt_response``, ``question_type`` and ``scene``. With
            ``pred_boxes`` (seven numbers each), F1 "with headings" is given beside the official;
            with ``pred_proposals`` (six each), F1 "of the nearest proposals".
    """
    kinds = {"": [f1(select(row["scores"], row["objects"]), row["gt_response"]) for row in rows]}
    if all("pred_boxes" in row for row in rows):
        kinds[" with headings"] = [
            f1(row["pred_boxes"], row["gt_response"], headings=True) for row in rows
        ]
    if all("pred_proposals" in row for row in rows):
        kinds[" of the nearest proposals"] = [
            f1(row["pred_proposals"], row["gt_response"]) for row in rows
        ]
    figures = {}
    for part in ("", *TYPES):
        chosen = [i for i, row in enumerate(rows) if part in ("", row["question_type"])]
        scenes = [rows[i]["scene"] for i in chosen]
        for kind, scores in kinds.items():
            for at, k in enumerate(THRESHOLDS):
                name = f"{part}: F1@{k}{kind}" if part else f"F1@{k}{kind}"
                figures[name] = mean_over_clips([scores[i][at] for i in chosen], scenes)
    return figures
