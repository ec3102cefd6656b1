"""The probability grows with what speaks for a thing and falls with what speaks against it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vega3d_ros.models.grounders.lifted.score import probability

SCORES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8)


@given(SCORES, st.integers(0, 12))
def test_it_is_a_probability(scores, views):
    assert 0.0 <= probability(scores, views) <= 1.0


@given(SCORES, st.floats(0.0, 1.0), st.integers(0, 12))
def test_another_view_never_lowers_it(scores, more, views):
    views = max(views, len(scores) + 1)
    assert probability([*scores, more], views) >= probability(scores, views) - 1e-12


@given(SCORES, st.floats(0.0, 1.0), st.integers(0, 12))
def test_a_surer_detector_never_lowers_it(scores, better, views):
    surer = [max(scores[0], better), *scores[1:]]
    assert probability(surer, views) >= probability(scores, views) - 1e-12


@given(SCORES, st.integers(1, 12))
def test_a_frame_that_should_have_shown_it_lowers_it(scores, missed):
    before = probability(scores, len(scores))
    after = probability(scores, len(scores) + missed)
    assert after < before or before == 0.0
