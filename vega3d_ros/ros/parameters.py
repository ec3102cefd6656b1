"""The node's parameters in ROS: declared with ranges and units, then read as a whole."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)

from vega3d_ros.models.checkpoints.auto_model import resolve
from vega3d_ros.perception.settings import ParameterError, Parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rclpy.node import Node
    from rclpy.parameter import Parameter

    from vega3d_ros.ros.worker_futures import Session

AT_ONCE = frozenset({"min_score", "queries", "query_timeout_s", "silence_warning_s"})
"""What a configured node applies when it is set; all else is read by ``configure``."""


def declare_parameters(node: Node, configured: Callable[[], Session | None]) -> None:
    """Declare every parameter; ROS itself then refuses wrong types and values out of range.

    Args:
        node: The node; what is set later is refused, or applied to the session at once.
        configured: Gives the session; None where the node is not configured.
    """
    for item in fields(Parameters):
        # ROS cannot tell the type of an empty list; one empty string means the same.
        default = list(item.default) or [""] if isinstance(item.default, tuple) else item.default
        descriptor = ParameterDescriptor(description=item.metadata["text"])
        low, high = item.metadata["low"], item.metadata["high"]
        if isinstance(item.default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high))
            ]
        elif low is not None:
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
        node.declare_parameter(item.name, default, descriptor)
    node.add_on_set_parameters_callback(lambda given: _judged(configured(), given))
    node.add_post_set_parameters_callback(lambda given: _apply(configured(), given))


def read_parameters(node: Node) -> Parameters:
    """Read and check all parameters.

    Raises:
        ParameterError: If one of them, or two together, cannot be used.
    """
    return _checked(
        {item.name: node.get_parameter(item.name).value for item in fields(Parameters)}
    )


def updated(parameters: Parameters, given: Sequence[Parameter]) -> Parameters:
    """The parameters of a configured node with some of them set to other values.

    Args:
        parameters: Those that it was configured with.
        given: What is set; parameters of ROS itself are passed over.

    Raises:
        ParameterError: If one of them is read by ``configure`` alone, or cannot be used.
    """
    values = {item.name: getattr(parameters, item.name) for item in fields(Parameters)}
    changed = {item.name: item.value for item in given if item.name in values}
    if fixed := sorted(set(changed) - AT_ONCE):
        msg = (
            f"parameter `{'`, `'.join(fixed)}` is read when the node is configured; deactivate "
            f"it and clean it up, set the parameter, then configure and activate it "
            f"(ros2 lifecycle set NODE deactivate, cleanup, configure, activate)"
        )
        raise ParameterError(msg)
    return _checked({**values, **changed})


def _judged(session: Session | None, given: Sequence[Parameter]) -> SetParametersResult:
    """An unconfigured node takes all; ``configure`` checks it as a whole."""
    try:
        if session is not None:
            updated(session.parameters, given)
    except ParameterError as error:
        return SetParametersResult(successful=False, reason=str(error))
    return SetParametersResult(successful=True)


def _apply(session: Session | None, given: Sequence[Parameter]) -> None:
    if session is None:
        return
    earlier, session.parameters = session.parameters, updated(session.parameters, given)
    session.publishers.min_score = session.parameters.min_score
    if session.parameters.queries != earlier.queries:
        session.worker.set_queries(session.parameters.queries)


def _checked(values: dict[str, Any]) -> Parameters:
    queries = tuple(query.strip() for query in values["queries"] if query.strip())
    return Parameters(**{**values, "queries": queries})


def settle_model(node: Node, parameters: Parameters) -> tuple[Parameters, str]:
    """The parameters with the model that "auto" stands for here.

    Returns:
        The parameters, and a sentence, which is also logged, where that model is not meant for
        real cameras, or a better one was passed over; else an empty one.
    """
    model, note = resolve(parameters.model, parameters.device)
    if note:
        node.get_logger().warning(note)
    return replace(parameters, model=model), note
