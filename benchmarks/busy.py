"""How the demo fares while other processes keep the processor busy.

    python benchmarks/busy.py                       # nano beside 0, 1, 2 and 4 busy processes
    python benchmarks/busy.py --busy 0 2 --threads 2

Each row is one run of ``vega3d demo``. The share is that of the time in which the node's model had
something to compute and was given a core, as the kernel counts it. The ideal time is the one
measured beside no busy process, divided by the share; whoever else uses this machine is part of
every row, and the load average before each run tells of it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vega3d_ros.core.arguments import natural, thread_number
from vega3d_ros.evaluation.sources.live import read_recorded_outputs

BOUND_S = 2.0
GOAL = 1.5
_SAMPLE_S = 0.25
_BURN = "while True: pass"
_NODE = b"vega3d_ros.ros.perception_node"


class Used(NamedTuple):
    """What a thread or process was given so far, nanoseconds."""

    ran: int
    waited: int


@dataclass(frozen=True)
class Row:
    """A run of the demo.

    Attributes:
        busy: Busy processes beside it.
        load: Load average before it.
        latencies_s: From image to objects, of every scene.
        replies: Questions and relations that were answered, right or wrong.
        share: Of the time that the node's busiest thread wanted a core: how much it had one.
        cores: Cores that the node used on average while it was shown images.
    """

    busy: int
    load: float
    latencies_s: tuple[float, ...]
    replies: int
    share: float
    cores: float

    def quantile_s(self, share: float) -> float:
        """Of the latencies; NaN without a scene."""
        if not self.latencies_s:
            return float("nan")
        ordered = sorted(self.latencies_s)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]

    @property
    def in_time(self) -> float:
        """Share of the scenes that came within ``BOUND_S``."""
        within = sum(latency <= BOUND_S for latency in self.latencies_s)
        return within / max(1, len(self.latencies_s))


def node_of(demo: int) -> int | None:
    """The node's process, once the demo has started it."""
    for tasks in Path(f"/proc/{demo}/task").glob("*/children"):
        for child in map(int, tasks.read_text().split()):
            if _NODE in Path(f"/proc/{child}/cmdline").read_bytes():
                return child
    return None


def used(process: int) -> dict[int, Used]:
    """What each thread of a process was given, by its number."""
    found = {}
    for file in Path(f"/proc/{process}/task").glob("*/schedstat"):
        ran, waited, _ = file.read_text().split()
        found[int(file.parent.name)] = Used(int(ran), int(waited))
    return found


def watch(demo: subprocess.Popen[bytes], out: Path) -> tuple[float, float]:
    """Follow a demo to its end; returns the share and the cores of :class:`Row`."""
    first: dict[int, Used] = {}
    last: dict[int, Used] = {}
    begin_s = end_s = 0.0
    while demo.poll() is None:
        time.sleep(_SAMPLE_S)
        try:
            # The node's output is recorded from the first image on; the model is loaded by then.
            node = node_of(demo.pid) if (out / "output_bag").is_dir() else None
            now = {} if node is None else used(node)
        except OSError:
            continue  # one of them has just ended
        if now and not first:
            first, begin_s = now, time.monotonic()
        if now:
            last, end_s = {**last, **now}, time.monotonic()
    none = Used(0, 0)
    spent = [
        Used(*(b - a for a, b in zip(first.get(thread, none), total, strict=True)))
        for thread, total in last.items()
    ]
    if not spent:
        return float("nan"), float("nan")
    model = max(spent)
    share = model.ran / max(1, model.ran + model.waited)
    return share, sum(one.ran for one in spent) * 1e-9 / max(1e-9, end_s - begin_s)


def run_demo(busy: int, out: Path, options: list[str]) -> Row:
    """Run the demo beside busy processes; ends this program where it fails."""
    load = os.getloadavg()[0]
    with ExitStack() as stack:
        for _ in range(busy):
            process = subprocess.Popen([sys.executable, "-c", _BURN])
            stack.callback(process.wait)
            stack.callback(process.kill)
        command = [sys.executable, "-m", "vega3d_ros.cli", "demo", "--out", str(out), *options]
        with (out.parent / f"{out.name}.log").open("wb") as log:
            demo = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            share, cores = watch(demo, out)
    if demo.returncode:
        sys.exit(f"the demo failed with status {demo.returncode}; see {log.name}")
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    scenes = read_recorded_outputs(out / "output_bag").scenes
    return Row(
        busy,
        load,
        tuple(scene.latency_ms * 1e-3 for scene in scenes),
        report["answers"] + report["relations"],
        share,
        cores,
    )


def line(row: Row, alone: Row) -> str:
    """A row of the Markdown table."""
    median, late = row.quantile_s(0.5), row.quantile_s(0.95)
    ideal = alone.quantile_s(0.5) * alone.share / row.share
    return (
        f"| {row.busy} | {row.load:.1f} | {median:.2f} s | {late:.2f} s | {ideal:.2f} s "
        f"| {median / ideal:.2f} | {len(row.latencies_s)} | {row.in_time:.0%} "
        f"| {row.replies} | {row.share:.0%} | {row.cores:.2f} |"
    )


def main() -> None:
    """Run the demos and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--busy", type=natural, nargs="+", default=[0, 1, 2, 4], metavar="N")
    parser.add_argument("--model", default="nano", help="as in vega3d demo (%(default)s)")
    parser.add_argument("--threads", type=thread_number, default=0, help="(%(default)s)")
    parser.add_argument("--seconds", type=float, help="of the recording; left out: all")
    parser.add_argument("--out", type=Path, help="folder that keeps the reports")
    args = parser.parse_args()
    options = ["--model", args.model, "--threads", str(args.threads)]
    options += [] if args.seconds is None else ["--seconds", str(args.seconds)]
    print(f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}; goal <= {GOAL} x ideal\n")
    print(
        "| busy | load before | median | 95 % | ideal median | of the ideal | scenes "
        f"| within {BOUND_S:.0f} s | replies | share of the model | cores of the node |"
    )
    print("|---:" * 11 + "|")
    with tempfile.TemporaryDirectory() as scratch:
        out = args.out or Path(scratch)
        out.mkdir(parents=True, exist_ok=True)
        alone: Row | None = None
        for busy in sorted({0, *args.busy}):  # the ideal needs the run alone
            row = run_demo(busy, out / f"busy_{busy}", options)
            alone = alone or row
            print(line(row, alone), flush=True)


if __name__ == "__main__":
    main()
