"""Detections of one thing are joined, and those of several things are not."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vega3d_ros.models.grounders.lifted.tracks import Track, associate, unite


def cells(low, high):
    return np.arange(low, high)


# Two chairs side by side in three frames, one box around both in a fourth, and a sofa.
FOUND = [
    ("chair", 0.8, 0, cells(0, 10)),
    ("chair", 0.7, 0, cells(11, 20)),
    ("chair", 0.8, 1, cells(1, 10)),
    ("chair", 0.7, 1, cells(11, 21)),
    ("chair", 0.6, 2, cells(0, 9)),
    ("chair", 0.6, 2, cells(12, 20)),
    ("chair", 0.5, 3, cells(0, 20)),
    ("sofa", 0.9, 3, cells(50, 70)),
]


def groups(found):
    labels, scores, frames, keys = zip(*found, strict=True)
    return associate(labels, scores, frames, keys, 0.25)


@given(st.permutations(range(len(FOUND))))
def test_the_order_of_detections_and_frames_does_not_matter(order):
    tracks = groups([FOUND[i] for i in order])
    members = {tuple(sorted(order[i] for i in track.members)) for track in tracks}
    expected = {tuple(sorted(track.members)) for track in groups(FOUND)}
    assert members == expected


def test_two_things_of_a_name_side_by_side_stay_two_in_spite_of_a_box_around_both():
    tracks = groups(FOUND)
    assert [track.label for track in tracks] == ["chair", "chair", "sofa"]
    first = {frozenset(track.members) - {6} for track in tracks[:2]}
    assert first == {frozenset({0, 2, 4}), frozenset({1, 3, 5})}


def test_two_detections_of_one_frame_are_not_joined_at_first():
    found = [("chair", 0.8, 0, cells(0, 10)), ("chair", 0.7, 0, cells(2, 8))]
    assert len(groups(found)) == 2


def united(tracks, voxels, **shares):
    rules = {"same_share": 0.3, "double_share": 0.5, "like_volume": 0.5} | shares

    def measure(track):
        flags = np.zeros(100, np.bool_)
        for member in track.members:
            flags[voxels[member]] = True
        return flags

    return unite(tracks, measure, *rules.values())


def track(label, member, strength):
    return Track(label, (member,), ((label, strength),))


def test_tracks_of_a_name_that_share_space_are_one():
    found = united([track("sofa", 0, 2.0), track("sofa", 1, 1.0)], [cells(0, 50), cells(30, 60)])
    assert len(found) == 1
    assert found[0][0].members == (0, 1)
    assert np.count_nonzero(found[0][1]) == 60


def test_a_double_under_two_names_is_one_thing_with_the_surer_name_and_the_other_kept():
    found = united([track("bed", 0, 1.0), track("sofa", 1, 2.5)], [cells(0, 50), cells(5, 55)])
    assert len(found) == 1
    assert found[0][0].label == "sofa"
    assert dict(found[0][0].strengths) == {"sofa": 2.5, "bed": 1.0}


def test_a_small_thing_on_a_large_one_of_another_name_stays():
    found = united([track("vase", 0, 1.0), track("table", 1, 2.5)], [cells(0, 8), cells(0, 80)])
    assert sorted(track.label for track, _ in found) == ["table", "vase"]


def test_a_box_around_a_row_of_surer_things_is_dropped():
    row, left, right = track("chair", 0, 1.0), track("chair", 1, 2.0), track("chair", 2, 2.0)
    found = united([row, left, right], [cells(0, 40), cells(0, 19), cells(21, 40)])
    assert sorted(one.members for one, _ in found) == [(1,), (2,)]


def test_parts_of_a_surer_thing_join_it():
    whole, left, right = track("sofa", 0, 3.0), track("sofa", 1, 0.5), track("sofa", 2, 0.5)
    found = united([whole, left, right], [cells(0, 40), cells(0, 12), cells(28, 40)])
    assert [one.members for one, _ in found] == [(0, 1, 2)]
