"""How fast the prior and the whole pipeline are, against the official protocol and the hardware.

    python benchmarks/speed.py --size nano                        # a CPU
    python benchmarks/speed.py --size 1.3b 7b 3b --device cuda    # one GPU, ten minutes

Weights are random, of true sizes, made in place. Every section has its share of ``--budget`` and
what was measured is saved as it comes, so that a run that is cut short has its tables.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import measure
import pipeline_speed
import prior_speed
import torch
from sizes import SIZES, PriorSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from sizes import Size

# Share of the budget; what a section leaves over goes to those after it.
SHARES = {"prior": 0.5, "pipeline": 0.4, "memory": 0.1}


@dataclass(frozen=True)
class Run:
    """What the sections share.

    Attributes:
        name: Of the size.
        size: What is measured.
        device: Where.
        dtype: Of the weights.
        compiled: Measure ``torch.compile`` too.
        turns_s: Longest time that the forms of one row group take turns.
        keyframes: How many the memory is followed over.
        profile: Write which kernels the prior spends its time in.
        report: Takes the rows.
        ceiling: Operations per second of a matrix product, of ``dtype``.
    """

    name: str
    size: Size
    device: str
    dtype: torch.dtype
    compiled: bool
    turns_s: float
    keyframes: int
    profile: bool
    report: measure.Report
    ceiling: float


def sections(run: Run) -> dict[str, Callable[[float], None]]:
    """What is measured at a size, by name; each is told when to stop."""
    source = PriorSource(run.size, run.device, run.dtype)
    found = {}
    if run.size.language is None or run.name in {"tiny", "nano"}:
        found["prior"] = lambda until: prior_speed.measure_priors(run, source, until)
    if run.size.language is not None:
        found["pipeline"] = lambda until: pipeline_speed.measure_pipeline(run, source, until)
        found["memory"] = lambda until: pipeline_speed.measure_memory(run, source, until)
    return found


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", nargs="+", choices=SIZES, default=["nano"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="default: by device")
    parser.add_argument("--threads", type=int, help="CPU threads (default: PyTorch's)")
    parser.add_argument("--sections", nargs="+", choices=SHARES, default=list(SHARES))
    parser.add_argument("--budget", type=float, default=540.0, help="seconds for all (540)")
    parser.add_argument(
        "--turns", type=float, default=12.0, help="seconds that forms take turns at most (12)"
    )
    parser.add_argument(
        "--keyframes", type=int, default=1000, help="over which memory is followed (1000)"
    )
    parser.add_argument("--profile", action="store_true", help="write the prior's kernels too")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    on_gpu = args.device.startswith("cuda")
    name = args.dtype or ("bfloat16" if on_gpu else "float32")
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]

    started = time.monotonic()
    about = measure.machine(args.device)
    highest = measure.ceiling(args.device, dtype)
    about |= {
        "command": " ".join(["python benchmarks/speed.py", *sys.argv[1:]]),
        "dtype": name,
        f"matrix product of {name}, TFLOP/s": highest / 1e12,
    }
    report = measure.Report(args.out / f"speed_{'_'.join(args.size)}", about)
    # The prior alone has many configurations and is compiled; the others have one.
    weights = [3.0 if SIZES[size].language is None else 1.0 for size in args.size]
    for index, size in enumerate(args.size):
        run = Run(
            name=size,
            size=SIZES[size],
            device=args.device,
            dtype=dtype,
            compiled=on_gpu and not args.no_compile,
            turns_s=args.turns,
            keyframes=args.keyframes,
            profile=args.profile,
            report=report,
            ceiling=highest,
        )
        left = args.budget - (time.monotonic() - started)
        end = time.monotonic() + left * weights[index] / sum(weights[index:])
        found = {name: call for name, call in sections(run).items() if name in args.sections}
        for position, measured in enumerate(found.values()):
            shares = [SHARES[section] for section in list(found)[position:]]
            now = time.monotonic()
            measured(now + max(0.0, end - now) * shares[0] / sum(shares))
            measure.free()
        del found, run
        measure.free()
    report.note(f"all took {time.monotonic() - started:.0f} s")
    print(f"written to {report.path}.json and .md")


if __name__ == "__main__":
    main()
