"""The presence above which an object counts as here, chosen on clips that none was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rich.progress import track

from vega3d_ros.perceiver import Perceiver

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vega3d_ros.checkpoint import Modules
    from vega3d_ros.simulation.dataset import ClipDataset


def calibrate(modules: Modules, clips: ClipDataset, which: Iterable[int]) -> None:
    """Set ``settings["threshold"]`` where present and absent descriptions are told apart best.

    Best is the largest mean of the two recalls (present descriptions found, absent ones refused).
    """
    perceiver = Perceiver(modules)
    scores: list[float] = []
    present: list[bool] = []
    for i in track(list(which), description="calibrate"):
        scene = perceiver.observe(clips.frames(i))
        asked = clips.truths[i]["referring"]
        located = scene.locate_all([query["text"] for query in asked])
        scores += [place.score for place in located]
        present += [bool(query["objects"]) for query in asked]
    score, here = np.array(scores), np.array(present)
    candidates = np.linspace(0.05, 0.95, 91)
    recall = [((score >= t)[here].mean() + (score < t)[~here].mean()) / 2 for t in candidates]
    modules.settings["threshold"] = round(float(candidates[int(np.argmax(recall))]), 3)
