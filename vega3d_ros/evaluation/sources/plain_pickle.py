"""The values in a pickle of plain data, read without running it.

EmbodiedScan is published as pickles, and a pickle is a program that may do anything. This reads
the opcodes and does only what makes numbers, texts, lists, dicts and numeric arrays; it never
imports or calls what a pickle names, and refuses everything else.
"""

from __future__ import annotations

import pickletools
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from vega3d_ros.core.errors import Vega3dError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import IO

# What NumPy writes for arrays, types and scalars, in its versions 1 and 2; and how old protocols
# write bytes and sets.
_NAMES = {
    f"{core}.{name}": name.rsplit(".", 1)[1]
    for core in ("numpy.core", "numpy._core")
    for name in ("multiarray._reconstruct", "multiarray.scalar", "numeric._frombuffer")
} | {
    "numpy.ndarray": "ndarray",
    "numpy.dtype": "dtype",
    "_codecs.encode": "encode",
    "__builtin__.bytes": "bytes",
    "builtins.bytes": "bytes",
    "__builtin__.set": "set",
    "builtins.set": "set",
}
_MADE: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": set,
}
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
# fmt: off
_LITERALS = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
})
# fmt: on
_NUMERIC = "biuf"


class PlainPickleError(Vega3dError, ValueError):
    """A file that is no pickle of plain data."""


class _Name:
    """A name in a pickle, which is never imported."""

    def __init__(self, name: str) -> None:
        if name not in _NAMES:
            msg = f"it names {name}, which is no plain data"
            raise PlainPickleError(msg)
        self.name = _NAMES[name]


class _Unfinished:
    """An array or a type whose state follows.

    Attributes:
        kind: Code of a type, such as "f8"; empty for an array.
        slots: Where the memo refers to it.
    """

    def __init__(self, kind: str = "") -> None:
        self.kind = kind
        self.slots: list[int] = []


def load(path: Path) -> Any:
    """The value that a pickle of plain data holds.

    Raises:
        PlainPickleError: If the file is damaged, or holds anything but plain data.
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        try:
            return _Machine().run(file)
        except (IndexError, KeyError, TypeError, ValueError) as error:
            msg = f"{path} is no pickle of plain data: {error}"
            raise PlainPickleError(msg) from error


class _Machine:
    """The stack, marks and memo of a pickle, and what its opcodes do to them."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._does: dict[str, Callable[[Any], None]] = {
            "MARK": lambda _: self._marks.append(len(self._stack)),
            "TUPLE": lambda _: self._push(tuple(self._since_mark())),
            "LIST": lambda _: self._push(self._since_mark()),
            "DICT": lambda _: self._push(_pairs(self._since_mark())),
            "APPEND": lambda _: self._append([self._stack.pop()]),
            "APPENDS": lambda _: self._append(self._since_mark()),
            "ADDITEMS": self._add,
            "SETITEM": lambda _: self._set([self._stack.pop(-2), self._stack.pop()]),
            "SETITEMS": lambda _: self._set(self._since_mark()),
            "MEMOIZE": lambda _: self._remember(len(self._memo)),
            "GLOBAL": lambda names: self._push(_Name(names.replace(" ", "."))),
            "STACK_GLOBAL": self._name,
            "REDUCE": self._call,
            "BUILD": self._build,
            "PROTO": lambda _: None,
            "FRAME": lambda _: None,
        }
        self._does |= dict.fromkeys(_LITERALS, self._push)
        for name, make in _MADE.items():
            self._does[name] = partial(self._push_new, make)
        for name, count in _SHORT_TUPLES.items():
            self._does[name] = partial(self._pack, count)
        for name in ("BINGET", "LONG_BINGET", "GET"):
            self._does[name] = lambda slot: self._push(self._memo[int(slot)])
        for name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self._does[name] = lambda slot: self._remember(int(slot))

    def run(self, file: IO[bytes]) -> Any:
        """The value that the opcodes leave."""
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name == "STOP":
                return self._stack.pop()
            if opcode.name not in self._does:
                msg = f"the opcode {opcode.name} makes no plain data"
                raise PlainPickleError(msg)
            self._does[opcode.name](argument)
        msg = "it ends too early"
        raise PlainPickleError(msg)

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _since_mark(self) -> list[Any]:
        start = self._marks.pop()
        taken = self._stack[start:]
        del self._stack[start:]
        return taken

    def _push_new(self, make: Callable[[], Any], _: Any) -> None:
        self._stack.append(make())

    def _pack(self, count: int, _: Any) -> None:
        self._stack[-count:] = [tuple(self._stack[-count:])]

    def _append(self, values: list[Any]) -> None:
        _as(list, self._stack[-1]).extend(values)

    def _add(self, _: Any) -> None:
        values = self._since_mark()
        _as(set, self._stack[-1]).update(values)

    def _set(self, values: list[Any]) -> None:
        _as(dict, self._stack[-1]).update(_pairs(values))

    def _remember(self, slot: int) -> None:
        self._memo[slot] = self._stack[-1]
        if isinstance(self._stack[-1], _Unfinished):
            self._stack[-1].slots.append(slot)

    def _name(self, _: Any) -> None:
        name = self._stack.pop()
        self._push(_Name(f"{self._stack.pop()}.{name}"))

    def _call(self, _: Any) -> None:
        arguments = _as(tuple, self._stack.pop())
        self._push(_made(_as(_Name, self._stack.pop()).name, arguments))

    def _build(self, _: Any) -> None:
        state = _as(tuple, self._stack.pop())
        unfinished = _as(_Unfinished, self._stack.pop())
        self._push(_finished(unfinished, state))
        for slot in unfinished.slots:
            self._memo[slot] = self._stack[-1]


def _pairs(values: list[Any]) -> dict[Any, Any]:
    return dict(zip(values[::2], values[1::2], strict=True))


def _as(kind: Any, value: Any) -> Any:
    if not isinstance(value, kind):
        msg = f"{type(value).__name__} where {kind.__name__} was expected"
        raise PlainPickleError(msg)
    return value


def _numeric(kind: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = _as(np.dtype, kind)
    if dtype.kind not in _NUMERIC:
        msg = f"an array of {dtype}, which is not numeric"
        raise PlainPickleError(msg)
    return dtype


def _made(name: str, arguments: tuple[Any, ...]) -> Any:
    """What a call of one of ``_NAMES`` would return."""
    if name == "_reconstruct":
        return _Unfinished()
    if name == "dtype":
        return _Unfinished(_as(str, arguments[0]))
    if name == "encode":
        return _as(str, arguments[0]).encode("latin-1")
    if name == "bytes" and not arguments:
        return b""
    if name == "set":
        return set(_as(list, arguments[0]))
    if name == "scalar":
        return np.frombuffer(_as(bytes, arguments[1]), _numeric(arguments[0]), 1)[0]
    if name == "_frombuffer":
        data, kind, shape, order = arguments
        return _array(data, _numeric(kind), shape, order)
    msg = f"a call of {name} makes no plain data"
    raise PlainPickleError(msg)


def _finished(unfinished: _Unfinished, state: tuple[Any, ...]) -> Any:
    if unfinished.kind:
        dtype = np.dtype(unfinished.kind)
        return dtype.newbyteorder(">") if state[1] == ">" else dtype
    _, shape, kind, fortran, data = state
    return _array(data, _numeric(kind), shape, "F" if fortran else "C")


def _array(data: Any, dtype: np.dtype[Any], shape: Any, order: Any) -> Any:
    flat = np.frombuffer(_as((bytes, bytearray), data), dtype)
    return flat.reshape(_as(tuple, shape), order="F" if order == "F" else "C")
