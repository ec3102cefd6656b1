"""How well and how fast 2D detections become boxes, beside the recipes in use elsewhere.

    MUJOCO_GL=egl python benchmarks/lifting.py                 # held-out rooms, all recipes
    MUJOCO_GL=egl python benchmarks/lifting.py --sensitivity   # training rooms, each parameter

Simulated rooms of primitives, 640x480, clips of 8; the detector is planted: true boxes of visible
pixels, spoilt at the rates that the table's head names. Parameters are chosen on the split
"train", recipes compared on "heldout". Overlap is that of the axis-aligned bounds, so that recipes
without a heading are not scored for it; "oriented" heeds the heading.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import measure
import naive_lifting
import numpy as np
from lifting_rooms import FRAMES, LABELS, RoomClip, room_clips, worn

from vega3d_ros.core.geometry import Box3D, iou_axis_aligned, iou_oriented
from vega3d_ros.models.grounders.lifted import LiftedGrounder, LiftingRules
from vega3d_ros.models.grounders.lifted.boxes import BoxRules
from vega3d_ros.simulation.planted_detector import PlantedDetector, PlantedErrors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vega3d_ros.core.frames import Clip
    from vega3d_ros.models.grounders.lifted.evidence import FrameEvidence

_LISTED = 0.5  # things of a higher score are listed
SENSORS = {"exact": (0.0, 0.0), "worn": (0.02, 0.05)}
VARIATIONS: dict[str, tuple[float, ...]] = {
    "floor_band_m": (0.03, 0.06, 0.10),
    "cell_m": (0.05, 0.10, 0.15),
    "association": (0.1, 0.2, 0.25, 0.35, 0.5),
    "around_core": (0.0, 0.3, 0.5, 0.7, 1.0),
    "accepted": (0.4, 0.5, 0.6, 0.65, 0.7, 0.8),
    "same_share": (0.15, 0.3, 0.45, 0.6),
    "double_share": (0.3, 0.5, 0.7),
    "like_volume": (0.3, 0.5, 0.7),
    "least_voxels": (4, 8, 16, 32),
    "box.footprint": (0.0, 0.01, 0.02, 0.04, 0.08),
    "box.height": (0.0, 0.01, 0.02, 0.05),
    "box.floor_gap_m": (0.1, 0.25, 0.4),
    "box.pad_m": (0.0, 0.01, 0.02),
    "box.rectangular": (0.2, 0.4, 0.6, 0.8),
}
"""What ``--sensitivity`` sets each parameter of ``LiftingRules`` to."""


class Found(Protocol):
    """A named box with a score."""

    @property
    def label(self) -> str:
        """Its name."""

    @property
    def box(self) -> Box3D:
        """The box."""

    @property
    def score(self) -> float:
        """In [0, 1]."""


@dataclass
class Tally:
    """What a recipe found, over clips."""

    overlaps: list[float] = field(default_factory=list)
    oriented: list[float] = field(default_factory=list)
    errors_m: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def add(self, clip: RoomClip, found: Sequence[Found]) -> None:
        """Compare what was found with what is there."""
        for truth in clip.truth:
            if not truth.shown:
                continue
            alike = [one for one in found if one.label == truth.label]
            overlaps = [iou_axis_aligned(one.box, truth.box) for one in alike]
            best = int(np.argmax(overlaps)) if alike else -1
            self.overlaps.append(overlaps[best] if alike else 0.0)
            self.oriented.append(iou_oriented(alike[best].box, truth.box) if alike else 0.0)
            if alike and overlaps[best] >= 0.1:
                self.errors_m.append(
                    float(np.linalg.norm(alike[best].box.center - truth.box.center))
                )
        taken: set[int] = set()
        for one in sorted(found, key=lambda one: -one.score):
            hits = [
                k
                for k, truth in enumerate(clip.truth)
                if k not in taken
                and truth.label == one.label
                and iou_axis_aligned(one.box, truth.box) >= 0.25
            ]
            taken.update(hits[:1])
            self.right.append(bool(hits))
            self.scores.append(one.score)

    def row(self) -> dict[str, Any]:
        """The figures, per cent but for metres and overlaps."""
        overlaps, right = np.array(self.overlaps), np.array(self.right, np.bool_)
        listed = np.array(self.scores) >= _LISTED
        return {
            "things": len(overlaps),
            "mean IoU": float(overlaps.mean()),
            "oriented": float(np.mean(self.oriented)),
            "Acc@0.25": 100 * float((overlaps >= 0.25).mean()),
            "Acc@0.5": 100 * float((overlaps >= 0.5).mean()),
            "centre m": float(np.median(self.errors_m)) if self.errors_m else None,
            "precision": 100 * float(right[listed].mean()) if listed.any() else None,
        }


def looked(grounder: LiftedGrounder, clip: Clip) -> tuple[list[FrameEvidence], float]:
    """Evidence of a clip's keyframes, and seconds of each."""
    start = time.process_time()
    evidence = [grounder.look(frame) for frame in clip.frames]
    return evidence, (time.process_time() - start) / FRAMES


def lifted(
    grounder: LiftedGrounder, clip: Clip, evidence: Sequence[FrameEvidence]
) -> tuple[list[Found], float]:
    """What the lifted grounder finds, and seconds of the clip."""
    start = time.process_time()
    found = grounder.find(clip, evidence, LABELS, 0.0)
    spent = time.process_time() - start
    return [one for of_text in found for one in of_text], spent


