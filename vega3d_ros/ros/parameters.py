"""The node's parameters in ROS: declared with ranges and units, then read as a whole."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

from vega3d_ros.models.checkpoints.auto_model import resolve
from vega3d_ros.perception.settings import Parameters

if TYPE_CHECKING:
    from rclpy.node import Node


def declare_parameters(node: Node) -> None:
    """Declare every parameter; ROS itself then refuses wrong types and values out of range."""
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


def read_parameters(node: Node) -> Parameters:
    """Read and check all parameters.

    Raises:
        ParameterError: If one of them, or two together, cannot be used.
    """
    values = {item.name: node.get_parameter(item.name).value for item in fields(Parameters)}
    values["queries"] = tuple(query.strip() for query in values["queries"] if query.strip())
    return Parameters(**values)


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
