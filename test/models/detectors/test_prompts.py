"""Texts are cleaned and shared out over prompts that fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vega3d_ros.models.detectors.hub.prompts import passes, phrase, without_article


@given(st.lists(st.integers(1, 50)), st.integers(10, 60))
def test_passes_hold_every_text_once_in_order_and_fit(lengths, limit):
    groups = list(passes(lengths, limit))
    assert [index for group in groups for index in group] == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or sum(lengths[index] for index in group) <= limit


@given(st.lists(st.integers(1, 50)), st.integers(10, 60))
def test_no_pass_could_take_the_next_text_too(lengths, limit):
    for group in passes(lengths, limit):
        if group.stop < len(lengths):
            assert sum(lengths[index] for index in range(group.start, group.stop + 1)) > limit


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("The Red CHAIR.", "the red chair"),
        (" a. b? ", "a b"),
        ("...", ""),
        ("box, open", "box open"),
    ],
)
def test_a_phrase_ends_nowhere_but_at_its_end(text, clean):
    assert phrase(text) == clean


def test_only_a_leading_article_goes():
    assert without_article("the cup on the table") == "cup on the table"
    assert without_article("theatre") == "theatre"
