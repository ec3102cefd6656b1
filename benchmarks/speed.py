"""How fast the prior and the whole pipeline are, against the official protocol and the hardware.

    python benchmarks/speed.py --size nano                        # a CPU
    python benchmarks/speed.py --size 1.3b 7b 3b --device cuda    # one GPU, ten minutes

Weights are random, of true sizes, made in place. Every section has its share of ``--budget``. What
was measured is saved as it comes, so that a run that is cut short has its tables; what fails is
noted there, and the rest goes on.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import measure
import pipeline_speed
import prior_speed
import torch
from sizes import SIZES

if TYPE_CHECKING:
    from collections.abc import Callable

    from sizes import Size

T = TypeVar("T")

SECTIONS = {
    "prior": prior_speed.measure_priors,
    "pipeline": pipeline_speed.measure_pipeline,
    "memory": pipeline_speed.measure_memory,
    "compiled": prior_speed.measure_compiled,
}
# Shares of the budget; what a section leaves over goes to those after it. Compilation comes last,
# because how long it takes nobody knows.
SHARES = {"prior": 3.0, "pipeline": 1.0, "memory": 1.4, "compiled": 3.0}


@dataclass(frozen=True)
class Run:
    """What the sections share.

    Attributes:
        name: Of the size.
        device: Where.
        dtype: Of the weights.
        turns_s: Longest time that the forms of one row group take turns.
        keyframes: How many the memory is followed over.
        profile: Write which kernels the prior spends its time in.
        report: Takes the rows.
        ceiling: Operations per second of a matrix product, of ``dtype``.
        failures: What failed.
    """

    name: str
    device: str
    dtype: torch.dtype
    turns_s: float
    keyframes: int
    profile: bool
    report: measure.Report
    ceiling: float
    failures: list[str] = field(default_factory=list)

    @property
    def size(self) -> Size:
        """What is measured."""
        return SIZES[self.name]

    @property
    def on_gpu(self) -> bool:
        """Whether it runs on a GPU."""
        return self.device.startswith("cuda")

    def attempt(self, what: str, call: Callable[[], T]) -> T | None:
        """Call; a failure is told and counted, so that the rest is measured all the same."""
        try:
            return call()
        except Exception as error:  # noqa: BLE001 (told, counted, and the exit status says it)
            traceback.print_exc()
            self.failures.append(what)
            said = str(error).partition("\n")[0]
            self.report.note(f"{what} failed: {type(error).__name__}: {said}")
            return None


def tasks(sizes: list[str], sections: list[str]) -> list[tuple[str, str]]:
    """Sizes and sections in the order in which they are measured."""
    found = []
    for size in sizes:
        language = SIZES[size].language is not None
        alone = not language or size in {"tiny", "nano"}
        fitting = {"prior": alone, "pipeline": language, "memory": language, "compiled": alone}
        found += [(size, name) for name in SECTIONS if name in sections and fitting[name]]
    return sorted(found, key=lambda task: task[1] == "compiled")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", nargs="+", choices=SIZES, default=["nano"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="default: by device")
    parser.add_argument("--threads", type=int, help="CPU threads (default: PyTorch's)")
    parser.add_argument(
        "--sections", nargs="+", choices=SHARES, help="default: all; on a CPU all but compiled"
    )
    parser.add_argument("--budget", type=float, default=510.0, help="seconds for all (510)")
    parser.add_argument(
        "--turns", type=float, default=12.0, help="seconds that forms take turns at most (12)"
    )
    parser.add_argument(
        "--keyframes", type=int, default=1000, help="over which memory is followed (1000)"
    )
    parser.add_argument("--profile", action="store_true", help="write the prior's kernels too")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    args = parser.parse_args()
    args.on_gpu = args.device.startswith("cuda")
    args.dtype = args.dtype or ("bfloat16" if args.on_gpu else "float32")
    all_here = [name for name in SHARES if args.on_gpu or name != "compiled"]
    args.sections = args.sections or all_here
    return args


def main() -> int:
    """Measure, print and write; returns the exit status."""
    args = _arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[args.dtype]
    started = time.monotonic()
    about = measure.machine(args.device)
    highest = measure.ceiling(args.device, dtype)
    about |= {
        "command": " ".join(["python benchmarks/speed.py", *sys.argv[1:]]),
        "dtype": args.dtype,
        f"matrix product of {args.dtype}, TFLOP/s": highest / 1e12,
    }
    report = measure.Report(args.out / f"speed_{'_'.join(args.size)}", about)
    failures: list[str] = []
    todo = tasks(args.size, args.sections)
    for index, (size, section) in enumerate(todo):
        run = Run(
            size, args.device, dtype, args.turns, args.keyframes, args.profile, report, highest,
            failures,
        )  # fmt: skip
        left = args.budget - (time.monotonic() - started)
        share = SHARES[section] / sum(SHARES[other] for _, other in todo[index:])
        until = time.monotonic() + max(0.0, left) * share
        run.attempt(f"{size} {section}", lambda: SECTIONS[section](run, until))  # noqa: B023
        measure.free()
    report.note(f"all took {time.monotonic() - started:.0f} s")
    print(f"written to {report.path}.json and .md")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
