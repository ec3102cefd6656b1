"""Waits for the worker's answers without blocking the executor."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rclpy.task import Future

from vega3d_ros.core.stamps import nanoseconds
from vega3d_ros.msg import ErrorCode
from vega3d_ros.perception.work_item import WorkError, WorkItem
from vega3d_ros.perception.worker import SceneState, Status, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node

    from vega3d_ros.perception.settings import Parameters
    from vega3d_ros.perception.worker import SceneLike
    from vega3d_ros.ros.publishers import Publishers
    from vega3d_ros.ros.tf import Transforms


@dataclass
class Session:
    """The parts of a configured node, its present parameters, and what to tell of its model."""

    parameters: Parameters
    worker: Worker
    publishers: Publishers
    transforms: Transforms | None
    model_note: str = ""


class _Signal:
    """Lets a coroutine on the executor wait for another thread, repeatedly."""

    def __init__(self, executor: Any) -> None:
        self._executor = executor
        self._lock = threading.Lock()
        self._future = self._new()

    def set(self) -> None:
        with self._lock:
            if not self._future.done():
                self._future.set_result(None)

    async def wait(self) -> None:
        await self._future
        with self._lock:
            self._future = self._new()

    def _new(self) -> Any:
        future = Future(executor=self._executor)
        # A finished future wakes the executor only if it has callbacks (rclpy of Jazzy).
        future.add_done_callback(lambda _: None)
        return future


async def answer(
    node: Node,
    session: Session,
    request: Any,
    run: Callable[[SceneLike], Any],
    refusal: int,
    *,
    wait: bool = False,
    on_change: Callable[[WorkItem], None] | None = None,
) -> tuple[SceneState, Any]:
    """Let the worker call ``run`` on the newest scene; returns the scene and the result.

    Args:
        node: Its executor runs this coroutine; the age of scenes is measured by its clock.
        session: The parts of the node.
        request: Has ``timeout`` and ``max_age``.
        run: Called with the scene, in the worker's thread.
        refusal: Error code where it raises ValueError, which means that the request is wrong.
        wait: Wait for a scene that is fresh enough, instead of refusing the request.
        on_change: Called on the executor when the request's stage changes.

    Raises:
        WorkError: If it cannot be answered.
    """

    def run_checked(state: SceneState) -> tuple[SceneState, Any]:
        try:
            return state, run(state.scene)
        except ValueError as error:
            node.get_logger().warning(f"a request was refused: {error!r}")
            raise WorkError(refusal, str(error)) from error

    timeout_ns = not_negative(request, "timeout") or int(session.parameters.query_timeout_s * 1e9)
    ready = _freshness(node, not_negative(request, "max_age"), wait=wait)
    work = WorkItem(run_checked, time.monotonic_ns() + timeout_ns, ready)
    _require_model(session.worker)
    signal = _Signal(node.executor)
    work.on_change = signal.set
    if on_change is not None:
        on_change(work)
    if not session.worker.submit(work):
        limit = session.parameters.max_waiting_queries
        raise WorkError(ErrorCode.BUSY, f"{limit} requests are waiting already; ask again later")
    while not work.done:
        await signal.wait()
        if on_change is not None:
            on_change(work)
    if isinstance(work.error, WorkError):
        raise work.error
    if work.error is not None:
        text = f"the model failed: {work.error}; see the node's log"
        raise WorkError(ErrorCode.INFERENCE_FAILED, text)
    state, result = work.result
    return state, result


def not_negative(request: Any, name: str) -> int:
    """A duration of a request, ns; raises WorkError where it is negative."""
    duration_ns = nanoseconds(getattr(request, name))
    if duration_ns < 0:
        text = f"{name} is {duration_ns * 1e-9:g} s; give seconds from 0 on"
        raise WorkError(ErrorCode.BAD_REQUEST, text)
    return duration_ns


def _freshness(node: Node, max_age_ns: int, *, wait: bool) -> Callable[[SceneState | None], bool]:
    """Whether a scene is fresh enough; raises WorkError where it is not and ``wait`` is false."""

    def ready(state: SceneState | None) -> bool:
        if state is None:
            if wait:
                return False
            text = "no scene yet; see /diagnostics for what is missing"
            raise WorkError(ErrorCode.NO_SCENE, text)
        age_ns = node.get_clock().now().nanoseconds - state.scene.clip.stamp_ns
        if max_age_ns and age_ns > max_age_ns:
            if wait:
                return False
            text = (
                f"the newest scene is {age_ns * 1e-9:.1f} s old by the node's clock, "
                f"{max_age_ns * 1e-9:.1f} s is allowed"
            )
            raise WorkError(ErrorCode.SCENE_TOO_OLD, text)
        return True

    return ready


def _require_model(worker: Worker) -> None:
    if worker.status is Status.FAILED:
        raise WorkError(ErrorCode.NO_MODEL, f"the model could not be loaded: {worker.failure}")
    if worker.status is not Status.READY:
        raise WorkError(ErrorCode.NO_MODEL, "the model is still being loaded; ask again later")