def clips_of(args: argparse.Namespace, split: str, sensor: str) -> list[RoomClip]:
    """The clips, through a sensor."""
    noise, holes = SENSORS[sensor]
    clips = []
    for index, clip in enumerate(room_clips(split, args.seed, args.clips)):
        seen = clip if sensor == "exact" else replace(
            clip, clip=worn(clip.clip, noise, holes, index)
        )  # fmt: skip
        clips.append(seen)
    return clips


def planted(clips: Sequence[RoomClip], seed: int) -> PlantedDetector:
    """A detector that knows the clips."""
    detector = PlantedDetector(LABELS, PlantedErrors(), seed)
    for clip in clips:
        clip.plant(detector)
    return detector


def compare(args: argparse.Namespace, report: measure.Report) -> None:
    """All recipes on held-out rooms."""
    naive: dict[str, Callable[..., list[naive_lifting.NaiveBox]]] = {
        "centre pixel, median": lambda c, d: naive_lifting.merged(
            c, d, naive_lifting.centre_pixel
        ),
        "median +- MAD": lambda c, d: naive_lifting.merged(c, d, naive_lifting.median_deviation),
        "percentiles": lambda c, d: naive_lifting.merged(c, d, naive_lifting.percentiles),
        "largest component, union, floor": naive_lifting.component,
    }
    for sensor in args.sensors:
        clips = clips_of(args, "heldout", sensor)
        detector = planted(clips, args.seed)
        for name, recipe in naive.items():
            tally, seconds = Tally(), 0.0
            for clip in clips:
                detections = detector.detect([frame.picture for frame in clip.clip.frames])
                start = time.process_time()
                found = recipe(clip.clip, detections)
                seconds += time.process_time() - start
                tally.add(clip, found)
            ms = {"ms a keyframe": None, "ms a clip": 1e3 * seconds / len(clips)}
            report.add("recipes", sensor=sensor, recipe=name, **tally.row(), **ms)
        seen = [looked(LiftedGrounder(detector), clip.clip) for clip in clips]
        tally = add_lifted(
            report, "recipes", clips, seen, LiftedGrounder(detector),
            sensor=sensor, recipe="voxel evidence",
        )  # fmt: skip
        calibration(report, tally, sensor)


def add_lifted(
    report: measure.Report,
    section: str,
    clips: Sequence[RoomClip],
    seen: Sequence[tuple[list[FrameEvidence], float]],
    grounder: LiftedGrounder,
    **head: Any,
) -> Tally:
    """A row of the lifted grounder."""
    tally = Tally()
    find_s = []
    for clip, (evidence, _) in zip(clips, seen, strict=True):
        found, spent = lifted(grounder, clip.clip, evidence)
        tally.add(clip, found)
        find_s.append(spent)
    ms = {
        "ms a keyframe": 1e3 * float(np.median([look_s for _, look_s in seen])),
        "ms a clip": 1e3 * float(np.median(find_s)),
    }
    report.add(section, **head, **tally.row(), **ms)
    return tally


def calibration(report: measure.Report, tally: Tally, sensor: str) -> None:
    """How often things of a score are right."""
    scores, right = np.array(tally.scores), np.array(tally.right)
    edges = np.linspace(0, 1, 6)
    for low, high in pairwise(edges):
        of_bin = (scores >= low) & (scores < high + (high == 1))
        if of_bin.sum() < 5:
            continue
        report.add(
            "scores",
            sensor=sensor,
            score=f"{low:.1f}-{high:.1f}",
            things=int(of_bin.sum()),
            mean=float(scores[of_bin].mean()),
            right=float(right[of_bin].mean()),
        )


def with_value(rules: LiftingRules, name: str, value: float) -> LiftingRules:
    """The rules with one parameter changed."""
    if name.startswith("box."):
        return replace(rules, box=replace(rules.box, **{name[4:]: value}))
    return replace(rules, **{name: value})


def sensitivity(args: argparse.Namespace, report: measure.Report) -> None:
    """Each parameter of the rules in turn, on training rooms."""
    chosen = LiftingRules()
    for sensor in args.sensors:
        clips = clips_of(args, "train", sensor)
        detector = planted(clips, args.seed)
        seen = [looked(LiftedGrounder(detector), clip.clip) for clip in clips]
        variants = [("as chosen", None, chosen)]
        for name in args.parameters or VARIATIONS:
            variants += [(name, v, with_value(chosen, name, v)) for v in VARIATIONS[name]]
        for name, value, rules in variants:
            if rules != chosen or value is None:
                add_lifted(
                    report, "sensitivity", clips, seen, LiftedGrounder(detector, rules=rules),
                    sensor=sensor, parameter=name, value=value,
                )  # fmt: skip


def main() -> int:
    """Measure, print and write; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=40, help="rooms (40)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sensors", nargs="+", choices=SENSORS, default=list(SENSORS))
    parser.add_argument("--sensitivity", action="store_true", help="vary each parameter")
    parser.add_argument("--parameters", nargs="+", choices=VARIATIONS, help="default: all")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    args = parser.parse_args()
    rates = ", ".join(f"{key} {value}" for key, value in asdict(PlantedErrors()).items())
    about = measure.machine("cpu") | {
        "command": " ".join(["python benchmarks/lifting.py", *sys.argv[1:]]),
        "detector": rates,
    }
    name = "lifting_sensitivity" if args.sensitivity else "lifting"
    report = measure.Report(args.out / name, about)
    (sensitivity if args.sensitivity else compare)(args, report)
    return 0


_PARAMETERS = {f.name for f in fields(LiftingRules)} | {f"box.{f.name}" for f in fields(BoxRules)}
assert set(VARIATIONS) <= _PARAMETERS, "a parameter that the rules do not have"

if __name__ == "__main__":
    sys.exit(main())
