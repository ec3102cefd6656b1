"""Figures of a run that need no truth: rates, latencies, stability of objects, the gate."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike

    from vega3d_ros.evaluation.run_log import RunLog, SceneRecord

PERCENTILES = (50, 90, 95, 99, 100)
UNDERSTOOD = "scene"
ANSWERED = "question to answer"


def run_figures(log: RunLog, read_s: float, wall_s: float) -> dict[str, Any]:
    """All figures of a run that need no truth; it took ``wall_s`` for ``read_s`` of the bag."""
    scenes = log.scenes
    counts = [len(scene.objects) for scene in scenes]
    return {
        "recording_s": round(read_s, 3),
        "wall_s": round(wall_s, 3),
        "scenes": len(scenes),
        "scenes_per_recorded_s": _ratio(len(scenes), read_s),
        "recorded_s_per_wall_s": _ratio(read_s, wall_s),
        "objects_per_scene": _spread(counts),
        "latency_ms": {name: percentiles(values) for name, values in latencies(log).items()},
        "stability": stability(scenes),
        "gate": gate_figures(scenes),
    }


def latencies(log: RunLog) -> dict[str, list[float]]:
    """Milliseconds of every stage, scene and answer."""
    found: dict[str, list[float]] = defaultdict(list)
    for scene in log.scenes:
        found[UNDERSTOOD].append(scene.latency_ms)
        for stage, spent_ms in scene.stages_ms.items():
            found[f"stage {stage}"].append(spent_ms)
    found[ANSWERED] = [reply.latency_ms for reply in log.replies if not reply.error]
    return {name: values for name, values in found.items() if values}


def percentiles(values: ArrayLike) -> dict[str, float | int]:
    """Percentiles of milliseconds, and their number."""
    array = np.asarray(values, np.float64)
    levels = {f"p{p}": round(float(np.percentile(array, p)), 2) for p in PERCENTILES}
    return {"count": len(array), **levels}


def stability(scenes: Sequence[SceneRecord]) -> dict[str, Any]:
    """How stable the ids and positions of objects are.

    Positions are those before tracking, where they are known. An id of one scene is a detection
    that was never confirmed. Results in the camera's frame, which moves, have no stable ids and
    are left out.
    """
    seen: dict[str, list[Any]] = defaultdict(list)
    for scene in scenes:
        if scene.frame_id == scene.camera_frame:
            continue
        for name, center in _named_centers(scene):
            seen[name].append(center)
    if not seen:
        return {"ids": 0}
    spreads = [
        float(np.sqrt(np.mean(np.sum((np.array(c) - np.mean(c, axis=0)) ** 2, axis=1))))
        for c in seen.values()
        if len(c) > 1
    ]
    steps = [
        float(np.linalg.norm(b - a)) for c in seen.values() if len(c) > 1 for a, b in pairwise(c)
    ]
    lengths = [len(c) for c in seen.values()]
    return {
        "ids": len(seen),
        "ids_of_one_scene": sum(length == 1 for length in lengths),
        "scenes_per_id": _spread(lengths),
        "position_spread_m": _spread(spreads),
        "position_step_m": _spread(steps),
    }


def _named_centers(scene: SceneRecord) -> Iterable[tuple[str, Any]]:
    if scene.names:
        kept = {item.id for item in scene.objects}
        pairs = zip(scene.names, scene.found, strict=True)
        return [(name, item.box.center) for name, item in pairs if name in kept]
    return [(item.id, item.box.center) for item in scene.objects if item.id]


def gate_figures(scenes: Sequence[SceneRecord]) -> dict[str, Any] | None:
    """The generative tokens' share over the run; None for a model without a gate."""
    means = [scene.gate_mean for scene in scenes if scene.gate_mean is not None]
    maps = [scene.gate for scene in scenes if scene.gate is not None]
    if not means or not maps:
        return None
    tokens = np.concatenate([gate.ravel() for gate in maps])
    low, middle, high = (float(v) for v in np.percentile(tokens, [5, 50, 95]))
    return {
        "scene_mean": _spread(means),
        "token_p5": round(low, 4),
        "token_p50": round(middle, 4),
        "token_p95": round(high, 4),
        "over_time": [round(v, 4) for v in means],
    }


def _spread(values: Sequence[float]) -> Mapping[str, float] | None:
    if not len(values):
        return None
    array = np.asarray(values, np.float64)
    return {
        "median": round(float(np.median(array)), 4),
        "mean": round(float(array.mean()), 4),
        "min": round(float(array.min()), 4),
        "max": round(float(array.max()), 4),
    }


def _ratio(a: float, b: float) -> float | None:
    return round(a / b, 3) if b > 0 else None
