"""How long a model for real cameras takes on this machine's processor.

    python benchmarks/photo_cpu.py --bag BAG [--models photo-cpu] [--threads 1 2] [--out FOLDER]

Plays a recording's keyframes to each model as the node does, clips of eight that slide by one
keyframe, and times each new keyframe (detector and depth to voxels) and the objects of each clip.
Writes ``photo_cpu.json`` and ``photo_cpu.md``.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import measure
import numpy as np
from rich.progress import track

from vega3d_ros.core import threads as pool
from vega3d_ros.core.frames import ClipBuffer
from vega3d_ros.models.checkpoints.load_model import load_model
from vega3d_ros.perception.perceiver import Perceiver
from vega3d_ros.sensing.bags.reader import open_bag, read_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vega3d_ros.core.frames import Clip

FRAMES = 8
GOALS_S = {"new keyframe": 0.25, "objects of a clip": 0.3}


def clips_of(bag: Path, most: int) -> list[Clip]:
    """The first clips of a recording; each has one keyframe that the one before has not."""
    buffer, clips = ClipBuffer(FRAMES, FRAMES), []
    with open_bag(bag) as opened:
        for frame in read_frames(opened, opened.find_topics()):
            if buffer.add(frame) and (clip := buffer.clip()) is not None:
                clips.append(clip)
            if len(clips) == most:
                break
    return clips


def seconds_of(perceiver: Perceiver, clips: Sequence[Clip], title: str) -> dict[str, list[float]]:
    """Seconds of every call. The first clip warms up and is not counted."""
    perceiver.observe(clips[0])
    spent: dict[str, list[float]] = {name: [] for name in GOALS_S}
    for clip in track(clips[1:], title, transient=True):
        begin_s = time.perf_counter()
        scene = perceiver.observe(clip)
        seen_s = time.perf_counter()
        _ = scene.objects
        spent["new keyframe"].append(seen_s - begin_s)
        spent["objects of a clip"].append(time.perf_counter() - seen_s)
    return spent


def main() -> int:
    """Measure, print and write; returns the exit status."""
    parser = argparse.ArgumentParser(description="Time a photo model on this processor.")
    parser.add_argument("--bag", type=Path, required=True, help="a recording, best with depth")
    parser.add_argument("--models", nargs="+", default=["photo-cpu"], help="names or folders")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--clips", type=int, default=100, help="of the recording (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    args = parser.parse_args()

    clips = clips_of(args.bag, args.clips)
    if len(clips) < 2:
        parser.error(f"{args.bag} has fewer than two keyframes")
    about = measure.machine("cpu") | {"recording": args.bag.resolve().name}
    del about["threads"]  # a column
    report = measure.Report(args.out / "photo_cpu", about)
    for model in args.models:
        for threads in args.threads:
            pool.set_threads(threads)
            perceiver = Perceiver.of(load_model(model, threads=threads))
            spent = seconds_of(perceiver, clips, f"{model}, {threads} thread(s)")
            for call, seconds in spent.items():
                report.add(
                    "seconds",
                    model=model,
                    threads=threads,
                    call=call,
                    median=float(np.median(seconds)),
                    p90=float(np.percentile(seconds, 90)),
                    goal=GOALS_S[call],
                    calls=len(seconds),
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
