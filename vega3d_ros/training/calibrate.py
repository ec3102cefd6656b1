"""The presences above which an object counts as here, chosen on clips that none was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.progress import track

from vega3d_ros.perception.perceiver import Perceiver
from vega3d_ros.simulation.visibility import GLIMPSED_PIXELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from vega3d_ros.models.checkpoints.modules import Modules
    from vega3d_ros.simulation.dataset import ClipDataset

_CANDIDATES = np.linspace(0.02, 0.99, 98)


def calibrate(modules: Modules, clips: ClipDataset, which: Iterable[int]) -> None:
    """Set the two thresholds of ``settings``.

    ``threshold`` decides about a description that somebody asks for: the largest mean of the two
    recalls (present ones found, absent ones refused). ``listing_threshold`` decides about every
    known label in every clip, where most are absent: the largest F1 of the labels found.
    """
    perceiver = Perceiver(modules)
    perceiver.listing_threshold = 0.0  # everything that could be listed
    asked: list[tuple[float, bool]] = []
    listed: list[tuple[float, bool]] = []
    for i in track(list(which), description="calibrate"):
        scene, truth = perceiver.observe(clips.frames(i)), clips.truths[i]
        queries = truth["referring"]
        matches = scene.likeliest_all([query["text"] for query in queries])
        asked += [(m.score, bool(q["objects"])) for m, q in zip(matches, queries, strict=True)]
        noticed = {
            item["label"]
            for item in truth["objects"]
            if max(item["visible_pixels"]) >= GLIMPSED_PIXELS
        }
        scores: dict[str, float] = {}
        for item in scene.objects:
            scores[item.query] = max(item.score, scores.get(item.query, 0.0))
        listed += [(scores.get(label, 0.0), label in noticed) for label in perceiver.queries]
    modules.settings["threshold"] = _best(_balanced_recall, asked)
    modules.settings["listing_threshold"] = _best(_f1, listed)


def _best(
    measure: Callable[[NDArray[np.bool_], NDArray[np.bool_]], float],
    scored: list[tuple[float, bool]],
) -> float:
    """The threshold at which what is said (scores above it) measures best against what is here."""
    score, here = (np.array(column) for column in zip(*scored, strict=True))
    measured = [measure(score >= threshold, here) for threshold in _CANDIDATES]
    return round(float(_CANDIDATES[int(np.argmax(measured))]), 3)


def _balanced_recall(said: NDArray[np.bool_], here: NDArray[np.bool_]) -> float:
    return float(said[here].mean() + (~said)[~here].mean()) / 2


def _f1(said: NDArray[np.bool_], here: NDArray[np.bool_]) -> float:
    return float(2 * (said & here).sum() / max(1, said.sum() + here.sum()))
