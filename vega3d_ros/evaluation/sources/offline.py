"""Runs a recording through the node's code without ROS and without losing a frame.

The node drops frames that it has no time for. An offline run makes a scene of every new keyframe
and asks each question about the scene that is the newest at its time.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.objects import publishable
from vega3d_ros.evaluation.run_log import RunLog, SceneRecord
from vega3d_ros.evaluation.schema import Prediction
from vega3d_ros.perception.object_map import ObjectMap
from vega3d_ros.sensing.bags.first_messages import take_in, take_in_first
from vega3d_ros.sensing.bags.reader import BagError
from vega3d_ros.sensing.clip_builder import ClipBuilder
from vega3d_ros.sensing.tf_topics import is_static
from vega3d_ros.sensing.transform_buffer import TransformBuffer
from vega3d_ros.sensing.transform_gate import GatedTransforms

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from vega3d_ros.core.frames import Clip
    from vega3d_ros.core.objects import SceneObject
    from vega3d_ros.evaluation.run_log import LogWriter
    from vega3d_ros.evaluation.schema import Question
    from vega3d_ros.perception.settings import Parameters
    from vega3d_ros.perception.worker import PerceiverLike, SceneLike
    from vega3d_ros.sensing.bags.reader import Bag, CameraTopics, RawMessage

_END_NS = 10**10  # longer than any frame waits
_NO_SCENE = "no scene yet"
UNDECODABLE = "unreadable message"


@dataclass(kw_only=True)
class FrameCounts:
    """Counts of messages, frames and failures of a run.

    Attributes:
        images: Messages read on the image topic.
        frame_statuses: Stamp of each image, and whether it was used or why it was dropped.
        lacks: Used frames without depth, pose or calibration, by what they lack.
        details: The last error message, by reason.
        warnings: What most images lacked, with what was measured and the remedy.
        unreadable: Messages that could not be decoded, and invalid transforms, by topic.
        resets: How often time jumped back.
        failures: Clips and questions at which the model failed, with the error.
        notes: What was noticed about the camera.
        damage: Why reading ended early; empty if it did not.
        mapped_objects: Objects in the object map at the end.
        read_s: Seconds of the recording that were read.
        wall_s: Wall-clock seconds of the run.
    """

    images: int = 0
    frame_statuses: list[tuple[int, str]] = field(default_factory=list)
    lacks: dict[str, int] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    unreadable: Counter[str] = field(default_factory=Counter)
    resets: int = 0
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    damage: str = ""
    mapped_objects: tuple[SceneObject, ...] = ()
    read_s: float = 0.0
    wall_s: float = 0.0

    def by_status(self) -> dict[str, int]:
        """Number of images by status."""
        return dict(Counter(status for _, status in self.frame_statuses).most_common())


@dataclass(frozen=True)
class QuestionSchedule:
    """The questions of a run and their times.

    Attributes:
        items: Questions in order, each with its index in the plan and when it is due: nanoseconds
            of the recording's time, or where ``of_scenes``, the stamp of the scene to ask.
        start_ns: Start of the recording.
        of_scenes: Whether questions are due at scenes instead of times.
    """

    items: Sequence[tuple[int, Question, int]] = ()
    start_ns: int = 0
    of_scenes: bool = False

    @classmethod
    def by_time(cls, items: Sequence[Question], start_ns: int) -> QuestionSchedule:
        """Ask each at its own time."""
        moments = [start_ns + round(item.ask_at_s * 1e9) for item in items]
        return cls(list(zip(range(len(items)), items, moments, strict=True)), start_ns)


class OfflineRun:
    """Runs one recording through a model.

    Args:
        bag: The recording.
        topics: Its camera's topics.
        perceiver: The model.
        parameters: The node's parameters.
        schedule: The questions.
        out: Writes scenes and replies as they come.
        done: Scenes and replies of an interrupted run, which are not computed again.
        only: Stamps of the keyframes that make scenes, as in a live node, which skips others;
            None: all.
        start_s: Seconds of the recording to skip, as a live replay does.
        on_progress: Called with the seconds of the recording that are done; may raise to end the
            run.
    """

    def __init__(
        self,
        bag: Bag,
        topics: CameraTopics,
        perceiver: PerceiverLike,
        parameters: Parameters,
        schedule: QuestionSchedule,
        out: LogWriter,
        *,
        done: RunLog | None = None,
        only: Collection[int] | None = None,
        start_s: float = 0.0,
        on_progress: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.counts = FrameCounts()
        self.log = RunLog()
        self._bag, self._topics, self._out = bag, topics, out
        self._perceiver, self._parameters = perceiver, parameters
        self._queries = parameters.queries or tuple(perceiver.queries)
        self._pending = list(schedule.items)
        self._schedule = schedule
        self._known = deque(() if done is None else done.scenes)
        self._answered = {} if done is None else {r.index: r for r in done.replies}
        self._only = only
        self._start_ns = bag.start_ns + round(start_s * 1e9)
        self._on_progress = on_progress
        self._memory = ObjectMap(parameters.fixed_frame or "map", parameters.max_objects)
        self._transforms = GatedTransforms(TransformBuffer())
        self._now_ns = bag.start_ns
        self._clips = ClipBuilder(
            parameters.clip_settings,
            self._transforms.lookup,
            self._on_rewind,
            on_frame_status=self._on_frame_status,
            withdraw=lambda: not self._is_due(),
            below=self._transforms.below,
            on_note=lambda subject, text: self.counts.notes.append(f"{subject}: {text}"),
        )
        self._newest_ns: int | None = None  # of the last keyframe
        self._clip: Clip | None = None
        self._scene: SceneLike | None = None
        self._was_reset = False

    def run(self) -> None:
        """Read the whole recording; damage ends the run early and is counted."""
        begin_s = time.monotonic()
        self._perceiver.reset()
        take_in_first(self._bag, self._topics, self._clips.assembler, self._transforms)
        try:
            for message in self._readable():
                now_ns = self._now_ns = max(self._now_ns, message.stamp_ns)
                self._add(message, now_ns)
                self._advance(now_ns)
                self.counts.read_s = (now_ns - self._bag.start_ns) * 1e-9
                self._on_progress(self.counts.read_s)
            self._advance(self._now_ns + _END_NS)
            for index, item, _ in self._pending:
                self._ask(index, item, self.counts.read_s)
            self._pending.clear()
        finally:
            assembler = self._clips.assembler
            self.counts.lacks = dict(assembler.lacks)
            self.counts.details |= assembler.details
            measured = assembler.depth_offsets.warning(), assembler.pose_delays.warning()
            self.counts.warnings = list(filter(None, measured))
            self.counts.wall_s = time.monotonic() - begin_s
            frame = self._clip.output_frame if self._clip is not None else ""
            self.counts.mapped_objects = tuple(
                item for item in self._memory.objects if item.frame_id == frame
            )

    def _readable(self) -> Iterator[RawMessage]:
        try:
            for message in self._bag.raw_messages(self._topics.names):
                if message.stamp_ns >= self._start_ns or is_static(message.topic):
                    yield message
        except BagError as error:
            self.counts.damage = str(error)

    def _add(self, message: RawMessage, now_ns: int) -> None:
        is_image = message.topic == self._topics.image
        self.counts.images += is_image
        try:
            decoded = self._bag.decode(message)
        except BagError as error:
            self.counts.unreadable[message.topic] += 1
            self.counts.details[UNDECODABLE] = str(error)
            if is_image:
                self._on_frame_status(message.stamp_ns, UNDECODABLE)
            return
        if is_image:
            self._clips.add_image(decoded, now_ns)
            return
        refusals = take_in(
            message.topic, decoded, now_ns, self._topics, self._clips.assembler, self._transforms
        )
        for refusal in refusals:
            self.counts.unreadable[message.topic] += 1
            self.counts.details[UNDECODABLE] = refusal

    def _advance(self, now_ns: int) -> None:
        for clip, _ in self._clips.advance(now_ns):
            self._newest_ns = clip.stamp_ns
            if self._is_due():
                self._ask_due_questions(clip.stamp_ns if self._schedule.of_scenes else now_ns)
                self._observe(clip, now_ns)

    def _is_due(self) -> bool:
        """Whether the newest keyframe makes a scene."""
        return self._only is None or self._newest_ns in self._only

    def _ask_due_questions(self, moment_ns: int) -> None:
        """Ask the questions that are due before a new scene."""
        while self._pending and self._pending[0][2] < moment_ns:
            index, item, due_ns = self._pending.pop(0)
            self._ask(index, item, (due_ns - self._schedule.start_ns) * 1e-9)

    def _observe(self, clip: Clip, now_ns: int) -> None:
        known = None
        if self._known and self._known[0].stamp_ns == clip.stamp_ns:
            known = self._known.popleft()
        if known is not None and not known.looks:
            self._clip, self._scene = clip, None
            self._memory.update(known.found, clip.stamp_ns)
            self._was_reset = False
            self.log.scenes.append(known)
            return
        begin_s = time.perf_counter()
        try:
            self._perceiver.queries = self._queries
            scene = self._perceiver.observe(clip)
            found = scene.objects
            named = self._memory.update(found, clip.stamp_ns, scene.looks)
        except Exception as error:  # noqa: BLE001 - as in the node, counted; the next clip may succeed
            self.counts.failures.append(f"clip {clip.stamp_ns}: {type(error).__name__} {error}")
            return
        spent_ms = (time.perf_counter() - begin_s) * 1e3
        if scene.frames_left_out:
            self.counts.failures.append(
                f"clip {clip.stamp_ns}: memory ended, the oldest {scene.frames_left_out} of "
                f"{len(clip)} frames were not read"
            )
        self._clip, self._scene = clip, scene
        if known is not None:
            self._was_reset = False
            self.log.scenes.append(known)
            return
        newest, gate = clip.frames[-1], scene.gate
        published, _ = publishable(named, clip.output_frame, self._parameters.min_score)
        record = SceneRecord(
            stamp_ns=clip.stamp_ns,
            start_ns=clip.start_ns,
            frames=len(clip),
            frame_id=clip.output_frame,
            at_ns=now_ns,
            objects=tuple(sorted(published, key=lambda item: -item.score)),
            # Evidence holds the depth of its frames: a long run would keep them all.
            found=tuple(replace(item, evidence=None) for item in found),
            names=tuple(item.id for item in named),
            latency_ms=spent_ms,
            stages_ms=dict(scene.stages_ms),
            gate=None if gate is None else gate[-1],
            gate_mean=None if gate is None else float(gate.mean()),
            camera=newest.camera,
            pose=newest.pose,
            camera_frame=newest.frame_id,
            after_reset=self._was_reset,
            looks=len(scene.looks),
        )
        self._was_reset = False
        self.log.scenes.append(record)
        self._out.scene(record)

    def _ask(self, index: int, item: Question, at_s: float) -> None:
        kept = self._answered.get(index)
        if kept is None:
            kept = self._reply(index, item, at_s)
            self._out.reply(kept)
        self.log.replies.append(kept)

    def _reply(self, index: int, item: Question, at_s: float) -> Prediction:
        begin_s = time.perf_counter()
        said: dict[str, Any] = {}
        try:
            if self._clip is None:
                said["error"] = _NO_SCENE
            else:
                if self._scene is None:  # resumed: its objects are in the log, the scene is not
                    self._scene = self._perceiver.observe(self._clip)
                said = _said(self._scene, item)
        except ValueError as refusal:  # refused as in the node
            said = {"error": str(refusal)}
        except Exception as failure:  # noqa: BLE001 - as in the node, counted
            said = {"error": f"the model failed: {failure}"}
            self.counts.failures.append(f"question {item}: {type(failure).__name__} {failure}")
        return Prediction(
            question=item,
            index=index,
            asked_at_s=at_s,
            latency_ms=(time.perf_counter() - begin_s) * 1e3,
            stamp_ns=0 if self._clip is None else self._clip.stamp_ns,
            **said,
        )

    def _on_rewind(self, _what: str) -> None:
        """Forget all scenes when time jumps back, as the node does."""
        self.counts.resets += 1
        self._clips.forget()
        self._transforms.rewind(self._now_ns)
        self._perceiver.reset()
        self._memory.clear()
        self._clip = self._scene = None
        self._was_reset = True

    def _on_frame_status(self, stamp: int, status: str) -> None:
        self.counts.frame_statuses.append((stamp, status))


def _said(scene: SceneLike, item: Question) -> dict[str, Any]:
    """A scene's answer or relation, as the fields of a prediction."""
    if item.is_relation:
        relation = scene.relation(item.subject, item.object, "camera")
        return {"predicates": tuple(relation.predicates), "distance_m": relation.distance_m}
    answer = scene.ask(item.text)
    return {"text": answer.text, "confidence": answer.confidence}
