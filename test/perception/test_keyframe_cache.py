from support.tiny_models import make_frame

from vega3d_ros.perception.keyframe_cache import KeyframeCache

FRAMES = [make_frame(index) for index in range(5)]


class Maker:
    """Makes the number of a frame, and notes which it was asked for."""

    def __init__(self, limit):
        self.cache, self.made = KeyframeCache(limit), []

    def __call__(self, *indices, whole=False):
        """What is made for these frames, the cache having what it has."""
        self.made.clear()
        frames = [FRAMES[i] for i in indices]
        kept = self.cache.of(frames, "model", self._make, whole=whole)
        assert [value[0] for value in kept] == list(indices)
        return list(self.made)

    def _make(self, frames):
        indices = [FRAMES.index(frame) for frame in frames]
        self.made += indices
        return [(index, tuple(indices)) for index in indices]


def test_what_was_not_used_for_longest_is_forgotten_first():
    of = Maker(2)
    assert of(0) == [0]
    assert of(1) == [1]
    assert of(0) == []  # used again, so 1 is the one to go
    assert of(2) == [2]
    assert of(0) == []
    assert of(1) == [1]


def test_a_clip_longer_than_the_limit_is_kept_whole():
    of = Maker(2)
    assert of(0, 1, 2, 3) == [0, 1, 2, 3]
    assert of(0, 1, 2, 3) == []


def test_frames_that_see_each_other_are_kept_for_their_clip_alone():
    of = Maker(9)
    assert of(0, 1, whole=True) == [0, 1]
    assert of(1, 2, whole=True) == [1, 2]
    assert of(0, 1, whole=True) == []
    assert of(0, 1) == [0, 1]
