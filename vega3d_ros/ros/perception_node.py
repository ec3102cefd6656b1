"""The perception lifecycle node: camera topics in, grounded objects and spatial answers out.

A thin shell. Callbacks convert and enqueue; the worker's thread owns the model; everything that
decides anything lives in the modules beside this one.
"""

from __future__ import annotations

import functools
import signal
import sys
import threading
import time
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

from vega3d_ros.core.threads import wait_passively
from vega3d_ros.msg import ErrorCode
from vega3d_ros.perception.object_map import ObjectMap
from vega3d_ros.perception.work_item import WorkError
from vega3d_ros.perception.worker import Status, Worker
from vega3d_ros.ros.camera_input import CameraInput
from vega3d_ros.ros.diagnostics import Facts, Health, judge
from vega3d_ros.ros.lifecycle import refuse_impossible_transitions, transition
from vega3d_ros.ros.messages import diagnostics_message
from vega3d_ros.ros.parameters import declare_parameters, read_parameters
from vega3d_ros.ros.publishers import Publishers
from vega3d_ros.ros.services import Services
from vega3d_ros.ros.worker_futures import Session
from vega3d_ros.sensing.transform_buffer import JUMP_BACK_NS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vega3d_ros.models.priors.base import Acceleration
    from vega3d_ros.perception.settings import Parameters
    from vega3d_ros.perception.worker import PerceiverLike, SceneState

NAME = "perception"
# Nav2's lifecycle manager gives a transition five seconds, so waiting for the model is shorter. A
# model that needs longer goes on loading in an active node, which says so in /diagnostics and in
# its replies.
CONFIGURE_WAIT_S = 2.0
ACTIVATE_WAIT_S = 2.0
HEALTH_PERIOD_S = 1.0
EXPIRY_PERIOD_S = 0.1
SPIN_S = 0.1


Factory: TypeAlias = (
    "Callable[[Parameters, Callable[[str], None], Callable[[str], None]], PerceiverLike]"
)
"""Makes a perceiver from parameters; tells what it is loading, and later of memory that ended."""


def load_perceiver(
    parameters: Parameters,
    progress: Callable[[str], None],
    on_out_of_memory: Callable[[str], None],
) -> PerceiverLike:
    """Load and warm up the model that the parameters name."""
    # Here, in the worker's thread: importing it takes seconds.
    progress("libraries")
    from vega3d_ros.perception.loading import load_ready  # noqa: PLC0415

    perceiver = load_ready(
        parameters.model,
        device=parameters.device,
        dtype=parameters.dtype,
        acceleration=cast("Acceleration", parameters.acceleration),
        frames=parameters.clip_length,
        threads=parameters.threads,
        progress=progress,
    )
    perceiver.on_out_of_memory = on_out_of_memory
    return perceiver


