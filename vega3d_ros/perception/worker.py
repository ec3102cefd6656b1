"""The one thread that owns the model.

Clips come through a slot of size one that replaces the oldest; requests through a bounded queue
with deadlines. Nothing here knows ROS, and nothing here waits for the thread that hands work over.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.core.geometry import iou_axis_aligned
from vega3d_ros.perception.work_item import Stage, WorkError, WorkItem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from vega3d_ros.core.frames import Clip
    from vega3d_ros.core.object_evidence import FrameLook
    from vega3d_ros.core.objects import Answer, SceneObject
    from vega3d_ros.perception.object_map import ObjectMap
    from vega3d_ros.perception.relations import Relation

SAME_OBJECT_IOU = 0.5
GIVE_UP_PERIOD_S = 0.1


class SceneLike(Protocol):
    """What the node uses of a ``Scene``."""

    @property
    def clip(self) -> Clip:
        """What was looked at."""

    @property
    def objects(self) -> tuple[SceneObject, ...]:
        """What was found for the perceiver's queries."""

    @property
    def looks(self) -> tuple[FrameLook, ...]:
        """What its frames see of points, of those that can tell."""

    @property
    def gate(self) -> NDArray[np.float32] | None:
        """[frames, rows, columns] in [0, 1], the generator's share; None without a gate."""

    @property
    def frames_left_out(self) -> int:
        """Frames of the clip, the oldest, for which memory did not suffice."""

    @property
    def stages_ms(self) -> Mapping[str, float]:
        """Milliseconds of each stage."""

    def ask(self, question: str) -> Answer:
        """Answer a question."""

    def ground(self, text: str) -> tuple[SceneObject, ...]:
        """Find what a text describes."""

    def relation(self, a: str, b: str, viewpoint: str = "camera") -> Relation:
        """Raises a ValueError where one of the two is not there or the relation cannot be told."""


