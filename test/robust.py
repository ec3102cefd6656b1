"""Runs the numeric and the node tests as other machines would: `make test-robust`.

What a processor computes differs in its last bits by its vector unit and by the number of threads,
and how long it takes by what else runs. Each row of the matrix is one run of pytest. Rows that are
busy have a process on every core that does nothing but burn it.

`--only avx2 -- -k fusion` runs the rows whose name holds a word, with arguments for pytest.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOGS = ROOT / "build" / "robust"
PROCESSORS = {
    "own": {},
    "plain": {"ATEN_CPU_CAPABILITY": "default"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "onednn-avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
}
NUMERIC, NODES = "numeric and not ros", "ros"
# Ends with the process that started it, however that ends.
BURNER = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""


@dataclass(frozen=True)
class Row:
    """One run of pytest: its name, which tests, and on what a machine."""

    name: str
    tests: str
    threads: int
    busy: bool = False
    variables: dict[str, str] = field(default_factory=dict)


def matrix() -> list[Row]:
    rows = [
        Row(f"numeric-{processor}-{threads}", NUMERIC, threads, variables=variables)
        for processor, variables in PROCESSORS.items()
        for threads in (1, 2)
    ]
    rows += [Row(f"numeric-busy-{threads}", NUMERIC, threads, busy=True) for threads in (1, 2)]
    rows += [Row(f"nodes-busy-{threads}", NODES, threads, busy=True) for threads in (1, 2)]
    return rows


@contextmanager
def burning(count):
    """Processes that burn a core each."""
    burners = [subprocess.Popen([sys.executable, "-c", BURNER]) for _ in range(count)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def run(row: Row, arguments: list[str]) -> tuple[bool, str]:
    """Whether a row passes, and the last line that pytest says."""
    variables = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(row.threads),
        "MKL_NUM_THREADS": str(row.threads),
        **row.variables,
    }
    command = [sys.executable, "-m", "pytest", "-q", "-m", row.tests, *arguments]
    cores = len(os.sched_getaffinity(0))
    log = LOGS / f"{row.name}.log"
    with burning(cores if row.busy else 0), log.open("w") as output:
        code = subprocess.run(
            command, cwd=ROOT, env=variables, stdout=output, stderr=subprocess.STDOUT, check=False
        ).returncode
    lines = log.read_text(errors="replace").splitlines() or ["pytest said nothing"]
    for line in lines:
        if line.startswith(("FAILED", "ERROR")):
            print(f"    {line}", flush=True)
    return code in {0, 5}, lines[-1].strip("= ")  # 5: the arguments leave no test of this row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="rows whose name holds this word")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    given = parser.parse_args()
    rows = [row for row in matrix() if given.only in row.name]
    LOGS.mkdir(parents=True, exist_ok=True)
    results = []
    for row in rows:
        print(f"== {row.name}", flush=True)
        begin_s = time.monotonic()
        passed, said = run(row, given.pytest)
        results.append((row, passed, said, time.monotonic() - begin_s))
    print(f"\n{'row':<24}{'threads':>8}{'busy':>6}{'seconds':>9}  result")
    for row, passed, said, seconds in results:
        busy = "yes" if row.busy else "no"
        told = f"{'passed' if passed else 'FAILED'}: {said}"
        print(f"{row.name:<24}{row.threads:>8}{busy:>6}{seconds:>9.0f}  {told}")
    failed = sum(not passed for _, passed, _, _ in results)
    if failed or not results:
        print(f"{failed} of {len(results)} rows failed; their output is in {LOGS}")
    return int(failed > 0 or not results)


if __name__ == "__main__":
    sys.exit(main())
