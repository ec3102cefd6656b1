"""The node's services and its action.

Handlers run on the executor and never use the model: they submit a request to the worker, await
its result, and fill the reply. An ``async`` handler that waits blocks no thread.
"""

from __future__ import annotations

import time
import traceback
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from std_srvs.srv import Trigger

from vega3d_ros.action import AskScene
from vega3d_ros.msg import ErrorCode
from vega3d_ros.perception.settings import unfit_queries
from vega3d_ros.perception.work_item import Stage, WorkError, WorkItem
from vega3d_ros.ros.messages import (
    answer_message,
    duration_message,
    header_message,
    object_messages,
    reframe,
    relation_message,
)
from vega3d_ros.ros.worker_futures import Session, answer, not_negative
from vega3d_ros.sensing.transform_buffer import NEWEST, TransformError
from vega3d_ros.srv import AskSpatial, GroundObject, ListObjects, QueryRelation, SetQueries

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from rclpy.lifecycle import LifecycleNode

    from vega3d_ros.core.objects import SceneObject
    from vega3d_ros.perception.worker import SceneState

_FEEDBACK = {
    Stage.QUEUED: AskScene.Feedback.QUEUED,
    Stage.WAITING_FOR_SCENE: AskScene.Feedback.WAITING_FOR_SCENE,
    Stage.ANSWERING: AskScene.Feedback.ANSWERING,
}


