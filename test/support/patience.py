"""How long a test waits before it gives up, by the speed that the machine has just then.

Nothing here decides whether the package is fast enough. A test waits for an event; a deadline is
there only so that a hung process fails the test instead of holding the suite up for ever.
"""

from __future__ import annotations

import time

# What the piece of work takes on one undisturbed core of a server of 2021.
_NOMINAL_S = 0.01
# Processes that a test starts compete with each other too, which one piece of work does not show.
_GENEROUS = 3.0
_MEASURE_EVERY_S = 5.0


def _work_s() -> float:
    """Wall time of a fixed piece of interpreted work, which grows with whatever else runs."""
    begin_s = time.perf_counter()
    total = 0
    for number in range(200_000):
        total += number & 7
    assert total
    return time.perf_counter() - begin_s


class _Machine:
    """The slowest that this machine was found to be so far: a guess is only ever corrected up."""

    def __init__(self) -> None:
        self.times_slower = 1.0
        self.measure()

    def measure(self) -> None:
        self.times_slower = max(self.times_slower, _work_s() / _NOMINAL_S)
        self.measured_s = time.monotonic()

    def now(self) -> float:
        if time.monotonic() - self.measured_s > _MEASURE_EVERY_S:
            self.measure()
        return self.times_slower


_MACHINE = _Machine()


def patience(seconds: float) -> float:
    """Seconds to wait for what takes less than ``seconds`` on a machine that does nothing else."""
    return seconds * _GENEROUS * _MACHINE.now()


def pace() -> float:
    """Rate at which to play a recording so that this machine keeps up with it; 1 at the most."""
    return 1 / _MACHINE.now()


def wait_until(condition, what, seconds=20.0, step=time.sleep, period_s=0.02):
    """The first true value of a condition.

    ``step`` is called with the period between two looks. The machine is measured again while the
    test waits, so that load that comes later counts too.
    """
    begin_s = time.monotonic()
    while not (found := condition()):
        assert time.monotonic() - begin_s < patience(seconds), f"waited in vain: {what}"
        step(period_s)
    return found
