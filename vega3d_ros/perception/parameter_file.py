"""Files of ROS parameters, as ``--params-file`` takes them, read without ROS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from vega3d_ros.core.errors import Vega3dError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VALUES = "ros__parameters"


class _Loader(yaml.SafeLoader):
    """Reads lists as launch_ros writes them too: as tuples of Python."""


def _list(loader: yaml.SafeLoader, node: Any) -> list[Any]:
    return loader.construct_sequence(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _list)


class ParameterFileError(Vega3dError, ValueError):
    """A file that holds no parameters; the message names it."""


def read_sections(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The nodes that a file has parameters for, and their parameters by name.

    Nodes have their full names, ``/cam/perception``, in which ``*`` stands for one word and ``**``
    for any number of them. A word below a parameter is joined to it by a dot.

    Raises:
        ParameterFileError: If it cannot be read, or is no such file.
    """
    try:
        record = yaml.load(path.read_text(encoding="utf-8"), _Loader) or {}  # noqa: S506 - a safe one
        return list(_sections(record, ""))
    except (OSError, ValueError, yaml.YAMLError, AttributeError, TypeError) as error:
        msg = f"{path} holds no parameters of the node: {type(error).__name__} {error}"
        raise ParameterFileError(msg) from error


def _sections(record: dict[str, Any], above: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, below in record.items():
        node = f"{above}/{name.strip('/')}"
        if not isinstance(below, dict) or not below:
            msg = f"{node} is not below `{_VALUES}:`"
            raise ValueError(msg)
        if _VALUES in below:
            yield node, dict(_flat(below[_VALUES] or {}, ""))
        else:
            yield from _sections(below, node)


def _flat(values: dict[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
