"""Kinds of a part by name."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from vega3d_ros.core import registry
from vega3d_ros.core.registry import Registry, RegistryError

GROUP = "vega3d_ros.tests"


def shapes() -> Registry[type]:
    return Registry(
        "shape", entry_points=GROUP, circle="colorsys:ONE_THIRD", square="no_such_module:Square"
    )


@pytest.fixture
def foreign(monkeypatch):
    """What another package has registered."""
    points = [
        EntryPoint("fraction", "fractions:Fraction", GROUP),
        EntryPoint("circle", "fractions:Fraction", GROUP),
        EntryPoint("broken", "no_such_package:Thing", GROUP),
    ]
    monkeypatch.setattr(registry, "installed", lambda group: points if group == GROUP else [])


def test_nothing_is_imported_until_it_is_used(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    known = shapes()
    assert known.names == ("circle", "square")
    assert "colorsys" not in sys.modules
    assert known.get("circle") == pytest.approx(1 / 3)
    assert "colorsys" in sys.modules


def test_another_package_adds_a_kind_but_replaces_none(foreign):
    from fractions import Fraction

    known = shapes()
    assert known.names == ("broken", "circle", "fraction", "square")
    assert known.get("fraction") is Fraction
    assert known.get("circle") == pytest.approx(1 / 3)


def test_an_unknown_name_is_answered_by_the_nearest_and_all_known_ones(foreign):
    with pytest.raises(RegistryError) as error:
        shapes().get("circel")
    assert str(error.value) == (
        "unknown shape 'circel' (did you mean 'circle'?); known: broken, circle, fraction, square"
    )
    with pytest.raises(RegistryError, match="unknown shape 'xyz'; known"):
        shapes().get("xyz")


@pytest.mark.parametrize(
    ("name", "cause"), [("square", "no_such_module"), ("broken", "no_such_package")]
)
def test_what_cannot_be_imported_is_named(foreign, name, cause):
    with pytest.raises(RegistryError, match=f"shape '{name}' cannot be imported: .*{cause}"):
        shapes().get(name)
