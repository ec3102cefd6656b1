"""The inputs that an ONNX file declares.

OpenCV does not tell them. This reads the few fields of the protocol buffer that hold them
(onnx.proto: ModelProto.graph, GraphProto.input and .initializer, ValueInfoProto, TypeProto).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vega3d_ros.models.detectors.base import DetectorError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_GRAPH, _INITIALIZER, _INPUT = 7, 5, 11
_VALUE_NAME, _VALUE_TYPE, _TENSOR_NAME = 1, 2, 8
_TENSOR_TYPE, _SHAPE, _DIMENSION, _SIZE = 1, 2, 1, 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_inputs(file: Path) -> dict[str, tuple[int | None, ...]]:
    """Name and shape of each input, weights left out; None for a size that is left open.

    Raises:
        DetectorError: If the file cannot be read or is no ONNX file.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        msg = f"{file} cannot be read: {error}"
        raise DetectorError(msg) from error
    try:
        return _graph_inputs(memoryview(content))
    except (IndexError, ValueError) as error:
        msg = f"{file} is no ONNX file, or is cut off: download or copy it again"
        raise DetectorError(msg) from error


def _graph_inputs(content: memoryview) -> dict[str, tuple[int | None, ...]]:
    graphs = list(_messages(content, _GRAPH))
    if not graphs:
        msg = "no graph"
        raise ValueError(msg)
    weights = {_name(tensor, _TENSOR_NAME) for tensor in _messages(graphs[0], _INITIALIZER)}
    inputs = {_name(v, _VALUE_NAME): _shape(v) for v in _messages(graphs[0], _INPUT)}
    return {name: shape for name, shape in inputs.items() if name not in weights}


def _name(message: memoryview, field: int) -> str:
    return next((bytes(name).decode() for name in _messages(message, field)), "")


def _shape(value_info: memoryview) -> tuple[int | None, ...]:
    return tuple(
        next((n for key, n in _fields(dimension) if key == _SIZE and isinstance(n, int)), None)
        for value_type in _messages(value_info, _VALUE_TYPE)
        for tensor in _messages(value_type, _TENSOR_TYPE)
        for shape in _messages(tensor, _SHAPE)
        for dimension in _messages(shape, _DIMENSION)
    )


def _messages(message: memoryview, field: int) -> Iterator[memoryview]:
    return (
        value for key, value in _fields(message) if key == field and not isinstance(value, int)
    )


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field: numbers as they are, all else as its bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            number, at = _varint(message, at)
            yield tag >> 3, number
            continue
        if kind == _BYTES:
            length, at = _varint(message, at)
        elif kind in {_FIXED32, _FIXED64}:
            length = 4 if kind == _FIXED32 else 8
        else:
            msg = f"unknown wire type {kind}"
            raise ValueError(msg)
        if at + length > len(message):
            msg = "cut off"
            raise ValueError(msg)
        yield tag >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    msg = "a number of more than ten bytes"
    raise ValueError(msg)
