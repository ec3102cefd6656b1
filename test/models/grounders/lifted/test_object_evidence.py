"""Evidence of a thing over clips: it grows by new frames, each counts once, old space fades."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vega3d_ros.models.grounders.lifted import LiftingRules
from vega3d_ros.models.grounders.lifted.object_evidence import (
    STAMPS_KEPT,
    VOXELS_KEPT,
    Circumstances,
    FrameVote,
    ThingEvidence,
)
from vega3d_ros.models.grounders.lifted.voxels import VOXEL_M, voxel_keys

pytestmark = pytest.mark.numeric
GIVEN = Circumstances(np.zeros((1, 3)), None, True, True, 0.0, 1)
ROW = np.stack([np.arange(40), np.zeros(40), np.zeros(40)], axis=1).astype(np.float32)
ROW = (ROW + 0.5) * np.float32(VOXEL_M)


class Look:
    """Sees the voxels of a row that it is told; sample i looks at voxel i."""

    def __init__(self, stamp_ns, seen=(), through=()):
        self.stamp_ns = stamp_ns
        self._seen, self._through = np.zeros((2, 41), np.bool_)
        self._seen[list(seen)] = True
        self._through[list(through)] = True

    def visibility(self, points):
        index = np.clip(np.floor(points[:, 0] / VOXEL_M).astype(np.int64), 0, 40)
        return index, self._seen[index], self._through[index]


def vote(stamp_ns, seen, inside):
    weight = np.zeros(41, np.float32)
    weight[list(inside)] = 1.0
    return FrameVote(Look(stamp_ns, seen), weight)


def of_clip(voxels, votes):
    points = ROW[sorted(set(voxels))]
    return ThingEvidence.of_clip(voxel_keys(points), points, votes, GIVEN, LiftingRules())


def wholly(voxels, *stamps):
    return of_clip(voxels, [vote(stamp, voxels, voxels) for stamp in stamps])


VOXELS = st.sets(st.integers(0, 39), min_size=1, max_size=25)


@given(VOXELS, VOXELS)
@settings(max_examples=60)
def test_shares_of_two_tracks_do_not_depend_on_which_is_merged_into_which(mine, theirs):
    a, b = wholly(mine, 1, 2).kept(), wholly(theirs, 3, 4, 5).kept()
    one, other = a.merged(b), b.merged(a)
    np.testing.assert_array_equal(one.keys, other.keys)
    np.testing.assert_allclose(one.share, other.share, rtol=1e-5)
    assert len(one.keys) == len(mine | theirs)


@given(VOXELS)
@settings(max_examples=30)
def test_frames_that_are_known_count_once(voxels):
    first, second = wholly(voxels, 1, 2), wholly(voxels, 2, 3)
    both = first.kept().merged(second)
    np.testing.assert_allclose(both.seen, 3)
    assert both.stamps_ns == (1, 2, 3)
    assert both.merged(second) is both
    assert first.frames_new(second) == 1


def test_a_frame_that_does_not_see_a_part_takes_nothing_from_it():
    whole = wholly(range(20), 1, 2).kept()
    for stamp in range(3, 60):
        whole = whole.merged(wholly(range(5), stamp))
    np.testing.assert_allclose(whole.share, 1.0)


def test_what_most_frames_see_outside_is_no_part():
    first = wholly(range(20), 1)
    for stamp in range(2, 6):
        first = first.merged(of_clip(range(10), [vote(stamp, range(20), range(10))]))
    assert first.shared(wholly(range(20), 9)) == pytest.approx(0.5)


def test_two_parts_in_one_clip_do_not_vote_against_each_other():
    left, right = range(10), range(10, 20)
    both = of_clip(left, [vote(1, range(20), left)]).joined(
        of_clip(right, [vote(1, range(20), right)])
    )
    np.testing.assert_allclose(both.share, 1.0)
    assert len(both.keys) == 20


def test_space_that_is_seen_through_fades_and_comes_back():
    thing = wholly(range(20), *range(1, 31)).kept()
    looks = [Look(100 + i, through=range(15)) for i in range(40)]
    assert not thing.looked_at(looks[:2]).vanished
    gone = thing.looked_at(looks)
    assert gone.vanished
    assert not thing.looked_at([Look(200 + i) for i in range(99)]).vanished
    back = gone.looked_at([Look(300 + i, seen=range(20)) for i in range(40)])
    assert not back.vanished


def test_stamps_and_voxels_are_bounded():
    rng = np.random.default_rng(0)
    total = None
    for stamp in range(100):
        points = rng.uniform(0, 10, (2000, 3)).astype(np.float32)
        keys, first = np.unique(voxel_keys(points), return_index=True)
        one = ThingEvidence.of_clip(
            keys, points[first], [vote(stamp, range(41), range(41))], GIVEN, LiftingRules()
        )
        total = one.kept() if total is None else total.merged(one)
    assert total.stamps_ns == tuple(range(100 - STAMPS_KEPT, 100))
    assert len(total.keys) == VOXELS_KEPT
    assert (np.diff(total.keys) > 0).all()
