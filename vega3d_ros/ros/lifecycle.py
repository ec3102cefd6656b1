"""Transitions that fail with a log line and a reply, instead of silence or the node's end."""

from __future__ import annotations

import functools
import traceback
from typing import TYPE_CHECKING, Any, TypeVar

from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import TransitionCallbackReturn

from vega3d_ros.perception.settings import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.lifecycle import LifecycleNode

    AnyNode = TypeVar("AnyNode", bound=LifecycleNode)


def transition(callback: Callable[[AnyNode, Any], Any]) -> Callable[[AnyNode, Any], Any]:
    """Make a transition fail with a log line; rclpy hides the exceptions of transitions."""

    @functools.wraps(callback)
    def wrapped(node: AnyNode, state: Any) -> Any:
        try:
            return callback(node, state)
        except ParameterError as error:
            node.get_logger().error(str(error))
        except Exception as error:  # noqa: BLE001 (logged; the transition fails)
            node.get_logger().error(
                f"{callback.__name__} failed: {error}\n{traceback.format_exc()}"
            )
        return TransitionCallbackReturn.FAILURE

    return wrapped


def refuse_impossible_transitions(node: LifecycleNode) -> None:
    """Refuse transitions that do not start from the present state.

    rclpy (Jazzy, Kilted) raises out of the service instead, which ends the node and leaves the
    client without a reply, for example after `ros2 lifecycle set NODE configure` twice.
    """
    for service in node.services:
        if service.srv_type is ChangeState:
            service.callback = functools.partial(_change_state, node, service.callback)


def _change_state(
    node: LifecycleNode, change: Callable[[Any, Any], Any], request: Any, reply: Any
) -> Any:
    try:
        return change(request, reply)
    except Exception as error:  # noqa: BLE001 (rclpy's class has no public name; logged, and in the reply)
        wanted = request.transition.label or request.transition.id
        node.get_logger().error(f"transition {wanted} was refused: {error}")
        reply.success = False
        return reply
