"""Calls the perception node's services from any thread."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from lifecycle_msgs.srv import GetState

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.msg import ErrorCode
from vega3d_ros.srv import AskSpatial, ListObjects, QueryRelation

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.client import Client
    from rclpy.node import Node

NOT_FOUND = "not found yet"
_CALL_S = 15.0
_CHECK_S = 0.1


class ClientError(Vega3dError, RuntimeError):
    """A service that is missing or does not reply in time; the message names it."""


class PerceptionClient:
    """Blocking calls; another thread must spin the node.

    Args:
        node: Owns the service clients.
        name: Name of the perception node, with its namespace.
        check: Called while waiting; what it raises ends the call.
    """

    def __init__(self, node: Node, name: str, check: Callable[[], None]) -> None:
        self._check = check
        self._state = node.create_client(GetState, f"{name}/get_state")
        self._ask = node.create_client(AskSpatial, f"{name}/ask")
        self._relation = node.create_client(QueryRelation, f"{name}/query_relation")
        self._list = node.create_client(ListObjects, f"{name}/list_objects")

    def state(self) -> str:
        """The lifecycle state's label; "not found yet" before the node answers."""
        if not self._state.service_is_ready():
            return NOT_FOUND
        try:
            return str(self._call(self._state, GetState.Request(), 2.0).current_state.label)
        except ClientError:
            return "busy"

    def model_state(self) -> tuple[bool, str]:
        """Whether an active node has its model, and its message; the model computes nothing."""
        request = AskSpatial.Request(question="Is the model loaded?")
        request.max_age.nanosec = 1  # no scene is that new, so the question is refused
        try:
            reply = self._call(self._ask, request, 2.0)
        except ClientError:
            return False, "busy"
        return reply.error_code != ErrorCode.NO_MODEL, str(reply.message)

    def ask(self, question: str) -> Any:
        """Ask about the newest scene; the reply of AskSpatial."""
        return self._call(self._ask, AskSpatial.Request(question=question))

    def relation(self, subject: str, object_: str, viewpoint: str = "camera") -> Any:
        """How two things lie; the reply of QueryRelation."""
        request = QueryRelation.Request(subject=subject, object=object_, viewpoint=viewpoint)
        return self._call(self._relation, request)

    def list_objects(self) -> Any:
        """All objects of the node's map; the reply of ListObjects."""
        return self._call(self._list, ListObjects.Request())

    def _call(self, client: Client, request: Any, timeout_s: float = _CALL_S) -> Any:
        """Call and wait.

        Raises:
            ClientError: If the service is missing or does not reply within ``timeout_s``.
        """
        end_s = time.monotonic() + timeout_s
        while not client.wait_for_service(timeout_sec=_CHECK_S):
            self._check()
            if time.monotonic() > end_s:
                msg = f"service {client.srv_name} is missing; is the node active?"
                raise ClientError(msg)
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        while not done.wait(_CHECK_S):
            self._check()
            if time.monotonic() > end_s:
                client.remove_pending_request(future)
                msg = f"service {client.srv_name} did not reply within {timeout_s:.0f} s"
                raise ClientError(msg)
        return future.result()
