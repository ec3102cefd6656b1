"""A live run in the form of an offline run, so that both are scored and drawn alike."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vega3d_ros.evaluation.offline import QuestionSchedule
from vega3d_ros.evaluation.recorded_outputs import read_run_outputs
from vega3d_ros.evaluation.run_log import RunLog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vega3d_ros.core.frames import Frame
    from vega3d_ros.core.objects import SceneObject
    from vega3d_ros.evaluation.recorded_outputs import RecordedOutputs
    from vega3d_ros.evaluation.replies import RunResult
    from vega3d_ros.evaluation.run_log import SceneRecord
    from vega3d_ros.evaluation.schema import Prediction
    from vega3d_ros.sensing.bags.reader import Bag, CameraTopics

_FOREVER_NS = 2**62
_SAME_M = 1e-5
_SAME_SCORE = 1e-5


def live_log(
    bag: Bag, topics: CameraTopics, result: RunResult, outputs: RecordedOutputs
) -> RunLog:
    """The log of a live run, up to the end of the recording's first pass."""
    scenes: list[SceneRecord] = []
    for scene in outputs.scenes:
        if scenes and scene.stamp_ns <= scenes[-1].stamp_ns:
            break  # the recording is played again
        scenes.append(scene)
    frames, _ = read_run_outputs(bag, topics, {scene.stamp_ns for scene in scenes}, _FOREVER_NS)
    records = [_seen_from(scene, frames.get(scene.stamp_ns)) for scene in scenes]
    return RunLog(records, list(result.replies))


def _seen_from(scene: SceneRecord, frame: Frame | None) -> SceneRecord:
    """A scene with the camera and pose of its newest image."""
    if frame is None:
        return scene
    return replace(scene, camera=frame.camera, pose=frame.pose, camera_frame=frame.frame_id)


def as_live(log: RunLog) -> QuestionSchedule:
    """A schedule that asks every question offline about the scene that the live node used."""
    asked = [(r.index, r.question, r.stamp_ns) for r in log.replies if r.stamp_ns]
    return QuestionSchedule(asked, of_scenes=True)


def differences(live: RunLog, offline: RunLog) -> list[str]:
    """The differences between a live run and the same run offline, in words.

    ``offline`` has the same scenes and questions (``OfflineRun`` with ``only`` and ``as_live``).
    """
    found = []
    scenes = {scene.stamp_ns: scene for scene in offline.scenes}
    for scene in live.scenes:
        other = scenes.get(scene.stamp_ns)
        if other is None:
            found.append(f"scene {scene.stamp_ns}: only live")
        elif (scene.start_ns, scene.frames) != (other.start_ns, other.frames):
            found.append(f"scene {scene.stamp_ns}: other images")
        elif scene.frame_id != other.frame_id or not _alike(scene.objects, other.objects):
            found.append(f"scene {scene.stamp_ns}: other objects")
    replies = {reply.index: reply for reply in offline.replies}
    for reply in live.replies:
        if reply.stamp_ns and not reply.error:
            texts = [_reply_text(r) for r in (reply, replies.get(reply.index))]
            if texts[0] != texts[1]:
                found.append(f"question {reply.index}: {texts[0]} live, {texts[1]} offline")
    return found


def _alike(objects: Sequence[SceneObject], others: Sequence[SceneObject]) -> bool:
    """Whether objects are equal up to the single precision of messages, in any order."""
    if len(objects) != len(others):
        return False
    named = {item.id: item for item in others}
    return all(
        (other := named.get(item.id)) is not None
        and item.label == other.label
        and np.allclose(item.box.center, other.box.center, atol=_SAME_M)
        and np.allclose(item.box.size, other.box.size, atol=_SAME_M)
        and np.allclose(item.box.rotation, other.box.rotation, atol=_SAME_M)
        and abs(item.score - other.score) < _SAME_SCORE
        and item.stamp_ns == other.stamp_ns
        for item in objects
    )


def _reply_text(reply: Prediction | None) -> str:
    if reply is None:
        return "nothing"
    words = ", ".join(reply.predicates) if reply.question.is_relation else reply.text
    return f"{words!r} of {reply.stamp_ns}"
