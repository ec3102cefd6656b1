"""What the demo counts and shows, without a node."""

from dataclasses import replace

import numpy as np

from vega3d_ros.core.geometry import SE3, Box3D
from vega3d_ros.core.objects import SceneObject
from vega3d_ros.demo.pictures import choose_scenes, map_picture
from vega3d_ros.demo.report import make_report, surest
from vega3d_ros.evaluation.run_log import SceneRecord
from vega3d_ros.evaluation.schema import AnswerRow
from vega3d_ros.evaluation.sources.live import RecordedOutputs, RunResult


def answer(kind, score):
    return AnswerRow(
        source="bag", index=0, kind=kind, question="?", truth="2", answer="2", score=score
    )


def scene(stamp_ns):
    return SceneRecord(
        stamp_ns=stamp_ns, start_ns=stamp_ns, frames=1, frame_id="map", at_ns=stamp_ns, objects=()
    )


def test_only_answers_of_known_truth_are_counted_by_the_rule_of_their_kind():
    rows = [
        answer("count", 1.0),
        answer("count", None),
        answer("size", 0.6),  # a length within 25 %
        answer("size", 0.5),
        answer("count", 0.9),
        answer("relation", 1.0),
    ]
    figures = make_report("m", RunResult(), RecordedOutputs(), rows, None, 1.0).figures
    assert (figures["answers_right"], figures["answers_scored"]) == (2, 4)
    assert (figures["relations_right"], figures["relations_scored"]) == (1, 1)


def test_the_surest_objects_are_shown_where_there_are_too_many():
    box = Box3D.upright([0, 0, 0], [1, 1, 1])
    scores = np.random.default_rng(0).permutation(30) / 30
    objects = [replace(SceneObject.certain("a", box, "map"), score=s) for s in scores.tolist()]
    shown = [item.score for item in surest(objects)]
    assert shown == sorted((item.score for item in objects), reverse=True)[:20]


def test_of_each_part_of_the_run_the_scene_that_shows_most_is_drawn():
    scenes = [scene(stamp) for stamp in range(10)]
    frames = dict.fromkeys(range(10))
    shown = dict(enumerate([1, 9, 2, 3, 4, 1, 8, 2, 5, 0]))
    outputs = RecordedOutputs(scenes=scenes)
    chosen = choose_scenes(outputs, frames, shown, count=2)
    assert [one.stamp_ns for one in chosen] == [1, 6]
    outputs.gates = {0, 5, 7}
    assert [one.stamp_ns for one in choose_scenes(outputs, frames, shown, count=2)] == [0, 7]


def test_the_path_is_drawn_in_the_order_of_its_stamps():
    poses = {
        stamp: SE3(np.eye(3), np.array([x, 0.0, 1.0])) for stamp, x in ((1, 0), (2, 2), (3, 1))
    }
    drawn = map_picture((), (), poses)
    assert np.array_equal(map_picture((), (), dict(reversed(poses.items()))), drawn)
    assert not np.array_equal(map_picture((), (), {1: poses[1], 2: poses[3], 3: poses[2]}), drawn)
