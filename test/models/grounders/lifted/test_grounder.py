"""The lifted grounder on rooms of boxes: what it finds, and what must not change it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.box_scenes import FLAWLESS, BoxScene, about_z, around, chair_like, look, moved

from vega3d_ros.core.frames import Clip
from vega3d_ros.core.geometry import SE3, iou_oriented
from vega3d_ros.models.depth import DepthImage
from vega3d_ros.models.detectors.base import Detection2D
from vega3d_ros.simulation.clip_paths import camera_pose
from vega3d_ros.simulation.planted_detector import PlantedErrors

SOFA = ("sofa", chair_like(0.0, 0.0, 0.3, (1.6, 0.8, 0.7)))
TABLE = ("table", chair_like(0.3, 1.5, 0.2, (1.2, 0.7, 0.7)))
THINGS = [SOFA, TABLE]
VIEWS = around((0.1, 0.6, 0.4), count=6, radius=3.0, height=1.5, start=-1.4, sweep=2.0)


@pytest.fixture(scope="module")
def room():
    return BoxScene(THINGS, VIEWS)


@pytest.fixture(scope="module")
def found(room):
    return {label: room.find(label) for label, _ in THINGS}


def only(detections):
    assert len(detections) == 1
    return detections[0]


def assert_same(a, b, shift=None):
    box = a.box if shift is None else a.box.transformed(shift)
    assert iou_oriented(box, b.box) > 0.85
    np.testing.assert_allclose(box.center, b.box.center, atol=0.04)


def test_things_are_where_they_are(found):
    for label, box in THINGS:
        one = only(found[label])
        assert iou_oriented(one.box, box) > 0.8
        assert one.label == one.query == label
        assert one.source == "depth"
        assert one.orientation_estimated
        assert one.score > 0.9
        assert {view.frame for view in one.views} == set(range(len(VIEWS)))


def test_the_pixels_that_show_a_thing_are_on_it(room, found):
    for index, (label, _) in enumerate(THINGS):
        for view in only(found[label]).views:
            _, instance = look(room.clip.frames[view.frame].pose, THINGS)
            on = instance[view.pixels[:, 1], view.pixels[:, 0]] == index + 1
            assert len(on) > 50
            assert on.mean() > 0.97


def test_they_become_objects_of_the_scene(room, found):
    item = only(found["sofa"]).scene_object(room.clip)
    assert (item.label, item.frame_id, item.observations) == ("sofa", "map", len(VIEWS))
    assert item.stamp_ns == room.clip.stamp_ns


@given(st.permutations(range(len(VIEWS))))
@settings(deadline=None, max_examples=8)
def test_the_order_of_frames_does_not_matter(room, found, order):
    frames = [replace(room.clip.frames[i], stamp_ns=(k + 1) * 10**9) for k, i in enumerate(order)]
    assert_same(only(room.find("sofa", Clip(tuple(frames)))), only(found["sofa"]))


@given(st.lists(st.integers(0, len(VIEWS) - 1), min_size=1, max_size=3))
@settings(deadline=None, max_examples=8)
def test_a_frame_given_twice_changes_nothing_much(room, found, twice):
    frames = [*room.clip.frames, *(room.clip.frames[i] for i in twice)]
    clip = Clip(tuple(replace(f, stamp_ns=k + 1) for k, f in enumerate(frames)))
    assert_same(only(room.find("sofa", clip)), only(found["sofa"]))


@given(
    st.floats(-np.pi, np.pi), st.floats(-30, 30), st.floats(-30, 30), st.sampled_from([0.0, -0.8])
)
@settings(deadline=None, max_examples=8)
def test_a_map_that_is_shifted_and_turned_turns_the_boxes_with_it(room, found, turn, x, y, z):
    shift = about_z(turn, x, y, z)
    there = only(room.find("sofa", moved(room.clip, shift)))
    assert_same(only(found["sofa"]), there, shift)


@given(st.floats(-0.3, 0.3))
@settings(deadline=None, max_examples=6)
def test_a_rolled_camera_sees_the_same_things(found, roll):
    c, s = np.cos(roll), np.sin(roll)
    rolled = SE3(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]), np.zeros(3))
    scene = BoxScene(THINGS, [pose @ rolled for pose in VIEWS])
    one = only(scene.find("sofa"))
    assert iou_oriented(one.box, SOFA[1]) > 0.7


@given(st.floats(0.0, 0.3), st.integers(0, 9))
@settings(deadline=None, max_examples=6)
def test_holes_in_the_depth_do_not_move_boxes(found, share, seed):
    def holes(depth, instance, rng):
        rng = np.random.default_rng([seed, int(rng.integers(1000))])
        return np.where(rng.random(depth.shape) < share, np.nan, depth).astype(np.float32)

    assert_same(only(BoxScene(THINGS, VIEWS, spoil=holes).find("sofa")), only(found["sofa"]))


def test_noise_of_two_per_cent_does_not_lose_things():
    def noisy(depth, instance, rng):
        return (depth * (1 + 0.02 * rng.standard_normal(depth.shape))).astype(np.float32)

    scene = BoxScene(THINGS, VIEWS, spoil=noisy)
    for label, box in THINGS:
        assert iou_oriented(only(scene.find(label)).box, box) > 0.6


def test_flying_pixels_do_not_stretch_a_box(found):
    def torn(depth, instance, rng):
        edge = np.zeros(depth.shape, np.bool_)
        edge[:, 1:] |= instance[:, 1:] != instance[:, :-1]
        shifted = np.roll(depth, 1, axis=1)
        mixed = depth + (shifted - depth) * rng.random(depth.shape)
        return np.where(edge & np.isfinite(mixed), mixed, depth).astype(np.float32)

    assert_same(only(BoxScene(THINGS, VIEWS, spoil=torn).find("sofa")), only(found["sofa"]))


def test_the_floor_is_found_below_zero():
    low = [(label, box.transformed(about_z(0.0, z=-0.8))) for label, box in THINGS]
    views = [about_z(0.0, z=-0.8) @ pose for pose in VIEWS]
    one = only(BoxScene(low, views, floor_m=-0.8).find("table"))
    assert iou_oriented(one.box, low[1][1]) > 0.8
    assert one.box.center[2] - one.box.size[2] / 2 == pytest.approx(-0.8, abs=0.02)


def test_two_like_things_side_by_side_stay_two():
    chairs = [("chair", chair_like(0, -0.32)), ("chair", chair_like(0, 0.32))]
    errors = replace(FLAWLESS, jitter=0.03, merged=0.15)
    scene = BoxScene(chairs, around((0, 0, 0.4), 8, sweep=1.2, start=-0.6), errors=errors)
    boxes = [one.box for one in scene.find("chair") if one.score > 0.5]
    assert len(boxes) == 2
    for _, truth in chairs:
        assert max(iou_oriented(box, truth) for box in boxes) > 0.6


def test_a_thing_under_two_names_is_one_with_the_other_name_kept():
    errors = PlantedErrors(0.02, 0.0, 0.0, 0.0, 0.6, 0.0, 0.0, least_pixels=30)
    scene = BoxScene([SOFA], VIEWS, errors=errors, extra_names=("bed",), seed=1)
    wrong = {one.label for frame in scene.clip.frames
             for one in scene.detector.detect([frame.image])[0]} - {"sofa"}  # fmt: skip
    assert wrong == {"bed"}
    grounder = scene.grounder()
    evidence = [grounder.look(frame) for frame in scene.clip.frames]
    sofas, beds = grounder.find(scene.clip, evidence, ["sofa", "bed"], 0.0)
    assert beds == []
    assert [label for label, _ in only(sofas).alternatives] == ["bed"]
    assert iou_oriented(only(sofas).box, SOFA[1]) > 0.75
    # Whoever asks for the other name alone gets it, less probable.
    bed = only(grounder.find(scene.clip, evidence, ["bed"], 0.0)[0])
    assert bed.label == "bed"
    assert bed.score < only(sofas).score


def test_a_box_cut_by_the_border_does_not_shrink_a_thing(found):
    aside = [camera_pose(2.2, 0.0, 1.5, np.pi + turn, -0.45) for turn in (0.55, 0.65, -0.55)]
    cut = BoxScene(THINGS, aside)
    assert all(
        one.box[0] == 0 or one.box[2] == 160
        for frame in cut.clip.frames
        for one in cut.detector.detect([frame.image])[0]
        if one.label == "sofa"
    )
    both = BoxScene(THINGS, [*VIEWS, *aside])
    assert_same(only(both.find("sofa")), only(found["sofa"]))
    assert np.trace(only(cut.find("sofa")).covariance[:3, :3]) > 4 * np.trace(
        only(both.find("sofa")).covariance[:3, :3]
    )


@pytest.mark.parametrize("pitch", [-0.45, -0.3])
def test_without_tf_the_newest_view_is_used_in_the_cameras_frame(pitch):
    pose = camera_pose(2.6, -0.9, 1.5, np.pi - 0.35, pitch)
    scene = BoxScene([SOFA], [VIEWS[0], pose], tf=False)
    one = only(scene.find("sofa"))
    assert {view.frame for view in one.views} == {1}
    in_map = one.box.transformed(pose)
    assert in_map.rotation[2, 2] == pytest.approx(1.0, abs=2e-3)  # upright, though not told so
    assert np.linalg.norm(in_map.center - SOFA[1].center) < 0.35
    # Told in the camera's frame too: along the axes of the box, and of its heading about "up".
    axes = one.box.rotation
    for part in (slice(0, 3), slice(3, 6)):
        turned = axes.T @ one.covariance[part, part] @ axes
        np.testing.assert_allclose(turned, np.diag(np.diag(turned)), atol=1e-9)
    assert one.scene_object(scene.clip).frame_id == "camera"


def test_nothing_is_found_of_what_the_detector_does_not_know(room):
    assert room.find("unicorn") == []


def test_a_threshold_leaves_out_what_is_less_probable(room):
    grounder = room.grounder()
    evidence = [grounder.look(frame) for frame in room.clip.frames]
    score = only(grounder.find(room.clip, evidence, ["sofa"], 0.0)[0]).score
    assert grounder.find(room.clip, evidence, ["sofa"], score + 1e-6) == [[]]
    assert len(grounder.find(room.clip, evidence, ["sofa"], score - 1e-6)[0]) == 1


def test_evidence_is_used_again_and_again(room, found):
    grounder = room.grounder()
    evidence = [grounder.look(frame) for frame in room.clip.frames]
    first, second = (grounder.find(room.clip, evidence, ["sofa"], 0.0)[0][0] for _ in range(2))
    np.testing.assert_array_equal(first.box.corners, second.box.corners)
    newer = Clip(room.clip.frames[2:])
    assert only(grounder.find(newer, evidence[2:], ["sofa"], 0.0)[0]).views[0].frame == 0


class AnyText:
    """A detector of any text that finds the sofa's boxes and counts what it is asked."""

    vocabulary = None

    def __init__(self, planted):
        self.planted, self.asked = planted, []

    def known(self, text):
        return text

    def detect(self, images, texts):
        self.asked.append(tuple(texts))
        boxes = self.planted.detect(images, ["sofa"])
        return [
            [Detection2D(one.box, one.score, text) for one in found for text in texts]
            for found in boxes
        ]


