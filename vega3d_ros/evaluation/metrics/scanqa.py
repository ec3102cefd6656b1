"""ScanQA: short answers in words (Azuma et al. 2022; VEGA-3D ``eval_scanqa.py``).

The official exact match compares the raw answer, so that a final full stop fails; the other scores
see it without. An exact match that forgives case, blanks and the full stop is given beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vega3d_ros.evaluation.metrics.captions import corpus_scores
from vega3d_ros.evaluation.metrics.intervals import mean_over_clips

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vega3d_ros.evaluation.metrics.intervals import Estimate


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Estimate]:
    """Exact match and caption scores.

    Args:
        rows: With ``sample_id``, ``pred_response``, ``answers`` (all that are right) and
            ``scene``. Of rows with one id, exact match counts each and the others the last.
    """
    scenes = [row["scene"] for row in rows]
    exact = [row["pred_response"] in row["answers"] for row in rows]
    forgiving = [
        _plain(row["pred_response"]) in {_plain(answer) for answer in row["answers"]}
        for row in rows
    ]
    by_id = {str(row["sample_id"]): row for row in rows}
    scores = corpus_scores(
        {key: row["answers"] for key, row in by_id.items()},
        {key: row["pred_response"].rstrip(".") for key, row in by_id.items()},
        {key: row["scene"] for key, row in by_id.items()},
    )
    return {
        "EM": mean_over_clips(exact, scenes),
        "EM forgiving case and full stop": mean_over_clips(forgiving, scenes),
    } | scores.figures


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(".")
