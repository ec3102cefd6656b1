"""How many threads a model computes with, and how they wait.

By default PyTorch takes every core, and a thread of OpenMP that has nothing to do spins for its
next piece of work. Beside another busy process that costs more than it gives: the spinning takes
the time that the thread waited for needs. So a process that runs a model beside others waits
passively, and takes more than one thread only where that is clearly faster.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

AUTOMATIC = 0
MOST = 256

_COUNT = "OMP_NUM_THREADS"
PASSIVE = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",  # of GCC's OpenMP, which PyTorch's wheels bring
    "KMP_BLOCKTIME": "0",  # of LLVM's and Intel's
    # NumPy's own linear algebra. Its products are small here, and its threads spin too.
    "OPENBLAS_NUM_THREADS": "1",
}
"""Environment of a process whose threads sleep while they wait."""

ENOUGH_S = 0.25
"""One thread that understands a new keyframe in this time keeps up with a robot's keyframes."""

CLEARLY = 0.7
"""Twice the threads must take at most this share of the time; perfect would be 0.5."""


def wait_passively(environment: MutableMapping[str, str] = os.environ) -> None:
    """Have threads sleep while they wait. What is set already stays.

    The libraries read this when they are loaded: call it before PyTorch, and for OpenBLAS before
    NumPy, is imported.
    """
    for name, value in PASSIVE.items():
        environment.setdefault(name, value)


def worker_environment() -> dict[str, str]:
    """Of a process that is one of several on this machine: one thread, unless asked otherwise."""
    environment = {name: os.environ[name] for name in (_COUNT, *PASSIVE) if name in os.environ}
    wait_passively(environment)
    return {_COUNT: "1", **environment}


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def asked_for(threads: int) -> int | None:
    """The number of threads that somebody decided on; None where it is to be measured.

    Args:
        threads: A number, or ``AUTOMATIC``: ``OMP_NUM_THREADS`` decides where it is set.
    """
    if threads != AUTOMATIC:
        return threads
    # Of "4,2" the first number counts; the others are for regions within regions.
    first = os.environ.get(_COUNT, "").split(",")[0].strip()
    return int(first) if first.isdigit() and int(first) else None


def choose(seconds: Callable[[int], float], most: int) -> int:
    """The number of threads worth taking: doubled as long as that is clearly faster.

    Args:
        seconds: Time that a new keyframe takes with so many threads, see ``measured_s``.
        most: Threads at most.
    """
    chosen, time_s = 1, seconds(1)
    while time_s > ENOUGH_S and chosen < most:
        more = min(2 * chosen, most)
        more_s = seconds(more)
        # From 8 to 12 threads the same gain in each thread is asked for as from 8 to 16.
        if more_s > time_s * (1 - (1 - CLEARLY) * (more - chosen) / chosen):
            break
        chosen, time_s = more, more_s
    return chosen


def measured_s(run: Callable[[], object], threads: int) -> float:
    """Seconds that something takes with so many threads, the better of two times.

    With one thread it is that thread's own time, which other processes do not lengthen: more
    threads must be faster than one that has its core to itself. Otherwise a busy machine would
    make them look good, because they take others more of it.
    """
    set_threads(threads)
    clock = time.thread_time if threads == 1 else time.perf_counter
    times = []
    for _ in range(2):
        begin_s = clock()
        run()
        times.append(clock() - begin_s)
    return min(times)


def set_threads(number: int) -> None:
    """Compute with so many threads: PyTorch for all of the process, OpenCV with one always.

    What OpenCV does here takes a millisecond, and is done beside the model.
    """
    import cv2  # noqa: PLC0415 - entry points set the environment before NumPy is imported
    import torch  # noqa: PLC0415

    torch.set_num_threads(number)
    # Between operators nothing runs at the same time here. Can be set only before the first work.
    with suppress(RuntimeError):
        torch.set_num_interop_threads(1)
    cv2.setNumThreads(1)