def test_a_detector_of_any_text_is_asked_each_text_once(room):
    detector = AnyText(room.detector)
    grounder = type(room.grounder())(detector, ["sofa"])
    evidence = [grounder.look(frame) for frame in room.clip.frames]
    assert detector.asked == [("sofa",)] * len(VIEWS)
    texts = ["sofa", "what one sits on"]
    found = grounder.find(room.clip, evidence, texts, 0.0)
    assert detector.asked[len(VIEWS) :] == [("what one sits on",)] * len(VIEWS)
    grounder.find(room.clip, evidence, texts, 0.0)
    assert len(detector.asked) == 2 * len(VIEWS)
    # Both texts mean the same thing: it comes once.
    assert sum(len(of_text) for of_text in found) == 1


class PlantedNetwork:
    """Knows the true depth of frames, but for their scale."""

    def __init__(self, clip, scale=1.0):
        self.known = {frame.stamp_ns: frame.depth_m * np.float32(scale) for frame in clip.frames}
        self.asked = []

    def depth(self, frame):
        self.asked.append(frame.stamp_ns)
        return DepthImage(self.known[frame.stamp_ns], "network", 0.15)


def blind(clip, *indices):
    """The clip with frames of which the sensor has nothing: no image, or one without values."""
    nothing = np.full_like(clip.frames[0].depth_m, np.nan)
    return Clip(
        tuple(
            replace(frame, depth_m=(None, nothing)[i % 2] if i in indices else frame.depth_m)
            for i, frame in enumerate(clip.frames)
        )
    )


