"""Running out of memory: free what can be freed, halve the batch, and try again.

As accelerate's ``find_executable_batch_size``, but what is done is not done again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LOGGER = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has ended, on a GPU or the host."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


class OutOfMemory:
    """Halves batches where memory ends, counts how often, and says so.

    Args:
        free: Gives up what can be computed anew.

    Attributes:
        count: How often memory ended and less was tried.
        report: Called each time with what happened; logs a warning if not replaced.
    """

    def __init__(self, free: Callable[[], None]) -> None:
        self.count = 0
        self.report: Callable[[str], None] = _LOGGER.warning
        self._free = free

    def batched(
        self, run: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T], what: str
    ) -> list[R]:
        """Run on all items, in as few batches as memory allows.

        Args:
            run: Gives one result for each item of a batch.
            items: Independent of one another.
            what: Their name in the report, in the plural.

        Raises:
            Exception: Whatever ``run`` raises for another reason, or for a single item.
        """
        results: list[R] = []
        size = len(items)
        while len(results) < len(items):
            rest = items[len(results) :]

            def first(count: int, rest: Sequence[T] = rest) -> Sequence[R]:
                return run(rest[:count])

            part, size = self.halved(
                first, min(size, len(rest)), f"{what} are taken {{}} at a time"
            )
            results += part
        return results

    def halved(self, run: Callable[[int], R], size: int, said: str) -> tuple[R, int]:
        """Run with a size, half of it, and so on while memory ends; one is tried twice at most.

        Args:
            run: Called with the size.
            size: The first one.
            said: What is done instead, for the report; ``{}`` becomes the smaller size.

        Returns:
            The result and the size that it was had with.

        Raises:
            Exception: Whatever ``run`` raises for another reason, or with size 1.
        """
        freed = False
        while True:
            try:
                return run(size), size
            except Exception as error:
                if not is_out_of_memory(error) or (freed and size == 1):
                    raise
                reason = str(error).partition("\n")[0]
            # Here, because the error's traceback held on to what had been computed.
            freed, size = True, -(-size // 2)
            self._free()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self.count += 1
            self.report(f"{reason}; {said.format(size)}")
