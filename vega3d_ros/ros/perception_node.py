"""The perception lifecycle node: camera topics in, grounded objects and spatial answers out.

Callbacks convert messages and submit work; the worker's thread runs the model. The decisions are
made in the other modules of this folder.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import rclpy
from rclpy.clock import Clock, ClockType, JumpThreshold
from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

from vega3d_ros.core.console import hide_foreign_bars
from vega3d_ros.core.threads import wait_passively
from vega3d_ros.models.checkpoints.model_names import why_missing
from vega3d_ros.msg import ErrorCode
from vega3d_ros.perception.object_map import ObjectMap
from vega3d_ros.perception.parameter_file import ParameterFileError
from vega3d_ros.perception.settings import ParameterError
from vega3d_ros.perception.work_item import WorkError
from vega3d_ros.perception.worker import Status, Worker
from vega3d_ros.ros.camera_input import CameraInput
from vega3d_ros.ros.diagnostics import KEYFRAMES, SKIPPED, Facts, Statistics, why_no_scene
from vega3d_ros.ros.given_parameters import check_given, with_empty_values
from vega3d_ros.ros.health import Health
from vega3d_ros.ros.lifecycle import refuse_impossible_transitions, transition
from vega3d_ros.ros.model_loading import Factory, grounder_name, load_perceiver
from vega3d_ros.ros.parameters import declare_parameters, read_parameters, settle_model
from vega3d_ros.ros.process import CLOSE_WAIT_S, end, spin_once, stop_on_signals
from vega3d_ros.ros.publishers import Publishers
from vega3d_ros.ros.services import Services
from vega3d_ros.ros.worker_futures import Session
from vega3d_ros.sensing.transform_buffer import JUMP_BACK_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vega3d_ros.perception.settings import Parameters
    from vega3d_ros.perception.worker import SceneState

NAME = "perception"
# Nav2's lifecycle manager allows a transition five seconds, so waiting for the model is shorter. A
# slower model goes on loading in an active node; /diagnostics and the replies say so.
CONFIGURE_WAIT_S = 2.0
ACTIVATE_WAIT_S = 2.0
EXPIRY_PERIOD_S = 0.1


class PerceptionNode(LifecycleNode):
    """Publishes the objects that a camera sees, and answers questions about them.

    Args:
        perceiver_factory: Called in the worker's thread.
        stopping: Set when the process is to stop: then nothing waits for the model.
        kwargs: For ``rclpy.lifecycle.LifecycleNode``.
    """

    def __init__(
        self,
        perceiver_factory: Factory = load_perceiver,
        stopping: threading.Event | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(NAME, **kwargs)
        refuse_impossible_transitions(self)
        self._why_missing = (
            why_missing if perceiver_factory is load_perceiver else lambda _: ""  # of a stand-in
        )
        declare_parameters(self, lambda: self._configured, self._apply, self._why_missing)
        self._factory = perceiver_factory
        self._stopping = stopping or threading.Event()
        self._configured: Session | None = None
        self._active = False
        self._loading = ""
        self._statistics = Statistics()
        self._camera: CameraInput | None = None
        self._expiry: Any = None
        self._since_ns = time.monotonic_ns()
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._health = Health(self, self._facts, self._steady)
        self._request_services = Services(self, self._session, self._forget)
        threshold = JumpThreshold(
            min_forward=None,
            min_backward=Duration(nanoseconds=-JUMP_BACK_NS),
            on_clock_change=False,
        )
        self._clock_jumps = self.get_clock().create_jump_callback(
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
        given = read_parameters(self)
        if why := self._why_missing(given.model):
            raise ParameterError(why)
        parameters, note = settle_model(self, given)
        model, min_score = parameters.model_name, parameters.min_score
        publishers = Publishers(self, self._statistics, model, min_score)
        worker = Worker(
            functools.partial(
                self._factory, parameters, self._on_progress, self._on_out_of_memory
            ),
            ObjectMap(parameters.fixed_frame or "map", parameters.max_objects),
            self._on_scene,
            self.report_failure,
            parameters.max_waiting_queries,
        )
        worker.set_queries(parameters.queries)
        self._configured = Session(parameters, worker, publishers, None, note)
        self._since_ns = time.monotonic_ns()
        self.get_logger().info(f"loading model {parameters.model!r} on {parameters.device}")
        worker.start()
        if worker.wait_until_loaded(CONFIGURE_WAIT_S, self._stopping.is_set) is Status.FAILED:
            self._release()
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)

    @transition
    def on_activate(self, state: Any) -> Any:
        """Subscribe to the camera and publish."""
        session = self._session(False)
        status = session.worker.wait_until_loaded(ACTIVATE_WAIT_S, self._stopping.is_set)
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
            self._statistics.forget()
            self._since_ns = time.monotonic_ns()
            self._camera = CameraInput(
                self, session.parameters, self._statistics, session.worker, self._on_time_rewind
            )
            self._expiry = self.create_timer(EXPIRY_PERIOD_S, self._expire, clock=self._steady)
            result = super().on_activate(state)
        except BaseException:
            self._unsubscribe("activation failed")
            raise
        self._active = True
        return result

    @transition
    def on_deactivate(self, state: Any) -> Any:
        """Unsubscribe and clear the scenes."""
        self._unsubscribe("the node was deactivated")
        return super().on_deactivate(state)

    @transition
    def on_cleanup(self, state: Any) -> Any:
        """Free the model."""
        self._release()
        return super().on_cleanup(state)

    @transition
    def on_shutdown(self, state: Any) -> Any:
        """Free everything, from any state."""
        self._unsubscribe("the node shuts down")
        self._release()
        return super().on_shutdown(state)

    @transition
    def on_error(self, state: Any) -> Any:
        """Free everything, so that the node can be configured again."""
        del state
        self._unsubscribe("a transition failed")
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Free everything and destroy the node; call it once, after spinning."""
        self._unsubscribe("the node ends")
        self._release()
        self._clock_jumps.unregister()
        self._request_services.close()
        self.destroy_node()
        # rclpy leaves it, and with it the node's shared memory.
        self._state_machine.destroy_when_not_in_use()

    def _unsubscribe(self, reason: str) -> None:
        self._active = False
        if self._expiry is not None:
            self.destroy_timer(self._expiry)
            self._expiry = None
        session = self._configured
        if session is not None:
            self._forget(reason)
            session.worker.restart_count()
        if self._camera is not None:
            self._camera.close()
            self._camera = None

    def _release(self) -> None:
        if self._configured is not None:
            self._configured.worker.stop(CLOSE_WAIT_S if self._stopping.is_set() else None)
            self._configured.publishers.close()
            self._configured = None

    def _apply(self, parameters: Parameters) -> None:
        """Go on with parameters some of which were set while the node is configured."""
        session = self._configured
        if session is None:
            return
        queries, session.parameters = session.parameters.queries, parameters
        session.publishers.min_score = parameters.min_score
        if parameters.queries != queries:
            session.worker.set_queries(parameters.queries)
        if self._camera is not None:
            self._camera.choose(parameters.clip_settings.policy)

    # Time and memory.

    def _on_clock_jump(self, jump: Any) -> None:
        if self._active and jump.delta.nanoseconds < 0:
            self._on_time_rewind("the clock went back")

    def _on_time_rewind(self, what: str) -> None:
        self._statistics.tick("backward jumps of time")
        self._forget(f"{what}: time was set back, as by a bag that loops", transforms=True)

    def _forget(self, reason: str, *, transforms: bool = False) -> None:
        """Clear scenes, objects, clips and caches; where time was set back, transforms too."""
        if self._camera is not None:
            self._camera.forget(transforms=transforms)
        session = self._configured
        if session is None:
            return
        self.get_logger().info(f"{reason}: buffers, scenes and remembered objects are cleared")
        state = session.worker.state
        session.worker.reset(WorkError(ErrorCode.CANCELLED, reason))
        if state is not None:
            session.publishers.clear_markers(state)

    def _expire(self) -> None:
        if self._configured is not None:
            text = "no result in time; allow more time or ask less often"
            error = WorkError(ErrorCode.TIMEOUT, text)

            def without_scene() -> WorkError:
                why = why_no_scene(self._facts()) or "see /diagnostics"
                return WorkError(ErrorCode.TIMEOUT, f"no fresh scene came in time: {why}")

            self._configured.worker.expire(time.monotonic_ns(), error, without_scene)

    # Results. Called in the worker's thread.

    def _on_scene(self, state: SceneState) -> None:
        session = self._configured
        if session is None:
            return
        try:
            session.publishers.publish(state)
        except Exception as error:  # noqa: BLE001 (counted and logged; the next scene may be fine)
            self.report_failure(f"a scene could not be published: {error}", traceback.format_exc())
            return
        self._statistics.tick("scenes")
        for stage, milliseconds in state.scene.stages_ms.items():
            self._statistics.note(f"latency {stage}", f"{milliseconds:.0f} ms")
        if (gate := state.scene.gate) is not None:
            mean = f"{float(gate.mean()):.3f}"
            self._statistics.note("mean gate (share of the generator)", mean)

    def _on_progress(self, what: str) -> None:
        self._loading = what
        self.get_logger().info(f"loading: {what}")

    def _on_out_of_memory(self, what: str) -> None:
        self._statistics.count("out of memory")
        self._statistics.note("last out of memory", what)
        self.get_logger().warning(
            f"{what}. The caches are cleared; set a smaller clip_length, or another preset"
        )

    def report_failure(self, message: str, details: str) -> None:
        """Count and log a failure after which the node goes on. Any thread may call it."""
        self._statistics.count("failures")
        self._statistics.note("last failure", message)
        self.get_logger().error(f"{message}\n{details}".rstrip())

    # Diagnostics.

    def _session(self, active: bool) -> Session:
        if self._configured is None or (active and not self._active):
            what = "activate" if self._configured is not None else "configure and activate"
            raise WorkError(ErrorCode.NOT_ACTIVE, f"the node is not active; {what} it")
        transforms = None if self._camera is None else self._camera.transforms
        return replace(self._configured, transforms=transforms)

    def _facts(self) -> Facts:
        session, now_ns = self._configured, time.monotonic_ns()
        if session is None:
            return Facts(active=False)
        worker, parameters, statistics = session.worker, session.parameters, self._statistics
        since_s = (now_ns - self._since_ns) * 1e-9
        busy_ns, perceiver = worker.busy_since_ns, worker.perceiver
        inputs = {} if self._camera is None else self._camera.facts()
        skipped = {"keyframe skipped, the model was busy": statistics.times(SKIPPED)}
        drops = {**inputs.pop("drops", {}), **skipped}
        return Facts(
            **inputs,
            active=self._active,
            active_s=since_s,
            silence_s=parameters.silence_warning_s,
            drops=drops,
            status=worker.status,
            failure=worker.failure,
            clip_failure=worker.clip_failure,
            model=parameters.model,
            model_note=session.model_note,
            device=getattr(perceiver, "device", parameters.device),
            grounder=grounder_name(perceiver),
            loading=self._loading,
            loading_s=since_s,
            busy_s=0.0 if busy_ns is None else (now_ns - busy_ns) * 1e-9,
            fixed_frame=parameters.fixed_frame,
            scenes=statistics.times("scenes"),
            keyframes=statistics.recent(KEYFRAMES),
            skipped=statistics.recent(SKIPPED),
            jumps_back=statistics.recent("backward jumps of time"),
            rates=statistics.rates(),
            values={**statistics.snapshot(), "clips and requests failed": str(worker.failed)},
        )


