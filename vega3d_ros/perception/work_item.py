"""A request on its way from a client to the model and back."""

from __future__ import annotations

import threading
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.errors import Vega3dError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vega3d_ros.perception.worker import SceneState


class Stage(IntEnum):
    """State of a request."""

    QUEUED = 0
    WAITING_FOR_SCENE = 1
    ANSWERING = 2
    DONE = 3


class WorkError(Vega3dError, RuntimeError):
    """A request that cannot be served.

    Attributes:
        code: One of the constants of vega3d_ros/msg/ErrorCode.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class WorkItem:
    """One request on its way; the first to settle it wins.

    Args:
        run: Called with the newest scene, in the worker's thread.
        deadline_ns: When it must be settled, steady clock.
        ready: Asked with the newest scene (None before the first): whether ``run`` may be called,
            or the request has to wait for a newer scene. It may raise WorkError.
    """

    def __init__(
        self,
        run: Callable[[SceneState], Any],
        deadline_ns: int,
        ready: Callable[[SceneState | None], bool],
    ) -> None:
        self.run = run
        self.ready = ready
        self.deadline_ns = deadline_ns
        self.stage = Stage.QUEUED
        self.result: Any = None
        self.error: Exception | None = None
        self.on_change: Callable[[], None] = lambda: None
        self._lock = threading.Lock()

    @property
    def done(self) -> bool:
        """Whether it is settled."""
        return self.stage is Stage.DONE

    def enter(self, stage: Stage) -> bool:
        """Move to a stage before DONE; returns False where the request is settled already."""
        with self._lock:
            if self.stage is Stage.DONE:
                return False
            changed, self.stage = self.stage is not stage, stage
        if changed:
            self.on_change()
        return True

    def settle(self, result: Any = None, error: Exception | None = None) -> bool:
        """Give the result or the error; returns False where the request was settled before."""
        with self._lock:
            if self.stage is Stage.DONE:
                return False
            self.stage, self.result, self.error = Stage.DONE, result, error
        self.on_change()
        return True
