"""Tiny ONNX files, written byte by byte."""

from __future__ import annotations

import numpy as np

FLOAT = 1


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def value_info(name, shape):
    dims = b"".join(
        field(1, field(2, side) if isinstance(side, str) else field(1, side)) for side in shape
    )
    return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, dims)))


def tensor(name, array):
    array = np.asarray(array, np.float32)
    dims = b"".join(field(1, side) for side in array.shape)
    return dims + field(2, FLOAT) + field(8, name) + field(9, array.tobytes())


def node(kind, inputs, outputs):
    names = [field(1, name) for name in inputs] + [field(2, name) for name in outputs]
    return b"".join(names) + field(4, kind)


def write_constant(file, output, input_shape, weights_as_inputs=False):
    """A network that gives ``output``, whatever its input."""
    parts = [
        field(1, node("Identity", ["planted"], ["output"])),
        field(2, "planted"),
        field(5, tensor("planted", output)),
        field(11, value_info("data", input_shape)),
        field(12, value_info("output", output.shape)),
    ]
    if weights_as_inputs:
        parts.append(field(11, value_info("planted", output.shape)))
    graph = b"".join(parts)
    opset = field(8, field(1, "") + field(2, 13))
    file.write_bytes(field(1, 8) + field(7, graph) + opset)
    return file
