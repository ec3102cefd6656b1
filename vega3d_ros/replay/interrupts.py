"""Ctrl-C and SIGTERM, taken where nothing is half made."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class HeldInterrupts:
    """Keeps SIGINT and SIGTERM back until ``check`` or the end of the block.

    An interrupt may come between any two steps of rclpy, whose nodes cannot be closed in order
    afterwards. Code that talks to ROS checks where it waits. A second signal is raised at once.
    Use it in the main thread.
    """

    def __enter__(self) -> Self:
        self._come = False
        self._before = {number: signal.signal(number, self._take) for number in _SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kind is None:
            self.check()

    def check(self) -> None:
        """Raise the interrupt that has come, if any.

        Raises:
            KeyboardInterrupt: Where SIGINT or SIGTERM has come.
        """
        if self._come:
            raise KeyboardInterrupt

    def _take(self, _number: int, _frame: object) -> None:
        if self._come:
            raise KeyboardInterrupt
        self._come = True


@contextmanager
def interruptible() -> Iterator[None]:
    """Make SIGTERM raise KeyboardInterrupt, as SIGINT does."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
