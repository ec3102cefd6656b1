"""How long nano takes on this machine's processor.

    python benchmarks/nano_cpu.py [--model nano] [--threads 1 2] [--repeats 20] [--out FOLDER]

Measured are the calls that a robot's program makes: a clip of eight new frames, the same clip
moved on by one keyframe, and what is asked of it then. Writes ``nano_cpu.json`` and
``nano_cpu.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from vega3d_ros import __version__
from vega3d_ros.core.frames import Camera, Clip, Frame
from vega3d_ros.core.geometry import SE3
from vega3d_ros.core.token_grid import BODY_FROM_OPTICAL
from vega3d_ros.perception.perceiver import Perceiver

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
FRAMES = 8
GOALS_S = {"cold clip": 0.5, "new keyframe": 0.1, "question": 0.2}
QUESTION = "How many chairs are in the video?"
DESCRIPTION = "the largest chair"


@dataclass(frozen=True)
class Timing:
    """Seconds of one call, over its repeats."""

    what: str
    threads: int
    median_s: float
    p90_s: float
    goal_s: float | None


def frame(number: int) -> Frame:
    """A posed frame with depth; its content does not matter to the time it takes."""
    rng = np.random.default_rng(number)
    image = rng.integers(0, 256, (168, 224, 3), dtype=np.uint8)
    depth = rng.uniform(1, 4, (168, 224)).astype(np.float32)
    return Frame(
        number * 500_000_000,
        image,
        "camera_color_optical_frame",
        Camera(width=224, height=168, fx=200.0, fy=200.0, cx=111.5, cy=83.5),
        depth_m=depth,
        pose=SE3(BODY_FROM_OPTICAL, np.array([0.1 * number, 0.0, 1.0])),
        fixed_frame="map",
    )


def timed(spent: dict[str, list[float]], what: str, call: Callable[[], T]) -> T:
    """Call and note the seconds that it took."""
    start = time.perf_counter()
    result = call()
    spent.setdefault(what, []).append(time.perf_counter() - start)
    return result


def one_round(perceiver: Perceiver, first: int, spent: dict[str, list[float]]) -> None:
    """Every call once, on frames that were never seen."""
    frames = tuple(frame(first + i) for i in range(FRAMES + 1))
    cold, moved_on = Clip(frames[:-1]), Clip(frames[1:])
    perceiver.reset()
    timed(spent, "cold clip", lambda: perceiver.observe(cold))
    scene = timed(spent, "new keyframe", lambda: perceiver.observe(moved_on))
    timed(spent, "all default objects", lambda: scene.objects)
    timed(spent, "question", lambda: scene.ask(QUESTION))
    timed(spent, "description", lambda: scene.ground(DESCRIPTION))


def measure(perceiver: Perceiver, threads: int, repeats: int) -> list[Timing]:
    """Time every call ``repeats`` times with ``threads`` threads, after one round to warm up."""
    torch.set_num_threads(threads)
    one_round(perceiver, 0, {})
    spent: dict[str, list[float]] = {}
    for number in track(range(repeats), f"{threads} thread(s)", transient=True):
        one_round(perceiver, (number + 1) * (FRAMES + 1), spent)
    return [
        Timing(
            what,
            threads,
            float(np.median(seconds)),
            float(np.percentile(seconds, 90)),
            GOALS_S.get(what),
        )
        for what, seconds in spent.items()
    ]


def machine() -> dict[str, str | int | float]:
    """What the figures depend on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].split(":", 1)[1].strip() if names else cpu
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "load_average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "vega3d_ros": __version__,
    }


def table(timings: list[Timing]) -> Table:
    """For the terminal."""
    shown = Table(title="nano on a CPU")
    for heading in ("call", "threads", "median", "90 %", "goal", "of the goal"):
        shown.add_column(heading, justify="left" if heading == "call" else "right")
    for row in timings:
        shown.add_row(*cells(row))
    return shown


def cells(row: Timing) -> tuple[str, ...]:
    """A row of either table."""
    goal = ("-", "-")
    if row.goal_s is not None:
        verdict = "reached" if row.median_s <= row.goal_s else "missed"
        goal = (f"{row.goal_s:.1f} s", f"{row.median_s / row.goal_s:.2f} x, {verdict}")
    return row.what, str(row.threads), f"{row.median_s:.3f} s", f"{row.p90_s:.3f} s", *goal


def markdown(timings: list[Timing], about: dict[str, str | int | float], repeats: int) -> str:
    """For a document."""
    conditions = (
        f"{about['cpu']}, {about['cores']} cores, load {about['load_average']} at the start; "
        f"torch {about['torch']}, float32, median of {repeats}."
    )
    lines = [
        conditions,
        "",
        "| call | threads | median | 90 % | goal | of the goal |",
        "|---|---:|---:|---:|---:|---|",
    ]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in timings]
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description="Time nano on this machine's processor.")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, torch.get_num_threads()])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    args = parser.parse_args()

    about = machine()
    perceiver = Perceiver.from_pretrained(args.model)
    timings = [
        row
        for threads in dict.fromkeys(args.threads)
        for row in measure(perceiver, threads, args.repeats)
    ]
    args.out.mkdir(parents=True, exist_ok=True)
    document = {"machine": about, "repeats": args.repeats, "timings": [asdict(r) for r in timings]}
    (args.out / "nano_cpu.json").write_text(json.dumps(document, indent=1) + "\n")
    (args.out / "nano_cpu.md").write_text(markdown(timings, about, args.repeats))
    console = Console()
    console.print(table(timings))
    console.print(f"{about['cpu']}, load {about['load_average']}; written to {args.out}")


if __name__ == "__main__":
    main()
