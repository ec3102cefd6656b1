"""ScanRefer: one box for each description (Chen et al. 2020; VEGA-3D ``eval_scanrefer.py``)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from vega3d_ros.evaluation.metrics.boxes import THRESHOLDS, overlap, overlap_with_headings
from vega3d_ros.evaluation.metrics.intervals import mean_over_clips

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vega3d_ros.evaluation.metrics.intervals import Estimate

TYPES = ("unique", "multiple")
# Ids of NYU40 that ScanRefer keeps; all others are "other furniture", 39.
_KEPT = frozenset({*range(1, 13), 14, 16, 24, 28, 33, 34, 36, 39})
_OTHER = 39


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Estimate]:
    """Share of descriptions whose box overlaps the true one enough, in all and by type.

    Args:
        rows: With ``pred_response`` and ``gt_response`` (six numbers), ``question_type`` and
            ``scene``. With ``pred_box`` (seven numbers), accuracies "with headings" are given
            beside the official ones, which replace a turned box by the one around it; with
            ``pred_proposal`` (six), accuracies "of the nearest proposal".
    """
    parts = {"": list(rows)}
    parts |= {f"{t}: ": [row for row in rows if row["question_type"] == t] for t in TYPES}
    turned = all("pred_box" in row for row in rows)
    proposed = all("pred_proposal" in row for row in rows)
    figures = {}
    for part, chosen in parts.items():
        scenes = [row["scene"] for row in chosen]
        aligned = [float(overlap(row["gt_response"], row["pred_response"])) for row in chosen]
        kinds = {"": aligned}
        if turned:
            kinds[" with headings"] = [
                overlap_with_headings(row["gt_response"], row["pred_box"]) for row in chosen
            ]
        if proposed:
            kinds[" of the nearest proposal"] = [
                float(overlap(row["gt_response"], row["pred_proposal"])) for row in chosen
            ]
        for kind, overlaps in kinds.items():
            for k in THRESHOLDS:
                figures[f"{part}Acc@{k}{kind}"] = mean_over_clips(
                    [iou >= k for iou in overlaps], scenes
                )
    return figures


def unique_or_multiple(
    annotations: Sequence[Mapping[str, Any]], nyu40: Mapping[str, int]
) -> list[str]:
    """Type of each annotation of ``ScanRefer_filtered_*.json``.

    Unique is an object whose class occurs once among the scene's *described* objects.

    Args:
        annotations: With ``scene_id``, ``object_id`` and ``object_name``.
        nyu40: NYU40 id of a raw category's name (columns 2 and 5 of
            ``scannetv2-labels.combined.tsv``).
    """

    def label(item: Mapping[str, Any]) -> int:
        found = nyu40.get(item["object_name"].replace("_", " "), _OTHER)
        return found if found in _KEPT else _OTHER

    # The first annotation of an object determines its type.
    objects: dict[tuple[str, str], int] = {}
    for item in annotations:
        objects.setdefault((item["scene_id"], item["object_id"]), label(item))
    counts = Counter((scene, kind) for (scene, _), kind in objects.items())
    return [
        "unique" if counts[item["scene_id"], label(item)] == 1 else "multiple"
        for item in annotations
    ]