def main(args: Sequence[str] | None = None, perceiver_factory: Factory = load_perceiver) -> int:
    """Run the node until SIGINT or SIGTERM, which end the process with code 0.

    Returns:
        The exit code, where the node could not start or ROS was shut down: 1 for arguments that it
        refuses.
    """
    wait_passively()  # the worker imports PyTorch
    hide_foreign_bars()
    stopping = stop_on_signals()
    given = with_empty_values(sys.argv if args is None else args)
    try:
        # rclpy's own handlers end the context during a callback; these let the callback finish.
        rclpy.init(args=given, signal_handler_options=SignalHandlerOptions.NO)
        node = PerceptionNode(perceiver_factory, stopping)
        known, name = node.get_parameters_by_prefix(""), node.get_fully_qualified_name()
        for line in check_given(given, name, known):
            node.get_logger().warning(line)
    except (RuntimeError, ParameterException, ParameterError, ParameterFileError) as error:
        print(f"{NAME}: {error}", file=sys.stderr)  # noqa: T201 (there may be no logger yet)
        rclpy.try_shutdown()
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if not node.get_parameter("autostart").value:
            node.get_logger().info("autostart is false: waiting to be configured and activated")
        elif not node.autostart():
            node.get_logger().error(
                "autostart failed; correct the parameters, then configure and activate"
            )
        while not stopping.is_set():
            spin_once(executor, node.report_failure)
    except ExternalShutdownException:
        pass
    finally:
        node.close()
        executor.shutdown()
        rclpy.try_shutdown()
    if stopping.is_set():
        end(0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
