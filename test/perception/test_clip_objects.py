"""Relational descriptions over a grounder's own detections in one clip."""

from types import SimpleNamespace

import numpy as np
from support.tiny_models import make_clip

from vega3d_ros.core.geometry import Box3D
from vega3d_ros.models.grounders.base import Detection, View
from vega3d_ros.perception.clip_objects import ClipObjects

SURE = np.diag([1e-4] * 6)


def detection(name, x, score, probability=None, frame=0):
    box = Box3D.upright((x, 0.0, 0.5), (0.4, 0.4, 1.0), 0.0)
    view = View(frame, score, np.array([[3, 4]], np.int32))
    return Detection(
        name, name, score, box, SURE, False, 1.0, "head", (view,), probability=probability
    )


def objects(*detections):
    def find(texts, threshold):
        return [
            [one for one in detections if one.query == text and one.score >= threshold]
            for text in texts
        ]

    finder = SimpleNamespace(vocabulary=None, word_of=lambda text: text, find=find)
    return ClipObjects(make_clip(3), finder, threshold=0.5, recall=0.5)


def test_the_nearest_is_measured_over_detections_and_its_view_is_known():
    clip = objects(
        detection("chair", 1.0, 0.9, frame=1),
        detection("chair", 4.0, 0.9, frame=2),
        detection("table", 5.0, 0.9),
    )
    ranked = clip.ranked("the chair nearest to the table")
    assert ranked[0].box.center[0] == 4.0
    assert clip.view(ranked[0]).frame == 2
    assert clip.ranked("the chair farthest from the table")[0].box.center[0] == 1.0


def test_a_detection_that_is_improbable_takes_no_rank_whatever_its_score():
    phantom = detection("chair", 4.9, 0.9, probability=0.1)
    clip = objects(
        detection("chair", 1.0, 0.6, probability=0.9), phantom, detection("table", 6.0, 0.9)
    )
    assert clip.ranked("the chair nearest to the table")[0].box.center[0] == 1.0


def test_a_name_alone_is_no_relational_description():
    assert objects(detection("chair", 1.0, 0.9)).ranked("the red chair") is None
