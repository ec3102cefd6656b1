"""Refuses parameters that were given at the start and that the node would never read.

ROS ignores a misspelt name, and a section of a parameter file for a node of another name.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.nearest import did_you_mean, nearest
from vega3d_ros.perception.parameter_file import read_sections
from vega3d_ros.perception.settings import ParameterError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

_OF_ROS = ("use_sim_time", "start_type_description_service")
_PREFIX_OF_ROS = "qos_overrides."
_FILE, _VALUE = ("--params-file",), ("-p", "--param")


def check_given(arguments: Sequence[str], node: str, known: Collection[str]) -> list[str]:
    """Check ``--params-file`` and ``-p`` of a command line.

    Args:
        arguments: The command line.
        node: The node's full name, ``/cam/perception``.
        known: The parameters that it declares.

    Returns:
        What is ignored since it may be meant for other nodes, as sentences.

    Raises:
        ParameterError: If a name or a section is misspelt; with the nearest right one.
        ParameterFileError: If a file holds no parameters.
    """
    ignored: list[str] = []
    for option, value in pairwise(arguments):
        if option in _FILE:
            ignored += _check_file(Path(value), node, known)
        elif option in _VALUE:
            name = value.split(":=")[0].rsplit(":", 1)[-1]
            ignored += _unknown([name], known, f"-p {value}", alone=False)
    return ignored


def with_empty_values(arguments: Sequence[str]) -> list[str]:
    """The command line with ``-p fixed_frame:=`` as rcl takes it: an empty text is quoted."""
    before = ["", *arguments]
    return [
        f"{word}''" if option in _VALUE and word.endswith(":=") else word
        for option, word in zip(before, arguments, strict=False)
    ]


def _check_file(path: Path, node: str, known: Collection[str]) -> Iterator[str]:
    sections = read_sections(path)
    own = [(name, values) for name, values in sections if _means(name, node)]
    for name, values in own:
        yield from _unknown(values, known, f"{path}: {name}", alone="*" not in name)
    for name, values in sections:
        if not _means(name, node) and _meant(name, values, node, known, alone=not own):
            msg = f"{path}: section {name} is not read by this node; call it {node} or /**"
            raise ParameterError(msg)
    if sections and not own:
        names = ", ".join(name for name, _ in sections)
        yield f"{path} has nothing for {node}; it has parameters for {names}"


def _means(section: str, node: str) -> bool:
    """Whether a section is read by a node, as rcl decides it."""
    pattern = re.escape(section).replace(r"/\*\*", "(/[^/]+)*").replace(r"\*", "[^/]+")
    return re.fullmatch(pattern, node) is not None


def _meant(
    section: str, values: Mapping[str, Any], node: str, known: Collection[str], *, alone: bool
) -> bool:
    """Whether a section that is not read was meant for this node: it has its parameters.

    Args:
        section: Its name.
        values: Its parameters.
        node: The node's full name.
        known: What the node declares.
        alone: Whether the file has no section that the node reads.
    """
    if not set(values) & (set(known) - set(_OF_ROS)):
        return False
    name, last = node.rsplit("/", 1)[-1], section.rsplit("/", 1)[-1]
    if last == name and section.count("/") > 1:  # another camera's
        return alone
    return alone or nearest(last, [name]) != ""


def _unknown(
    names: Collection[str], known: Collection[str], where: str, *, alone: bool
) -> Iterator[str]:
    """What is said of names that the node does not declare; raises for those meant for it.

    Args:
        names: The names.
        known: What it declares.
        where: Where they stand.
        alone: Whether no other node reads them.
    """
    for name in names:
        if name in known or name in _OF_ROS or name.startswith(_PREFIX_OF_ROS):
            continue
        if alone or nearest(name, known):
            hint = did_you_mean(name, known)
            msg = f"{where}: there is no parameter {name!r}{hint}; see config/perception.yaml"
            raise ParameterError(msg)
        yield f"{where}: this node has no parameter {name!r}"
