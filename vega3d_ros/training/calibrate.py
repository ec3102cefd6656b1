"""The presence thresholds of a model, chosen on clips that it was not trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.core.console import track
from vega3d_ros.perception.perceiver import Perceiver
from vega3d_ros.simulation.visibility import visible_objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from vega3d_ros.models.checkpoints.modules import Modules
    from vega3d_ros.simulation.dataset import ClipDataset

_CANDIDATES = np.linspace(0.02, 0.99, 98)
_UNDECIDED = 0.5


def calibrate(modules: Modules, clips: ClipDataset, which: Iterable[int]) -> None:
    """Set the two thresholds of ``settings``.

    ``threshold`` applies to a description that is asked for: it maximises the mean of two recalls
    (present objects found, absent ones refused). ``listing_threshold`` applies to every known
    label in every clip, where most are absent: it maximises the F1 of the labels found.
    """
    perceiver = Perceiver(modules)
    perceiver.listing_threshold = 0.0  # everything that could be listed
    asked: list[tuple[float, bool]] = []
    listed: list[tuple[float, bool]] = []
    chosen = list(which)
    for i in track(chosen, "calibrate", len(chosen)):
        scene, truth = perceiver.observe(clips.frames(i)), clips.truths[i]
        queries = truth["referring"]
        matches = scene.likeliest_all([query["text"] for query in queries])
        asked += [(m.score, bool(q["objects"])) for m, q in zip(matches, queries, strict=True)]
        visible = {item["label"] for item in visible_objects(truth["objects"])}
        scores: dict[str, float] = {}
        for item in scene.objects:
            scores[item.query] = max(item.score, scores.get(item.query, 0.0))
        listed += [(scores.get(label, 0.0), label in visible) for label in perceiver.queries]
    modules.settings["threshold"] = _best_threshold(_balanced_recall, asked)
    modules.settings["listing_threshold"] = _best_threshold(_f1, listed)


def _best_threshold(
    measure: Callable[[NDArray[np.bool_], NDArray[np.bool_]], float],
    scored: list[tuple[float, bool]],
) -> float:
    """The threshold whose decisions (scores from it on) measure best against presence.

    One half where nothing is present or nothing absent, as in very few clips.
    """
    score = np.array([score for score, _ in scored])
    present = np.array([present for _, present in scored], bool)
    if present.all() or not present.any():
        return _UNDECIDED
    measured = [measure(score >= threshold, present) for threshold in _CANDIDATES]
    return round(float(_CANDIDATES[int(np.argmax(measured))]), 3)


def _balanced_recall(decided: NDArray[np.bool_], present: NDArray[np.bool_]) -> float:
    return float(decided[present].mean() + (~decided)[~present].mean()) / 2


def _f1(decided: NDArray[np.bool_], present: NDArray[np.bool_]) -> float:
    return float(2 * (decided & present).sum() / max(1, decided.sum() + present.sum()))