class PerceptionNode(LifecycleNode):
    """Understands what a camera sees.

    Args:
        perceiver_factory: Called in the worker's thread.
        kwargs: For ``rclpy.lifecycle.LifecycleNode``.
    """

    def __init__(
        self,
        perceiver_factory: Factory = load_perceiver,
        **kwargs: Any,
    ) -> None:
        super().__init__(NAME, **kwargs)
        refuse_impossible_transitions(self)
        declare_parameters(self)
        self._factory = perceiver_factory
        self._configured: Session | None = None
        self._active = False
        self._loading = ""
        self._health = Health()
        self._intake: CameraInput | None = None
        self._expiry: Any = None
        self._since_ns = time.monotonic_ns()
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Steady: a paused or looping simulation must not stop the watch.
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(HEALTH_PERIOD_S, self._publish_health, clock=self._steady)
        self._requests = Services(self, self._session, self._forget)
        threshold = JumpThreshold(
            min_forward=None,
            min_backward=Duration(nanoseconds=-JUMP_BACK_NS),
            on_clock_change=False,
        )
        self._jumps = self.get_clock().create_jump_callback(
            threshold, post_callback=self._on_clock_jump
        )

    # Transitions.

    def autostart(self) -> bool:
        """Configure and activate, as a lifecycle manager would; returns whether both went well."""
        success = TransitionCallbackReturn.SUCCESS
        return bool(self.trigger_configure() == success and self.trigger_activate() == success)

    @transition
    def on_configure(self, state: Any) -> Any:
        """Check the parameters and begin to load the model."""
        parameters = read_parameters(self)
        outputs = Publishers(self, self._health, parameters.model_name, parameters.min_score)
        worker = Worker(
            functools.partial(
                self._factory, parameters, self._on_progress, self._on_out_of_memory
            ),
            ObjectMap(parameters.fixed_frame or "map", parameters.max_objects),
            self._on_scene,
            self.report_failure,
            parameters.max_waiting_queries,
        )
        self._configured = Session(parameters, worker, outputs, None)
        self._since_ns = time.monotonic_ns()
        self.get_logger().info(f"loading model {parameters.model!r} on {parameters.device}")
        worker.start()
        if worker.wait_until_loaded(CONFIGURE_WAIT_S) is Status.FAILED:
            self._release()
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)

    @transition
    def on_activate(self, state: Any) -> Any:
        """Subscribe and publish."""
        session = self._session(False)
        status = session.worker.wait_until_loaded(ACTIVATE_WAIT_S)
        if status is Status.FAILED:
            self.get_logger().error(
                f"the model could not be loaded: {session.worker.failure}; clean up, correct "
                f"`model`, configure again"
            )
            return TransitionCallbackReturn.FAILURE
        if status is Status.LOADING:
            self.get_logger().warning(
                "active, but the model is still being loaded; see /diagnostics"
            )
        try:
            self._health.forget()
            self._since_ns = time.monotonic_ns()
            self._intake = CameraInput(
                self,
                session.parameters,
                self._health,
                session.worker.submit_clip,
                self._on_time_rewind,
            )
            self._expiry = self.create_timer(EXPIRY_PERIOD_S, self._expire, clock=self._steady)
            result = super().on_activate(state)
        except BaseException:
            self._fall_silent("activation failed")
            raise
        self._active = True
        return result

    @transition
    def on_deactivate(self, state: Any) -> Any:
        """Unsubscribe, and forget what was seen."""
        self._fall_silent("the node was deactivated")
        return super().on_deactivate(state)

    @transition
    def on_cleanup(self, state: Any) -> Any:
        """Free the model."""
        self._release()
        return super().on_cleanup(state)

    @transition
    def on_shutdown(self, state: Any) -> Any:
        """Free everything, from any state."""
        self._fall_silent("the node shuts down")
        self._release()
        return super().on_shutdown(state)

    @transition
    def on_error(self, state: Any) -> Any:
        """Free everything, so that the node can be configured again."""
        del state
        self._fall_silent("a transition failed")
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Free everything and destroy the node; call it once, after spinning."""
        self._fall_silent("the node ends")
        self._release()
        self._jumps.unregister()
        self._requests.close()
        self.destroy_node()

    def _fall_silent(self, reason: str) -> None:
        self._active = False
        if self._expiry is not None:
            self.destroy_timer(self._expiry)
            self._expiry = None
        session = self._configured
        if session is not None:
            self._forget(reason)
            session.worker.restart_count()
        if self._intake is not None:
            self._intake.close()
            self._intake = None

    def _release(self) -> None:
        if self._configured is not None:
            self._configured.worker.stop()
            self._configured.outputs.close()
            self._configured = None

    # Time and memory.

    def _on_clock_jump(self, jump: Any) -> None:
        if self._active and jump.delta.nanoseconds < 0:
            self._on_time_rewind("the clock went back")

    def _on_time_rewind(self, what: str) -> None:
        self._health.tick("backward jumps of time")
        self._forget(f"{what}: time was set back (a bag that loops?)", transforms=True)

    def _forget(self, reason: str, *, transforms: bool = False) -> None:
        """Forget scenes, objects, clips and caches; where time was set back, transforms too."""
        if self._intake is not None:
            self._intake.forget(transforms=transforms)
        session = self._configured
        if session is None:
            return
        self.get_logger().info(f"{reason}: buffers, scenes and remembered objects are cleared")
        state = session.worker.state
        session.worker.reset(WorkError(ErrorCode.CANCELLED, reason))
        if state is not None:
            session.outputs.clear_markers(state)

    def _expire(self) -> None:
        if self._configured is not None:
            late = "no result in time; allow more time or ask less often"
            error = WorkError(ErrorCode.TIMEOUT, late)
            self._configured.worker.expire(time.monotonic_ns(), error)

    # Results. Called in the worker's thread.

    def _on_scene(self, state: SceneState) -> None:
        session = self._configured
        if session is None:
            return
        try:
            session.outputs.publish(state)
        except Exception as error:  # noqa: BLE001 (counted and logged; the next scene may be fine)
            self.report_failure(f"a scene could not be published: {error}", traceback.format_exc())
            return
        self._health.tick("scenes")
        for stage, milliseconds in state.scene.stages_ms.items():
            self._health.note(f"latency {stage}", f"{milliseconds:.0f} ms")
        gate = state.scene.gate
        if gate is not None:
            self._health.note("mean gate (share of the generator)", f"{float(gate.mean()):.3f}")

    def _on_progress(self, what: str) -> None:
        self._loading = what
        self.get_logger().info(f"loading: {what}")

    def _on_out_of_memory(self, what: str) -> None:
        self._health.count("times memory ended")
        self._health.note("last time memory ended", what)
        self.get_logger().warning(
            f"{what}. What was kept is forgotten; set a smaller clip_length, or another preset"
        )

    def report_failure(self, message: str, details: str) -> None:
        """Count and log a failure that the node outlives. Any thread may call it."""
        self._health.count("failures")
        self._health.note("last failure", message)
        self.get_logger().error(f"{message}\n{details}")

    # Health.

    def _session(self, active: bool) -> Session:
        if self._configured is None or (active and not self._active):
            what = "activate" if self._configured is not None else "configure and activate"
            raise WorkError(ErrorCode.NOT_ACTIVE, f"the node is not active; {what} it")
        transforms = None if self._intake is None else self._intake.transforms
        return replace(self._configured, transforms=transforms)

    def _facts(self) -> Facts:
        session, now_ns = self._configured, time.monotonic_ns()
        if session is None:
            return Facts(active=False)
        worker, parameters = session.worker, session.parameters
        since_s = (now_ns - self._since_ns) * 1e-9
        busy_ns = worker.busy_since_ns
        taken_in = {} if self._intake is None else self._intake.facts()
        drops = {**taken_in.pop("drops", {}), "clip replaced by a newer one": worker.replaced}
        return Facts(
            **taken_in,
            active=self._active,
            active_s=since_s,
            silence_s=parameters.silence_warning_s,
            drops=drops,
            status=worker.status,
            failure=worker.failure,
            clip_failure=worker.clip_failure,
            model=parameters.model,
            device=parameters.device,
            loading=self._loading,
            loading_s=since_s,
            busy_s=0.0 if busy_ns is None else (now_ns - busy_ns) * 1e-9,
            fixed_frame=parameters.fixed_frame,
            scenes=self._health.times("scenes"),
            jumps_back=self._health.recent("backward jumps of time"),
            rates=self._health.rates(),
            values={**self._health.snapshot(), "clips and requests failed": str(worker.failed)},
        )

    def _publish_health(self) -> None:
        name, stamp = self.get_fully_qualified_name(), self.get_clock().now().to_msg()
        self._diagnostics.publish(diagnostics_message(name, stamp, judge(self._facts())))


def main(
    args: Sequence[str] | None = None,
    perceiver_factory: Factory = load_perceiver,
) -> int:
    """Run the node until SIGINT or SIGTERM; returns the exit code."""
    wait_passively()  # the worker imports PyTorch
    stopping = threading.Event()

    def stop(number: int, _: object) -> None:
        stopping.set()
        signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once

    # rclpy's own handlers end the context in the midst of a callback; these let it finish.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        node = PerceptionNode(perceiver_factory)
    except ParameterException as error:
        print(f"{NAME}: {error}; see config/perception.yaml", file=sys.stderr)  # noqa: T201 (there is no logger yet)
        rclpy.try_shutdown()
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if node.get_parameter("autostart").value and not node.autostart():
            node.get_logger().error(
                "autostart failed; correct the parameters, then configure and activate"
            )
        while not stopping.is_set():
            _spin_once(executor, node)
    except ExternalShutdownException:
        pass
    finally:
        node.close()
        executor.shutdown()
        rclpy.try_shutdown()
    return 0


def _spin_once(executor: SingleThreadedExecutor, node: PerceptionNode) -> None:
    """Let one callback run; what it raises must not blind the robot for good."""
    try:
        executor.spin_once(timeout_sec=SPIN_S)
    except ExternalShutdownException:
        raise
    except Exception as error:  # noqa: BLE001 (counted and logged)
        node.report_failure(f"a callback failed: {error}", traceback.format_exc())


if __name__ == "__main__":
    sys.exit(main())
