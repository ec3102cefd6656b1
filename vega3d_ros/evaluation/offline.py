"""A drive from a recording, without ROS: exactly the code that the node runs, and no frame lost.

The node drops what it has no time for. Here the model has all the time it wants: every new
keyframe makes a scene, and a question is asked of the scene that was newest at its moment.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.objects import publishable
from vega3d_ros.evaluation.question_file import Question
from vega3d_ros.evaluation.replies import RelationReply, Reply
from vega3d_ros.evaluation.run_log import ReplyRecord, RunLog, SceneRecord
from vega3d_ros.perception.object_map import ObjectMap
from vega3d_ros.sensing.bags.reader import BagError
from vega3d_ros.sensing.clip_builder import ClipBuilder
from vega3d_ros.sensing.transform_buffer import TransformBuffer, insert_transforms

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from vega3d_ros.core.frames import Clip
    from vega3d_ros.core.objects import SceneObject
    from vega3d_ros.evaluation.question_file import RelationQuestion
    from vega3d_ros.evaluation.run_log import LogWriter
    from vega3d_ros.perception.settings import Parameters
    from vega3d_ros.perception.worker import PerceiverLike, SceneLike
    from vega3d_ros.sensing.bags.reader import Bag, CameraTopics, RawMessage

_END_NS = 10**10  # longer than any frame waits
_NO_SCENE = "no scene yet"
UNDECODABLE = "unreadable message"


@dataclass(kw_only=True)
class FrameCounts:
    """What became of everything on the way.

    Attributes:
        images: Messages read on the image topic.
        fates: Stamp of each of them, and what became of it: used, or why not.
        lacks: What frames had to do without.
        details: Words for what was wrong last, by reason.
        unreadable: Messages that could not be decoded, and transforms that are none, by topic.
        resets: How often time was set back.
        failures: Clips and questions at which the model failed, and how.
        damage: Why reading ended early; empty where it did not.
        remembered: Objects in memory at the end.
        read_s: Seconds of the recording that were read.
        wall_s: Seconds it took.
    """

    images: int = 0
    frame_statuses: list[tuple[int, str]] = field(default_factory=list)
    lacks: dict[str, int] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)
    unreadable: Counter[str] = field(default_factory=Counter)
    resets: int = 0
    failures: list[str] = field(default_factory=list)
    damage: str = ""
    remembered: tuple[SceneObject, ...] = ()
    read_s: float = 0.0
    wall_s: float = 0.0

    def tally(self) -> dict[str, int]:
        """Images by what became of them."""
        return dict(Counter(status for _, status in self.frame_statuses).most_common())


@dataclass(frozen=True)
class QuestionSchedule:
    """What to ask, and when.

    Attributes:
        items: Questions in order, each with its number in the plan and its moment: nanoseconds
            of the recording's time, or where ``of_scenes``, the stamp of the scene to ask.
        start_ns: Of the recording.
        of_scenes: Which of the two it is.
    """

    items: Sequence[tuple[int, Question | RelationQuestion, int]] = ()
    start_ns: int = 0
    of_scenes: bool = False

    @classmethod
    def by_time(
        cls, items: Sequence[Question | RelationQuestion], start_ns: int
    ) -> QuestionSchedule:
        """Ask each at its own time."""
        moments = [start_ns + round(item.ask_at_s * 1e9) for item in items]
        return cls(list(zip(range(len(items)), items, moments, strict=True)), start_ns)


class OfflineRun:
    """Runs one recording through a model.

    Args:
        bag: The recording.
        topics: Of its camera.
        perceiver: The model.
        parameters: Of the node.
        interview: What to ask.
        out: Takes scenes and replies as they come.
        done: What an earlier run, which was cut short, gave already; it is not computed again.
        only: Make scenes only of the keyframes with these stamps, as a live node did, which skips
            the others; None: of all.
        start_s: Seconds of the recording to leave out at first, as a live replay does.
        on_progress: Told how many seconds of the recording are done; may raise to end it.
    """

    def __init__(
        self,
        bag: Bag,
        topics: CameraTopics,
        perceiver: PerceiverLike,
        parameters: Parameters,
        interview: QuestionSchedule,
        out: LogWriter,
        *,
        done: RunLog | None = None,
        only: Collection[int] | None = None,
        start_s: float = 0.0,
        on_progress: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.account = FrameCounts()
        self.log = RunLog()
        self._bag, self._topics, self._out = bag, topics, out
        self._perceiver, self._parameters = perceiver, parameters
        self._queries = parameters.queries or tuple(perceiver.queries)
        self._pending = list(interview.items)
        self._interview = interview
        self._known = deque(() if done is None else done.scenes)
        self._answered = {} if done is None else {r.index: r for r in done.replies}
        self._only = only
        self._start_ns = bag.start_ns + round(start_s * 1e9)
        self._on_progress = on_progress
        self._memory = ObjectMap(parameters.fixed_frame or "map", parameters.max_objects)
        self._transforms = TransformBuffer()
        self._clips = ClipBuilder(
            parameters.clip_settings,
            self._transforms.lookup,
            self._on_rewind,
            on_frame_status=self._on_frame_status,
            withdraw=lambda: not self._is_due(),
        )
        self._clips.assembler.depth_expected = bool(topics.depth)
        self._newest_ns: int | None = None  # of the last keyframe
        self._clip: Clip | None = None
        self._scene: SceneLike | None = None
        self._was_reset = False

    def run(self) -> None:
        """Read the whole recording; what is damaged ends it early and is accounted for."""
        begin_s = time.monotonic()
        self._perceiver.reset()
        now_ns = self._bag.start_ns
        try:
            for message in self._readable():
                now_ns = max(now_ns, message.stamp_ns)
                self._take(message, now_ns)
                self._advance(now_ns)
                self.account.read_s = (now_ns - self._bag.start_ns) * 1e-9
                self._on_progress(self.account.read_s)
            self._advance(now_ns + _END_NS)
            for index, item, _ in self._pending:
                self._ask(index, item, self.account.read_s)
            self._pending.clear()
        finally:
            assembler = self._clips.assembler
            self.account.lacks = dict(assembler.lacks)
            self.account.details |= assembler.details
            self.account.wall_s = time.monotonic() - begin_s
            frame = self._clip.output_frame if self._clip is not None else ""
            self.account.remembered = tuple(
                item for item in self._memory.objects if item.frame_id == frame
            )

    def _readable(self) -> Iterator[RawMessage]:
        try:
            for message in self._bag.raw_messages(self._topics.names):
                if message.stamp_ns >= self._start_ns or message.topic.endswith("/tf_static"):
                    yield message
        except BagError as error:
            self.account.damage = str(error)

    def _take(self, message: RawMessage, now_ns: int) -> None:
        is_image = message.topic == self._topics.image
        self.account.images += is_image
        try:
            decoded = self._bag.decode(message)
        except BagError as error:
            self.account.unreadable[message.topic] += 1
            self.account.details[UNDECODABLE] = str(error)
            if is_image:
                self._on_frame_status(message.stamp_ns, UNDECODABLE)
            return
        if is_image:
            self._clips.add_image(decoded, now_ns)
        elif message.topic == self._topics.depth:
            self._clips.assembler.add_depth(decoded, now_ns)
        elif message.topic == self._topics.camera_info:
            self._clips.assembler.add_camera_info(decoded)
        else:
            static = message.topic.endswith("/tf_static")
            for refusal in insert_transforms(self._transforms, decoded, static=static):
                self.account.unreadable[message.topic] += 1
                self.account.details[UNDECODABLE] = refusal

    def _advance(self, now_ns: int) -> None:
        for clip, _ in self._clips.advance(now_ns):
            self._newest_ns = clip.stamp_ns
            if self._is_due():
                self._interrogate(clip.stamp_ns if self._interview.of_scenes else now_ns)
                self._observe(clip, now_ns)

    def _is_due(self) -> bool:
        """Whether the newest keyframe makes a scene."""
        return self._only is None or self._newest_ns in self._only

    def _interrogate(self, moment_ns: int) -> None:
        """Ask what was due before a new scene came."""
        while self._pending and self._pending[0][2] < moment_ns:
            index, item, due_ns = self._pending.pop(0)
            self._ask(index, item, (due_ns - self._interview.start_ns) * 1e-9)

    def _observe(self, clip: Clip, now_ns: int) -> None:
        if self._known and self._known[0].stamp_ns == clip.stamp_ns:
            known = self._known.popleft()
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
            named = self._memory.update(found, clip.stamp_ns)
        except Exception as error:  # noqa: BLE001 - as in the node, counted; the next clip may do
            self.account.failures.append(f"clip {clip.stamp_ns}: {type(error).__name__} {error}")
            return
        spent_ms = (time.perf_counter() - begin_s) * 1e3
        if scene.frames_left_out:
            self.account.failures.append(
                f"clip {clip.stamp_ns}: memory ended, the oldest {scene.frames_left_out} of "
                f"{len(clip)} frames were not read"
            )
        self._clip, self._scene = clip, scene
        newest, gate = clip.frames[-1], scene.gate
        published, _ = publishable(named, clip.output_frame, self._parameters.min_score)
        record = SceneRecord(
            stamp_ns=clip.stamp_ns,
            start_ns=clip.start_ns,
            frames=len(clip),
            frame_id=clip.output_frame,
            at_ns=now_ns,
            objects=tuple(sorted(published, key=lambda item: -item.score)),
            found=tuple(found),
            names=tuple(item.id for item in named),
            latency_ms=spent_ms,
            stages_ms=dict(scene.stages_ms),
            gate=None if gate is None else gate[-1],
            gate_mean=None if gate is None else float(gate.mean()),
            camera=newest.camera,
            pose=newest.pose,
            camera_frame=newest.frame_id,
            after_reset=self._was_reset,
        )
        self._was_reset = False
        self.log.scenes.append(record)
        self._out.scene(record)

    def _ask(self, index: int, item: Question | RelationQuestion, at_s: float) -> None:
        kept = self._answered.get(index)
        if kept is None:
            kept = ReplyRecord(index, self._reply(item, at_s))
            self._out.reply(kept)
        self.log.replies.append(kept)

    def _reply(self, item: Question | RelationQuestion, at_s: float) -> Reply | RelationReply:
        begin_s = time.perf_counter()
        value: Any = None
        error = _NO_SCENE if self._clip is None else ""
        try:
            if self._clip is not None:
                if self._scene is None:  # the scene itself is known from before, and not kept
                    self._scene = self._perceiver.observe(self._clip)
                if isinstance(item, Question):
                    value = self._scene.ask(item.text)
                else:
                    value = self._scene.relation(item.subject, item.object, "camera")
        except ValueError as refusal:  # a statement about the question, as in the node
            error = str(refusal)
        except Exception as failure:  # noqa: BLE001 - as in the node, counted
            error = f"the model failed: {failure}"
            self.account.failures.append(f"question {item}: {type(failure).__name__} {failure}")
        spent_ms = (time.perf_counter() - begin_s) * 1e3
        stamp = 0 if self._clip is None else self._clip.stamp_ns
        if isinstance(item, Question):
            text, confidence = ("", math.nan) if error else (value.text, value.confidence)
            return Reply(
                question=item,
                asked_at_s=at_s,
                text=text,
                confidence=confidence,
                latency_ms=spent_ms,
                error=error,
                stamp_ns=stamp,
            )
        predicates, apart_m = ((), math.nan) if error else (value.predicates, value.distance_m)
        return RelationReply(
            question=item,
            asked_at_s=at_s,
            predicates=tuple(predicates),
            distance_m=apart_m,
            latency_ms=spent_ms,
            stamp_ns=stamp,
            error=error,
        )

    def _on_rewind(self, _what: str) -> None:
        """As the node: whatever was seen is forgotten when time jumps back."""
        self.account.resets += 1
        self._clips.forget()
        self._transforms.clear()
        self._perceiver.reset()
        self._memory.clear()
        self._clip = self._scene = None
        self._was_reset = True

    def _on_frame_status(self, stamp: int, status: str) -> None:
        self.account.frame_statuses.append((stamp, status))