class PerceiverLike(Protocol):
    """What the node uses of a ``Perceiver``."""

    queries: tuple[str, ...]

    def observe(self, clip: Clip) -> SceneLike:
        """Look at a clip."""

    def reset(self) -> None:
        """Forget all caches."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SceneState:
    """A scene that was understood, with what the node adds to it.

    Attributes:
        scene: The scene.
        objects: Its objects with their names over time.
        remembered: Every object remembered up to this scene.
        queries: What it was searched for.
        sequence: Counts scenes since activation, from 1.
        arrival_ns: Arrival of its newest image, steady clock.
    """

    scene: SceneLike
    objects: tuple[SceneObject, ...]
    remembered: tuple[SceneObject, ...]
    queries: tuple[str, ...]
    sequence: int
    arrival_ns: int

    def named(self, objects: Sequence[SceneObject]) -> tuple[SceneObject, ...]:
        """Objects found for a request, with the names of those remembered that they lie on."""
        return tuple(replace(item, id=self._name_of(item)) for item in objects)

    def _name_of(self, item: SceneObject) -> str:
        if item.id:
            return item.id
        overlaps = [
            (iou_axis_aligned(item.box, known.box), known.id)
            for known in (*self.remembered, *self.objects)
            if known.frame_id == item.frame_id
        ]
        best, name = max(overlaps, default=(0.0, ""))
        return name if best >= SAME_OBJECT_IOU else ""


class Status(IntEnum):
    """State of the model."""

    STOPPED = 0
    LOADING = 1
    READY = 2
    FAILED = 3


class Worker:
    """Loads a model and runs it, in its own thread, until ``stop``.

    Args:
        load: Makes the perceiver; called in the thread.
        memory: Remembers objects; used in the thread alone.
        on_scene: Called with every scene that is still wanted, in the thread.
        on_error: Called with a sentence and a traceback when something failed, in the thread.
        max_requests: Requests waiting before ``submit`` refuses more.

    Attributes:
        status: State of the model.
        failure: Why it could not be loaded.
        busy_since_ns: When the present piece of work began, steady clock; None: at rest.
        failed: Clips and requests at which the model failed.
        clip_failure: Why the newest clip was not understood; empty where it was.
    """

    def __init__(
        self,
        load: Callable[[], PerceiverLike],
        memory: ObjectMap,
        on_scene: Callable[[SceneState], None],
        on_error: Callable[[str, str], None],
        max_requests: int = 16,
    ) -> None:
        self.status = Status.STOPPED
        self.failure = ""
        self.busy_since_ns: int | None = None
        self.failed = 0
        self.clip_failure = ""
        self._load = load
        self._memory = memory
        self._on_scene = on_scene
        self._on_error = on_error
        self._max_requests = max_requests
        self._perceiver: PerceiverLike | None = None
        self._own_queries: tuple[str, ...] = ()
        self._wanted_queries: tuple[str, ...] | None = None
        self._state: SceneState | None = None
        self._clip: tuple[Clip, int] | None = None
        self._requests: deque[WorkItem] = deque()
        self._generation = 0
        self._forget = False
        self._sequence = 0
        self._stopping = False
        self._change = threading.Condition()
        # Not a daemon: a thread inside the model at interpreter exit would crash the process.
        self._thread = threading.Thread(target=self._main, name="inference")

    @property
    def perceiver(self) -> PerceiverLike | None:
        """The model, which only the thread may use; None before it is loaded."""
        return self._perceiver

    @property
    def state(self) -> SceneState | None:
        """The newest scene."""
        return self._state

    def start(self) -> None:
        """Start the thread, which begins to load the model."""
        self.status = Status.LOADING
        self._thread.start()

    def stop(self, wait_s: float | None = None) -> bool:
        """End the thread when what it is doing is done; returns whether it has ended.

        Args:
            wait_s: How long to wait for it; None: until it has ended.
        """
        with self._change:
            self._stopping = True
            self._clip = None
            self._change.notify_all()
        if self._thread.is_alive():
            self._thread.join(wait_s)
        self.status = Status.STOPPED
        return not self._thread.is_alive()

    def wait_until_loaded(
        self, timeout_s: float, given_up: Callable[[], bool] = lambda: False
    ) -> Status:
        """Wait a bounded time for loading to end, well or not, or for the wait to be given up."""
        until_s = time.monotonic() + timeout_s
        with self._change:
            while self.status is Status.LOADING and not given_up():
                left_s = until_s - time.monotonic()
                if left_s <= 0:
                    break
                self._change.wait(min(left_s, GIVE_UP_PERIOD_S))
            return self.status

    def submit_clip(self, clip: Clip, arrival_ns: int) -> None:
        """Hand over a clip, which replaces one that still waits."""
        with self._change:
            self._clip = (clip, arrival_ns)
            self._change.notify_all()

    def withdraw_clip(self) -> bool:
        """Take back the clip that waits; returns False where none does."""
        with self._change:
            waited, self._clip = self._clip is not None, None
            return waited

    def submit(self, request: WorkItem) -> bool:
        """Hand over a request; returns False where too many wait."""
        with self._change:
            self._requests = deque(waiting for waiting in self._requests if not waiting.done)
            if len(self._requests) >= self._max_requests:
                return False
            self._requests.append(request)
            self._change.notify_all()
            return True

    def queries(self) -> tuple[str, ...]:
        """What the next scene is searched for."""
        with self._change:
            return self._own_queries if self._wanted_queries is None else self._wanted_queries

    def set_queries(self, queries: tuple[str, ...]) -> None:
        """Search the next scenes for these; an empty tuple: for the model's own."""
        with self._change:
            self._wanted_queries = queries or None

    def reset(self, error: Exception) -> None:
        """Forget scenes, objects and caches, and settle what waits with an error."""
        with self._change:
            self._generation += 1
            self._forget = True
            self._clip = None
            self._state = None
            waiting, self._requests = list(self._requests), deque()
            self._change.notify_all()
        for request in waiting:
            request.settle(error=error)

    def restart_count(self) -> None:
        """Count scenes from 1 again."""
        with self._change:
            self._sequence = 0

    def expire(
        self, now_ns: int, error: Exception, without_scene: Callable[[], Exception] | None = None
    ) -> None:
        """Settle every request whose deadline has passed, also the one being answered.

        Args:
            now_ns: Steady clock.
            error: What they get.
            without_scene: Makes what those get that waited for a scene; None: the same.
        """
        with self._change:
            late = [request for request in self._requests if now_ns >= request.deadline_ns]
        for request in late:
            waited = request.stage is Stage.WAITING_FOR_SCENE
            request.settle(error=without_scene() if waited and without_scene else error)

    def _main(self) -> None:
        try:
            perceiver = self._load()
            own = tuple(perceiver.queries)
        except Exception as error:  # noqa: BLE001 (whatever a model folder can raise ends here, logged)
            told = isinstance(error, Vega3dError)  # in one sentence, with the remedy
            details = "" if told else traceback.format_exc()
            self._on_error(f"the model could not be loaded: {error}", details)
            self._set_status(Status.FAILED, str(error) or repr(error))
            return
        with self._change:
            self._perceiver, self._own_queries = perceiver, own
        self._set_status(Status.READY)
        clip_first = False
        while True:
            with self._change:
                self._change.wait_for(self._has_work)
                if self._stopping:
                    return
                forget, self._forget = self._forget, False
                generation = self._generation
                request = None if clip_first and self._clip is not None else self._next_request()
                job = None
                if request is None:
                    job, self._clip = self._clip, None
                # A question may delay a scene by one question, never starve it, and the reverse.
                clip_first = request is not None
            self.busy_since_ns = time.monotonic_ns()
            if forget:
                perceiver.reset()
                self._memory.clear()
            if request is not None:
                self._answer(request)
            elif job is not None:
                self._observe(perceiver, *job, generation)
            self.busy_since_ns = None

    def _set_status(self, status: Status, failure: str = "") -> None:
        with self._change:
            self.status, self.failure = status, failure
            self._change.notify_all()

    def _has_work(self) -> bool:
        if self._stopping or self._forget or self._clip is not None:
            return True
        return any(self._is_ready(request) for request in self._requests)

    def _is_ready(self, request: WorkItem) -> bool:
        if request.done:
            return False
        try:
            ready = request.ready(self._state)
        except WorkError as error:
            request.settle(error=error)
            return False
        if not ready:
            request.enter(Stage.WAITING_FOR_SCENE)
        return ready

    def _next_request(self) -> WorkItem | None:
        """The first that can be answered; it stays queued meanwhile, so that it can expire."""
        self._requests = deque(request for request in self._requests if not request.done)
        return next((request for request in self._requests if self._is_ready(request)), None)

    def _answer(self, request: WorkItem) -> None:
        state = self._state
        if state is None or not request.enter(Stage.ANSWERING):
            return
        try:
            result = request.run(state)
        except Exception as error:  # noqa: BLE001 (settled below, and logged unless it is an answer in itself)
            if not isinstance(error, WorkError):
                self.failed += 1
                self._on_error(f"a request failed: {error}", traceback.format_exc())
            request.settle(error=error)
        else:
            request.settle(result)

    def _observe(
        self, perceiver: PerceiverLike, clip: Clip, arrival_ns: int, generation: int
    ) -> None:
        queries = self.queries()
        try:
            perceiver.queries = queries
            scene = perceiver.observe(clip)
            objects = self._memory.update(scene.objects, clip.stamp_ns, scene.looks)
        except Exception as error:  # noqa: BLE001 (counted and logged; the next clip may be fine)
            self.failed += 1
            failure = f"a clip could not be understood: {error}"
            if failure != self.clip_failure:  # the same at every clip would drown the log
                self._on_error(failure, traceback.format_exc())
            self.clip_failure = failure
            return
        self.clip_failure = ""
        with self._change:
            if generation != self._generation:
                return  # time was set back, or the node was reset, while the model was at work
            self._sequence += 1
            state = SceneState(
                scene=scene,
                objects=objects,
                remembered=tuple(self._memory.objects),
                queries=queries,
                sequence=self._sequence,
                arrival_ns=arrival_ns,
            )
            self._state = state
        self._on_scene(state)
