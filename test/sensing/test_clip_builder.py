"""Keyframes are thinned where the model has no time for them, and the clips can be made again."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vega3d_ros.core.frames import KeyframePolicy
from vega3d_ros.core.geometry import SE3
from vega3d_ros.sensing.clip_builder import ClipBuilder, ClipSettings

S = 1_000_000_000
SETTINGS = ClipSettings(
    length=3,
    capacity=4,
    policy=KeyframePolicy(),
    fixed_frame="map",
    pair_tolerance_ns=0,
    wait_ns=0,
)
DRIVES = st.lists(st.tuples(st.floats(-0.4, 0.4), st.booleans()), min_size=1, max_size=30)


def image(stamp, width=1):
    return SimpleNamespace(
        header=SimpleNamespace(
            stamp=SimpleNamespace(sec=stamp // S, nanosec=stamp % S), frame_id="camera"
        ),
        height=1,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=3 * width,
        data=bytes(3 * width),
    )


def clips(places, withdraw):
    """The stamps of every clip's frames; ``withdraw`` is given the newest of the last clip."""
    made = []
    builder = ClipBuilder(
        SETTINGS,
        lambda _target, _source, stamp: SE3(np.eye(3), [places[stamp], 0, 0]),
        print,
        withdraw=lambda: bool(made) and withdraw(made[-1][-1]),
    )
    for stamp in places:
        builder.add_image(image(stamp), 0)
        made += [tuple(f.stamp_ns for f in clip.frames) for clip, _ in builder.advance(1)]
    return made


def drive(steps):
    """Where the camera is by stamp, a tenth of a second apart; and when the model is free."""
    places = np.cumsum([step for step, _ in steps])
    stamps = [S + i * S // 10 for i in range(len(steps))]
    free = {stamp for stamp, (_, is_free) in zip(stamps, steps, strict=True) if is_free}
    return dict(zip(stamps, places.tolist(), strict=True)), free


def test_a_clip_has_images_of_one_size():
    told = []
    builder = ClipBuilder(SETTINGS, lambda *_: SE3.identity(), print, told.append)
    sizes = []
    for number, width in enumerate((1, 1, 2, 2)):
        builder.add_image(image(S + number * 3 * S, width), 0)
        sizes += [[f.image.shape[1] for f in clip.frames] for clip, _ in builder.advance(1)]
    assert sizes == [[1], [1, 1], [2], [2, 2]]
    assert told == ["results are now in 'map', without 3D objects, of pictures of 2x1"]


@given(DRIVES)
def test_the_clips_of_a_busy_model_follow_from_their_newest_stamps(steps):
    places, free = drive(steps)
    looked_at = [c for c in clips(places, lambda stamp: stamp not in free) if c[-1] in free]
    only = {clip[-1] for clip in looked_at}
    again = [clip for clip in clips(places, lambda stamp: stamp not in only) if clip[-1] in only]
    assert again == looked_at


@given(DRIVES)
def test_a_clip_has_one_frame_that_the_model_has_not_seen(steps):
    places, free = drive(steps)
    seen = set()
    for clip in clips(places, lambda stamp: stamp not in free):
        assert set(clip[:-1]) <= seen
        if clip[-1] in free:
            seen.add(clip[-1])


@given(DRIVES)
def test_a_model_in_time_gets_every_keyframe(steps):
    places, _ = drive(steps)
    newest = [clip[-1] for clip in clips(places, lambda _: False)]
    last = None
    for stamp, place in places.items():
        wanted = last is None or abs(place - places[last]) >= 0.15 or stamp - last >= 2 * S
        assert wanted == (stamp in newest)
        last = stamp if wanted else last
