"""Kinds of a part by their type name, as ``model.json`` says it; imported when they are used."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points as installed
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.core.nearest import did_you_mean

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


class RegistryError(Vega3dError, ValueError):
    """A type name that stands for nothing usable; the message says which names do."""


class Registry(Generic[T]):
    """What may stand in the ``type`` field of one part.

    A line of this package is a keyword with the place of a class, ``"module:Class"``. Another
    package adds its own as an entry point; a name of this package is not replaced by one.

    Args:
        kind: What the part is called in errors and in ``model.json``.
        entry_points: Group of the entry points.
        places: ``"module:Class"`` by type name.
    """

    def __init__(self, kind: str, *, entry_points: str, **places: str) -> None:
        self.kind = kind
        self._group = entry_points
        self._places = places

    @property
    def names(self) -> tuple[str, ...]:
        """Every known type name, in order."""
        return tuple(sorted({*self._places, *self._foreign()}))

    def get(self, name: str) -> T:
        """The class of a type name; its module is imported now.

        Raises:
            RegistryError: If the name is unknown, or its package cannot be imported.
        """
        try:
            if name in self._places:
                module, _, attribute = self._places[name].partition(":")
                return cast("T", getattr(import_module(module), attribute))
            foreign = self._foreign().get(name)
            if foreign is not None:
                return cast("T", foreign.load())
        except (ImportError, AttributeError) as error:
            msg = f"{self.kind} {name!r} cannot be imported: {error}; install what it needs"
            raise RegistryError(msg) from error
        hint = did_you_mean(name, self.names)
        msg = f"unknown {self.kind} {name!r}{hint}; known: {', '.join(self.names)}"
        raise RegistryError(msg)

    def _foreign(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in installed(group=self._group)}