class Services:
    """Serves questions about the newest scene.

    Args:
        node: Owns the services and the action.
        session: Returns the parts of the node; raises WorkError(NOT_ACTIVE) before activation, or
            before configuration where it is called with False.
        reset: Clears scenes, objects and caches.
    """

    def __init__(
        self, node: LifecycleNode, session: Callable[[bool], Session], reset: Callable[[str], None]
    ) -> None:
        self._node = node
        self._session = session
        self._reset = reset
        self._goals: dict[bytes, WorkItem] = {}
        # Reentrant: in an exclusive group, one waiting handler would block all others.
        group = ReentrantCallbackGroup()
        for kind, name, handler in (
            (AskSpatial, "~/ask", self._on_ask),
            (GroundObject, "~/ground", self._on_ground),
            (QueryRelation, "~/query_relation", self._on_query_relation),
            (ListObjects, "~/list_objects", self._on_list_objects),
            (SetQueries, "~/set_queries", self._on_set_queries),
            (Trigger, "~/reset", self._on_reset),
        ):
            node.create_service(kind, name, handler, callback_group=group)
        self._action = ActionServer(
            node,
            AskScene,
            "~/ask_scene",
            self._on_goal,
            cancel_callback=self._on_cancel,
            callback_group=group,
        )

    def close(self) -> None:
        """Destroy the action server; the node destroys the services."""
        self._action.destroy()

    # Handlers.

    async def _on_ask(self, request: Any, reply: Any) -> Any:
        async def work(started_ns: int) -> None:
            await self._ask(request, reply, started_ns, wait=False)

        return await self._serve(reply, work)

    async def _on_ground(self, request: Any, reply: Any) -> Any:
        async def work(_: int) -> None:
            description = _required("description", request.description)
            session = self._session(True)
            state, found = await answer(
                self._node,
                session,
                request,
                lambda scene: scene.ground(description),
                ErrorCode.BAD_REQUEST,
            )
            least = request.min_score or session.parameters.min_score
            found = sorted(state.named(found), key=lambda item: -item.score)
            found = [item for item in found if item.score >= least]
            self._fill_objects(
                session, state, request, reply, found[: request.max_objects or None]
            )
            if not found:
                text = (
                    f"the newest scene has no {description!r} with a score of {least:.2f} or more"
                )
                raise WorkError(ErrorCode.NOT_FOUND, text)

        return await self._serve(reply, work)

    async def _on_query_relation(self, request: Any, reply: Any) -> Any:
        async def work(_: int) -> None:
            subject = _required("subject", request.subject)
            other = _required("object", request.object)
            viewpoint = request.viewpoint.strip() or "camera"
            session = self._session(True)

            state, relation = await answer(
                self._node,
                session,
                request,
                lambda scene: scene.relation(subject, other, viewpoint),
                ErrorCode.NOT_FOUND,
            )
            move = self._mover(session, state, request, reply)
            pair = [move(item) for item in state.named([relation.subject, relation.object])]
            reply.header = header_message(state.scene.clip, request.frame_id)
            reply.relation = relation_message(relation, pair, header_message(state.scene.clip))
            reply.subject, reply.object = (object_messages([item])[0] for item in pair)

        return await self._serve(reply, work)

    async def _on_list_objects(self, request: Any, reply: Any) -> Any:
        async def work(_: int) -> None:
            session = self._session(True)
            state = session.worker.state
            if state is None:
                return
            label, age_ns = request.label.strip().lower(), not_negative(request, "max_age")
            now_ns = self._node.get_clock().now().nanoseconds
            frame = state.scene.clip.output_frame
            found = [
                item
                for item in state.remembered
                if item.frame_id == frame
                and label in {"", item.label.lower()}
                and item.score >= request.min_score
                and (age_ns == 0 or now_ns - item.stamp_ns <= age_ns)
            ]
            self._fill_objects(session, state, request, reply, found)

        return await self._serve(reply, work)

    async def _on_set_queries(self, request: Any, reply: Any) -> Any:
        async def work(_: int) -> None:
            session = self._session(False)
            queries = tuple(query.strip() for query in request.queries)
            try:
                if why := unfit_queries(queries):
                    raise WorkError(ErrorCode.BAD_REQUEST, f"queries: {why}")
                session.worker.set_queries(queries)
            finally:
                reply.queries = list(session.worker.queries())

        return await self._serve(reply, work)

    def _on_reset(self, _: Any, reply: Any) -> Any:
        try:
            self._session(True)
        except WorkError as error:
            reply.success, reply.message = False, str(error)
            return reply
        self._reset("reset by request")
        reply.success, reply.message = True, "scenes, objects and caches are cleared"
        return reply

    async def _on_goal(self, goal: Any) -> Any:
        reply = AskScene.Result()
        key = bytes(goal.goal_id.uuid)

        async def work(started_ns: int) -> None:
            def feedback(request: WorkItem) -> None:
                self._goals[key] = request
                if goal.is_cancel_requested:  # before there was a request to settle
                    self._on_cancel(goal)
                if request.stage in _FEEDBACK:
                    elapsed = duration_message(time.monotonic_ns() - started_ns)
                    goal.publish_feedback(
                        AskScene.Feedback(state=_FEEDBACK[request.stage], elapsed=elapsed)
                    )

            await self._ask(goal.request, reply, started_ns, wait=True, on_change=feedback)

        await self._serve(reply, work)
        self._goals.pop(key, None)
        if goal.is_cancel_requested:
            goal.canceled()
        elif reply.success:
            goal.succeed()
        else:
            goal.abort()
        return reply

    def _on_cancel(self, goal: Any) -> Any:
        request = self._goals.get(bytes(goal.goal_id.uuid))
        if request is not None:
            request.settle(error=WorkError(ErrorCode.CANCELLED, "cancelled by the client"))
        return CancelResponse.ACCEPT

    # Shared by the handlers.

    async def _serve(self, reply: Any, work: Callable[[int], Awaitable[None]]) -> Any:
        started_ns = time.monotonic_ns()
        try:
            await work(started_ns)
            reply.success, reply.error_code = True, ErrorCode.NONE
        except WorkError as error:
            reply.error_code, reply.message = error.code, str(error)
        except Exception as error:  # noqa: BLE001 (logged, and in the reply)
            self._node.get_logger().error(f"a request failed: {error}\n{traceback.format_exc()}")
            reply.error_code, reply.message = ErrorCode.UNKNOWN, str(error) or repr(error)
        if not reply.header.frame_id:
            self._fill_header(reply)
        reply.latency = duration_message(time.monotonic_ns() - started_ns)
        return reply

    def _fill_header(self, reply: Any) -> None:
        """Say what an error is about: the newest scene, or the frame that one would be in."""
        with suppress(WorkError):
            session = self._session(False)
            state = session.worker.state
            if state is not None:
                reply.header = header_message(state.scene.clip)
            else:
                reply.header.frame_id = session.parameters.fixed_frame

    async def _ask(
        self,
        request: Any,
        reply: Any,
        started_ns: int,
        *,
        wait: bool,
        on_change: Callable[[WorkItem], None] | None = None,
    ) -> None:
        question = _required("question", request.question)
        session = self._session(True)
        state, found = await answer(
            self._node,
            session,
            request,
            lambda scene: scene.ask(question),
            ErrorCode.BAD_REQUEST,
            wait=wait,
            on_change=on_change,
        )
        move = self._mover(session, state, request, reply)
        fit = session.publishers.fit(state.named(found.objects), state.scene.clip.output_frame)
        moved = replace(found, objects=tuple(move(item) for item in fit))
        reply.header = header_message(state.scene.clip, request.frame_id)
        reply.answer = answer_message(
            state.scene.clip,
            moved,
            reply.header,
            model=session.publishers.model,
            sequence=state.sequence,
            latency_ns=time.monotonic_ns() - started_ns,
        )
        session.publishers.publish_answer(reply.answer)

    def _mover(
        self, session: Session, state: SceneState, request: Any, reply: Any
    ) -> Callable[[SceneObject], SceneObject]:
        """A function that transforms the scene's objects to the requested frame.

        TF keeps ten seconds: of an older scene in the fixed frame, things stand where they stood,
        so that the newest transform serves, and the reply says so.

        Raises:
            WorkError: If that frame cannot be reached.
        """
        clip, frame_id = state.scene.clip, request.frame_id
        if frame_id in {"", clip.output_frame}:
            return lambda item: item
        if session.transforms is None:
            raise WorkError(
                ErrorCode.NO_TRANSFORM, "this node has no transforms; leave frame_id empty"
            )
        where = (frame_id, clip.output_frame)
        try:
            target_from_source = session.transforms.lookup(*where, clip.stamp_ns)
        except TransformError as error:
            if not clip.fixed_frame:
                text = f"{error}; the poses are in a frame that moves: leave frame_id empty"
                raise WorkError(ErrorCode.NO_TRANSFORM, text) from error
            try:
                target_from_source = session.transforms.lookup(*where, NEWEST)
            except TransformError:
                text = f"{error}; leave frame_id empty for poses in {clip.fixed_frame!r}"
                raise WorkError(ErrorCode.NO_TRANSFORM, text) from error
            reply.message = f"{frame_id!r} is where it is now: TF has forgotten the scene's time"
        return lambda item: reframe(item, frame_id, target_from_source)

    def _fill_objects(
        self,
        session: Session,
        state: SceneState,
        request: Any,
        reply: Any,
        objects: Sequence[SceneObject],
    ) -> None:
        move = self._mover(session, state, request, reply)
        reply.header = header_message(state.scene.clip, request.frame_id)
        reply.objects = object_messages([move(item) for item in objects])


def _required(name: str, text: str) -> str:
    text = text.strip()
    if not text:
        raise WorkError(ErrorCode.BAD_REQUEST, f"{name} is empty; say what is asked for")
    return text
