import re

import pytest

from vega3d_ros.simulation.referring import make_referring


@pytest.fixture
def scene(thing):
    return [
        thing("bed", 0, 0),
        thing("chair", 1, 0, color="red", name="near", size=(0.5, 0.5, 0.9)),
        thing("chair", 4, 0, color="blue", name="far", size=(0.7, 0.7, 1.1)),
        thing("tv", 0, 3, color=None),
        thing("desk", 0, -3, color="red", pixels=[20], name="unseen"),
    ]


def _table(expressions):
    """What each expression stood for, over all seeds; it must always be the same."""
    table = {}
    for item in expressions:
        assert table.setdefault(item.text.removeprefix("the "), item.objects) == item.objects
    return table


def test_every_expression_means_what_it_should(scene, many):
    table = _table(many(make_referring, scene, runs=200))
    expected = {
        "bed": ("bed",),
        "chair": ("near", "far"),
        "red chair": ("near",),
        "blue chair": ("far",),
        "tv": ("tv",),
        "largest chair": ("far",),
        "smallest chair": ("near",),
        "chair nearest to the bed": ("near",),
        "chair farthest from the bed": ("far",),
    }
    assert {text: table[text] for text in expected} == expected
    absent = {text for text, objects in table.items() if not objects}
    assert "desk" in absent or "sofa" in absent
    # Wrong colours of things that are there.
    assert any(re.fullmatch(r"(green|yellow|black) chair", text) for text in absent)
    assert not any("desk" in text for text, objects in table.items() if objects)


def test_ties_and_unknown_colours_are_not_described(thing, many):
    objects = [
        thing("bed", 0, 0),
        thing("chair", 2, 0, color="red", name="a"),
        thing("chair", -2.1, 0, color=None, name="b"),
    ]
    table = _table(many(make_referring, objects))
    assert not any(
        re.search(r"red chair|chair (nearest|farthest)|est chair", text) for text in table
    )


def test_about_a_third_is_absent(scene, many):
    expressions = many(make_referring, scene, runs=100)
    assert 0.15 < sum(not item.objects for item in expressions) / len(expressions) < 0.5
