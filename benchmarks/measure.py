"""Clocks, ceilings, counts of arithmetic, and tables that are saved as they grow."""

from __future__ import annotations

import gc
import json
import os
import platform
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.console import Console
from torch.utils.flop_counter import FlopCounterMode

from vega3d_ros import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

GIB = 2**30


def wait(device: str) -> None:
    """Until everything that was started is done."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def timed(call: Callable[[], object], device: str) -> float:
    """Seconds of one call."""
    wait(device)
    start = time.perf_counter()
    call()
    wait(device)
    return time.perf_counter() - start


def in_turn(
    calls: Mapping[str, Callable[[], object]], device: str, seconds: float, least: int = 3
) -> dict[str, float]:
    """Median seconds of each call; they take turns, so that all see the same machine.

    Every call runs once before, and then until the time is spent, ``least`` times at least.
    """
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        timed(call, device)
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(next(iter(spent.values()))) < least:
        for name, call in calls.items():
            spent[name].append(timed(call, device))
    return {name: float(np.median(seconds)) for name, seconds in spent.items()}


def growth_gib(call: Callable[[], object], device: str) -> float:
    """GPU memory that a call reaches beyond what is held before; 0 on a CPU, which cannot tell."""
    if not device.startswith("cuda"):
        call()
        return 0.0
    wait(device)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    wait(device)
    return (torch.cuda.max_memory_allocated() - before) / GIB


def held_mib(device: str) -> float:
    """Memory held now: tensors on a GPU, the resident set on a CPU."""
    if device.startswith("cuda"):
        return torch.cuda.memory_allocated() / 2**20
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def free() -> None:
    """Give back what nobody holds, before another model is built."""
    gc.collect()
    torch.compiler.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def count_flop(call: Callable[[], object]) -> dict[str, int]:
    """Floating-point operations of a call, two for each multiply-add, by PyTorch's operator.

    Run it on meta tensors.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call()
    return {str(name): int(count) for name, count in counter.get_flop_counts()["Global"].items()}


def ceiling(device: str, dtype: torch.dtype) -> float:
    """Operations per second of the best square matrix product."""
    best = 0.0
    for n in (4096, 8192) if device.startswith("cuda") else (1024, 2048):
        a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
        times = 20 if device.startswith("cuda") else 1

        def multiply(a: torch.Tensor = a, b: torch.Tensor = b, times: int = times) -> None:
            for _ in range(times):
                torch.mm(a, b)

        multiply()
        fastest = min(timed(multiply, device) for _ in range(5)) / times
        best = max(best, 2 * n**3 / fastest)
    return best


def machine(device: str) -> dict[str, Any]:
    """What the figures depend on."""
    about: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "cpu": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "vega3d_ros": __version__,
    }
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        about["cpu"] = names[0] if names else about["cpu"]
    if device.startswith("cuda"):
        about["gpu"] = torch.cuda.get_device_name()
        about["cuda"] = torch.version.cuda
        about["cudnn"] = torch.backends.cudnn.version()
    return about


@dataclass
class Report:
    """Tables by section, written whenever a row is added.

    Attributes:
        path: Without suffix; ``.json`` and ``.md`` are written.
        about: Machine, command and ceilings.
        sections: Rows by section; the rows of a section have the same columns.
        notes: What was left out, and why.
    """

    path: Path
    about: dict[str, Any]
    sections: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, section: str, **row: Any) -> None:
        """Add a row, print and save."""
        self.sections.setdefault(section, []).append(row)
        Console().print(
            f"[bold]{section}[/]", " | ".join(f"{k} {_text(v)}" for k, v in row.items())
        )
        self.save()

    def note(self, text: str) -> None:
        """Say something about the run, print and save."""
        self.notes.append(text)
        Console().print(text, markup=False)
        self.save()

    def save(self) -> None:
        """Write both files."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        values = {key: value for key, value in asdict(self).items() if key != "path"}
        # Appended, because "1.3b" has a dot of its own.
        Path(f"{self.path}.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        Path(f"{self.path}.md").write_text(self.markdown(), encoding="utf-8")

    def markdown(self) -> str:
        """All tables."""
        lines = [", ".join(f"{key} {_text(value)}" for key, value in self.about.items()), ""]
        for name, rows in self.sections.items():
            columns = list(rows[0])
            lines += [f"### {name}", "", "| " + " | ".join(columns) + " |"]
            lines += ["|" + "---|" * len(columns)]
            lines += ["| " + " | ".join(_text(row.get(c)) for c in columns) + " |" for row in rows]
            lines += [""]
        return "\n".join([*lines, *(f"- {note}" for note in self.notes), ""])


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)
