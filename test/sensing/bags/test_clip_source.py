import pytest

from vega3d_ros.core.frames import Clip
from vega3d_ros.sensing.bags.reader import BagError


def test_a_clip_of_a_recording_has_what_the_recording_knows(drive_bag):
    clip = Clip.from_bag(drive_bag.path, 4)

    assert len(clip) == 4
    assert clip.fixed_frame == "map"
    assert all(frame.camera is not None for frame in clip.frames)
    assert all(frame.depth_m is not None for frame in clip.frames)


def test_a_clip_can_end_before_the_recording_does(drive_bag):
    from vega3d_ros.sensing.bags.clip_source import clip_from_bag

    clip = clip_from_bag(drive_bag.path, 4, end_s=1.0)
    whole = clip_from_bag(drive_bag.path, 4)

    assert clip.stamp_ns <= drive_bag.start_ns + 10**9 < whole.stamp_ns


def test_a_clip_that_would_end_before_the_first_image_is_refused(drive_bag):
    from vega3d_ros.sensing.bags.clip_source import clip_from_bag

    with pytest.raises(BagError, match="no usable image"):
        clip_from_bag(drive_bag.path, end_s=-1.0)