def test_a_network_is_asked_only_where_the_sensor_has_nothing(room):
    network = PlantedNetwork(room.clip)
    clip = blind(room.clip, 1, 2)
    found = only(room.find("sofa", clip, depth=network))
    assert network.asked == [clip.frames[i].stamp_ns for i in (1, 2)]
    assert found.source == "depth"  # of most of its frames


def test_a_box_from_a_networks_depth_says_so_and_is_less_sure(room):
    every = range(len(room.clip))
    measured = only(room.find("sofa"))
    found = only(room.find("sofa", blind(room.clip, *every), depth=PlantedNetwork(room.clip, 1.1)))
    assert found.source == "network"
    error = found.box.center - measured.box.center
    assert np.linalg.norm(error) > 0.05
    assert error @ np.linalg.solve(found.covariance[:3, :3], error) < 11.3
    assert np.trace(found.covariance[:3, :3]) > 4 * np.trace(measured.covariance[:3, :3])


def test_without_sensor_and_network_the_floor_tells(room):
    clip = blind(room.clip, *range(len(room.clip)))
    assert room.find("sofa", clip) == []
    assert {one.source for one in room.find("sofa", clip, floor_m=0.0)} == {"floor"}


def test_without_calibration_nothing_is_lifted(room):
    clip = Clip(tuple(replace(frame, camera=None) for frame in room.clip.frames))
    assert room.find("sofa", clip) == []
