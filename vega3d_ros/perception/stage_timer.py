"""Where the time of a scene goes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class StageTimer:
    """Adds up the time of stages.

    Attributes:
        stages_ms: Milliseconds of each stage so far.
    """

    def __init__(self) -> None:
        self.stages_ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside."""
        start = time.perf_counter()
        yield
        spent = (time.perf_counter() - start) * 1e3
        self.stages_ms[name] = self.stages_ms.get(name, 0.0) + spent
