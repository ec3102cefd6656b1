"""A live drive in the form of an offline one, so that both are scored and drawn alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vega3d_ros.evaluation.log import DriveLog, ReplyRecord, SceneRecord
from vega3d_ros.evaluation.offline import Interview
from vega3d_ros.evaluation.outcome import read_drive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vega3d_ros.bag import Bag, CameraTopics
    from vega3d_ros.evaluation.outcome import Outcome, PublishedScene
    from vega3d_ros.evaluation.plan import Plan
    from vega3d_ros.evaluation.records import DriveResult, RelationReply, Reply

_FOREVER_NS = 2**62


def live_log(
    bag: Bag, topics: CameraTopics, plan: Plan, result: DriveResult, outcome: Outcome
) -> DriveLog:
    """What a node published while a recording was played to it, the first time through.

    Args:
        bag: The recording that was played.
        topics: Of its camera.
        plan: What was asked.
        result: What came back.
        outcome: What was published.
    """
    scenes: list[PublishedScene] = []
    for scene in outcome.scenes:
        if scenes and scene.stamp_ns <= scenes[-1].stamp_ns:
            break  # the recording began anew
        scenes.append(scene)
    frames, _ = read_drive(bag, topics, {scene.stamp_ns for scene in scenes}, _FOREVER_NS)
    records = []
    for scene in scenes:
        frame = frames.get(scene.stamp_ns)
        records.append(
            SceneRecord(
                stamp_ns=scene.stamp_ns,
                start_ns=scene.start_ns,
                frames=scene.frames,
                frame_id=scene.frame_id,
                at_ns=scene.published_ns,
                objects=scene.objects,
                latency_ms=scene.latency_s * 1e3,
                camera=None if frame is None else frame.camera,
                pose=None if frame is None else frame.pose,
                camera_frame="" if frame is None else frame.frame_id,
            )
        )
    return DriveLog(records, _numbered(plan, [*result.replies, *result.relations]))


def as_live(plan: Plan, log: DriveLog) -> Interview:
    """The interview that asks, offline, every question of the scene that the live node had."""
    items = plan.by_time
    asked = [(items[r.index], r.stamp_ns) for r in log.replies if r.stamp_ns is not None]
    return Interview(asked, of_scenes=True)


def _numbered(plan: Plan, replies: Sequence[Reply | RelationReply]) -> list[ReplyRecord]:
    """Replies with the numbers of their questions in the plan, in its order."""
    left = list(replies)
    records = []
    for index, item in enumerate(plan.by_time):
        reply = next((reply for reply in left if reply.question == item), None)
        if reply is not None:
            left.remove(reply)
            records.append(ReplyRecord(index, reply))
    return records
