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
from vega3d_ros.perception.settings import ParameterError, Parameters, check_value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rclpy.node import Node
    from rclpy.parameter import Parameter

    from vega3d_ros.ros.worker_futures import Session

AT_ONCE = frozenset(
    {
        "min_score",
        "queries",
        "publish_rate",
        "keyframe_translation_m",
        "keyframe_rotation_rad",
        "keyframe_max_interval_s",
        "keyframe_min_interval_s",
        "query_timeout_s",
        "silence_warning_s",
    }
)
"""What a configured node applies when it is set; all else is read by ``configure``."""


def declare_parameters(
    node: Node,
    configured: Callable[[], Session | None],
    apply: Callable[[Parameters], None],
    why_missing: Callable[[str], str],
) -> None:
    """Declare every parameter; ROS itself then refuses wrong types and values out of range.

    Args:
        node: The node; what is set later is refused, or applied at once.
        configured: Gives the session; None where the node is not configured.
        apply: Called with all parameters of a configured node after some of them were set.
        why_missing: Tells why a name stands for no model; empty where it may.
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
    node.add_on_set_parameters_callback(lambda given: _judged(configured(), given, why_missing))

    def applied(given: Sequence[Parameter]) -> None:
        if (session := configured()) is not None:
            apply(updated(session.parameters, given))

    node.add_post_set_parameters_callback(applied)


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


def _judged(
    session: Session | None, given: Sequence[Parameter], why_missing: Callable[[str], str]
) -> SetParametersResult:
    """An unconfigured node checks values alone: those that go together are set one by one."""
    try:
        if session is not None:
            updated(session.parameters, given)
        for item in given:
            if item.name == "model" and (why := why_missing(item.value)):
                return SetParametersResult(successful=False, reason=why)
            check_value(item.name, _plain(item.name, item.value))
    except ParameterError as error:
        return SetParametersResult(successful=False, reason=str(error))
    return SetParametersResult(successful=True)


def _checked(values: dict[str, Any]) -> Parameters:
    return Parameters(**{name: _plain(name, value) for name, value in values.items()})


def _plain(name: str, value: Any) -> Any:
    """A value of ROS as ``Parameters`` has it."""
    if name != "queries":
        return value
    return tuple(query.strip() for query in value or () if query.strip())


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
