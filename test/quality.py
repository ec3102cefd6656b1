"""How good nano is on 24 small held-out clips, and how good it must stay.

    python test/quality.py           the figures of now beside their bounds
    python test/quality.py store     writes today's figures and bounds to test/data/quality.json

Columns are value, bound and count. A bound is three standard errors (clips resampled) below the
value, above it for what is better the lower. The clips are rendered anew; they hold furniture
built of primitives alone, and are few: for figures to publish, see docs/nano.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from vega3d_ros.core.json_io import write_json
from vega3d_ros.evaluation.sim_eval import SceneModel, evaluate, summarise
from vega3d_ros.perception.perceiver import Perceiver
from vega3d_ros.simulation.clips import ClipFactory
from vega3d_ros.simulation.questions import KINDS

CLIPS, SEED = 24, 14
FILE = Path(__file__).parent / "data" / "quality.json"
_FIGURES = (
    "labels: best token on the object",
    "labels: Acc@0.25",
    "descriptions: best token on the object",
    "descriptions: Acc@0.25",
    "thick: Acc@0.25",
    "thick: Acc@0.5",
    "not here: said of absent (right)",
    "not here: said of present (wrong)",
    "unknown: said of unanswerable (right)",
    "unknown: said of answerable (wrong)",
    *KINDS,
)
_STANDARD_ERRORS = 2 * 1.96  # in a 95 % interval


def measured() -> dict[str, dict[str, float]]:
    """Value, bound and number of measurements of each figure, of nano with and without depth.

    Raises:
        RenderError: If rendering is impossible here.
    """
    factory = ClipFactory("heldout", SEED)
    nano = Perceiver.from_pretrained("nano")
    nano.queries = ()  # only the text of answers is scored
    models = [SceneModel(arm, nano, depth=arm == "depth") for arm in ("depth", "no depth")]
    *_, results = evaluate(models, map(factory.clip, range(CLIPS)))
    figures = {}
    for result in results:
        found = summarise(result)
        for name in _FIGURES:
            one = found[name]
            off = 3 * (one.high - one.low) / _STANDARD_ERRORS
            bound = one.value + off if name.endswith("(wrong)") else one.value - off
            figures[f"{result.name}, {name}"] = {
                "value": round(one.value, 4),
                "bound": round(bound, 4),
                "count": one.count,
            }
    return figures


def fallen(figures: dict[str, dict[str, float]]) -> list[str]:
    """Figures beyond their stored bounds, each in words."""
    told = []
    for name, known in json.loads(FILE.read_text()).items():
        value, bound, was = figures[name]["value"], known["bound"], known["value"]
        if value > bound if name.endswith("(wrong)") else value < bound:
            told.append(f"{name}: {value:.3f} is beyond {bound:.3f} (was {was:.3f})")
    return told


def main() -> int:
    figures = measured()
    if sys.argv[1:] == ["store"]:  # a bound that no figure can pass holds nothing
        write_json(FILE, {name: one for name, one in figures.items() if 0 < one["bound"] < 1})
    for name, known in json.loads(FILE.read_text()).items():
        one = figures[name]
        print(f"{name:<57}{one['value']:>6.3f}{known['bound']:>8.3f}{one['count']:>5}")
    print(*fallen(figures), sep="\n")
    return bool(fallen(figures))


if __name__ == "__main__":
    sys.exit(main())
