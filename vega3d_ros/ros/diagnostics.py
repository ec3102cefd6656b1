"""Why the node publishes nothing, and its rates, drops, latencies and memory.

``diagnose`` is a pure function of ``Facts``, which the node collects.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vega3d_ros.core.stamps import SECOND_NS
from vega3d_ros.perception.worker import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

OK, WARN, ERROR = 0, 1, 2  # as diagnostic_msgs/DiagnosticStatus
WINDOW_S = 10.0
BUSY_WARNING_S = 10.0
MANY_JUMPS = 2  # in a window; a bag that loops jumps once per loop
DOUBTS = (
    "doubtful frame_id",
    "doubtful fixed_frame",
    "implausible depth",
    "unregistered depth",
    "unreadable depth",
)
KEYFRAMES, SKIPPED = "keyframes", "keyframes skipped"  # meters

LOSS_HINT = (
    "best-effort images above 512 KB are mostly lost with Fast DDS's defaults: start the camera "
    "driver with FASTRTPS_DEFAULT_PROFILES_FILE=<share/vega3d_ros/config/fastdds_large_images.xml>"
)


class Diagnosis(NamedTuple):
    """One status of /diagnostics."""

    name: str
    level: int
    message: str
    values: Mapping[str, str]
    hardware: str


class Meter:
    """Counts events and their rate over the last seconds."""

    def __init__(self) -> None:
        self.count = 0
        self._recent: deque[int] = deque(maxlen=1000)

    def tick(self, now_ns: int) -> None:
        """Count an event."""
        self.count += 1
        self._recent.append(now_ns)

    def recent_ns(self, now_ns: int) -> list[int]:
        """When events happened within the window; of very many, the last ones."""
        return [at for at in self._recent if now_ns - at <= WINDOW_S * SECOND_NS]

    def rate_hz(self, now_ns: int) -> float:
        """Events per second over the window, 0 where fewer than two fell into it."""
        recent = self.recent_ns(now_ns)
        if len(recent) < 2:
            return 0.0
        return (len(recent) - 1) * SECOND_NS / max(1, recent[-1] - recent[0])


class Statistics:
    """Counts and rates of a running node. Any thread may record."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.meters: dict[str, Meter] = {}
        self.counts: Counter[str] = Counter()
        self.last: dict[str, str] = {}

    def tick(self, name: str) -> None:
        """Record an event that happens now."""
        with self._lock:
            self.meters.setdefault(name, Meter()).tick(time.monotonic_ns())

    def count(self, name: str, number: int = 1) -> None:
        """Count what should be rare."""
        with self._lock:
            self.counts[name] += number

    def note(self, name: str, value: str) -> None:
        """Keep the last value of a quantity."""
        with self._lock:
            self.last[name] = value

    def times(self, name: str) -> int:
        """How often an event happened."""
        with self._lock:
            meter = self.meters.get(name)
            return 0 if meter is None else meter.count

    def recent(self, name: str) -> int:
        """How often an event happened within the window."""
        now = time.monotonic_ns()
        with self._lock:
            meter = self.meters.get(name)
            return 0 if meter is None else len(meter.recent_ns(now))

    def rates(self) -> dict[str, str]:
        """Every meter's rate and count, as text."""
        now = time.monotonic_ns()
        with self._lock:
            return {
                name: f"{meter.rate_hz(now):.2f} Hz, {meter.count} in all"
                for name, meter in self.meters.items()
            }

    def snapshot(self) -> dict[str, str]:
        """Every count and last value, as text."""
        with self._lock:
            return {**{name: str(count) for name, count in self.counts.items()}, **self.last}

    def forget(self) -> None:
        """Start anew, as on activation."""
        with self._lock:
            self.meters.clear()
            self.counts.clear()
            self.last.clear()


@dataclass(frozen=True, kw_only=True)
class InputFacts:
    """What is known of one input topic.

    Attributes:
        topic: Resolved name.
        publishers: How many there are.
        type: Message type subscribed to.
        reliability: Asked for.
        mismatch: How the publisher's type or quality of service differs; empty: it does not.
        lost: Messages that the middleware reports as lost.
        age_s: Since the last message; None: there was none.
    """

    topic: str
    publishers: int = 0
    type: str = ""
    reliability: str = ""
    mismatch: str = ""
    lost: int = 0
    age_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What ``diagnose`` looks at."""

    active: bool
    active_s: float = 0.0
    image: InputFacts | None = None
    camera_info: InputFacts | None = None
    depth: InputFacts | None = None
    depth_camera_info: InputFacts | None = None
    silence_s: float = 3.0
    drops: Mapping[str, int] = field(default_factory=dict)
    lacks: Mapping[str, int] = field(default_factory=dict)
    details: Mapping[str, str] = field(default_factory=dict)
    unpaired_depth: str = ""  # warnings of ``sensing.lags``
    late_transforms: str = ""
    status: Status = Status.STOPPED
    failure: str = ""
    clip_failure: str = ""  # why the newest clip was not understood
    model: str = ""
    model_note: str = ""  # what to tell of its choice
    device: str = ""
    grounder: str = ""
    loading: str = ""
    loading_s: float = 0.0
    busy_s: float = 0.0
    fixed_frame: str = ""
    has_transforms: bool = True
    posed: bool | None = None  # whether the newest frame had a pose; None: no frame yet
    has_camera: bool | None = None  # whether it had a camera
    scenes: int = 0
    keyframes: int = 0  # within the window
    skipped: int = 0  # of these, since the model was busy
    jumps_back: int = 0  # how often time was set back within the window
    rates: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)


def diagnose(facts: Facts) -> list[Diagnosis]:
    """The statuses to publish, each with its worst problem as message."""
    return [_input(facts), _transforms(facts), _model(facts), _inference(facts)]


def why_no_scene(facts: Facts) -> str:
    """Why there is no scene yet, or no new one; empty where nothing is known to be wrong."""
    if (image := facts.image) is not None and image.publishers and image.age_s is None:
        return f"{image.topic} is published, but no image has come"
    problems = [f"{item.name}: {item.message}" for item in diagnose(facts) if item.level > OK]
    return next(iter(problems), "")


def _input(facts: Facts) -> Diagnosis:
    values = dict(facts.rates)
    for name, item in (
        ("image", facts.image),
        ("camera_info", facts.camera_info),
        ("depth", facts.depth),
        ("depth_camera_info", facts.depth_camera_info),
    ):
        if item is not None:
            values[f"{name} topic"] = item.topic
            values[f"{name} publishers"] = str(item.publishers)
            values[f"{name} subscription"] = f"{item.type} {item.reliability}".strip() or "none"
            values[f"{name} lost by the middleware"] = str(item.lost)
    values |= {f"dropped: {reason}": str(count) for reason, count in facts.drops.items()}
    values |= {f"missing: {reason}": str(count) for reason, count in facts.lacks.items()}
    values |= {f"last {reason}": text for reason, text in facts.details.items()}
    level, message = _diagnose_input(facts)
    return Diagnosis("input", level, message, values, _camera(facts))


def _diagnose_input(facts: Facts) -> tuple[int, str]:
    image = facts.image
    if not facts.active or image is None:
        return OK, "inactive; activate the node to subscribe"
    if image.publishers == 0:
        return WARN, f"{image.topic} has no publisher; remap `image` to the camera's topic"
    if image.mismatch:
        return ERROR, f"{image.topic}: {image.mismatch}"
    silent_s = facts.active_s if image.age_s is None else image.age_s
    if silent_s > facts.silence_s:
        hint = f"; {LOSS_HINT}" if image.reliability == "best_effort" else ""
        return WARN, f"no image on {image.topic} for {silent_s:.0f} s{hint}"
    if image.lost:
        return WARN, f"{image.lost} images lost on the way; {LOSS_HINT}"
    return _diagnose_images(facts)


def _diagnose_images(facts: Facts) -> tuple[int, str]:
    """What is wrong with images that arrive."""
    for reason in ("unreadable image", "no frame_id", "no stamp"):
        if reason in facts.details:
            return ERROR, facts.details[reason]
    if facts.jumps_back > MANY_JUMPS:
        return WARN, (
            f"time was set back {facts.jumps_back} times within {WINDOW_S:.0f} s, and each time "
            f"the scenes were cleared: stop the second publisher or clock"
        )
    for reason in ("late", "queue full"):
        if reason in facts.details:
            return WARN, facts.details[reason]
    if facts.has_camera is False:
        info = facts.camera_info
        text = f"no camera_info on {'camera_info' if info is None else info.topic}"
        if info is not None and info.mismatch:
            text = f"{info.topic}: {info.mismatch}"
        text = facts.details.get("unusable camera_info", text)
        return WARN, f"{text}: answers only, no 3D objects"
    if text := _problem_of_depth(facts):
        return WARN, text
    return OK, "images arrive"


def _problem_of_depth(facts: Facts) -> str:
    """Why images have no depth though somebody publishes it."""
    for reason in DOUBTS:
        if reason in facts.details:
            return facts.details[reason]
    if facts.unpaired_depth:
        return facts.unpaired_depth
    if facts.depth is not None and facts.depth.mismatch:
        return f"{facts.depth.topic}: {facts.depth.mismatch}"
    if facts.depth is not None and facts.depth.publishers:
        age_s = facts.active_s if facts.depth.age_s is None else facts.depth.age_s
        if age_s > facts.silence_s:
            return f"{facts.depth.topic} has a publisher, but no depth came for {age_s:.0f} s"
    return ""


def _transforms(facts: Facts) -> Diagnosis:
    level, message = OK, "poses are found" if facts.posed else "no frame yet"
    if not facts.fixed_frame:
        message = "not used: fixed_frame is empty, results are in the camera's optical frame"
    elif not facts.has_transforms:
        level = WARN
        message = "tf2_msgs is not installed; results are in the camera's frame"
    elif facts.posed is False:
        detail = facts.details.get("no transform", "")
        level, message = WARN, f"{detail}; results are in the camera's optical frame"
    elif not facts.active:
        message = "inactive"
    elif facts.late_transforms:
        level, message = WARN, facts.late_transforms
    values = {"fixed_frame": facts.fixed_frame}
    return Diagnosis("transforms", level, message, values, _camera(facts))


def _camera(facts: Facts) -> str:
    """What tells this camera from others."""
    return facts.image.topic if facts.image is not None else "camera"


def _model(facts: Facts) -> Diagnosis:
    values = {"model": facts.model, "device": facts.device, "grounder": facts.grounder}
    level, message = _diagnose_model(facts)
    if facts.status is Status.READY and (threads := model_threads()) is not None:
        values["threads"] = str(threads)
    return Diagnosis("model", level, message, values, facts.device or "none")


def _diagnose_model(facts: Facts) -> tuple[int, str]:
    if facts.status is Status.LOADING:
        now = f" (now: {facts.loading})" if facts.loading else ""
        return WARN, f"loading {facts.model} for {facts.loading_s:.0f} s{now}"
    if facts.status is Status.FAILED:
        return ERROR, f"{facts.model} could not be loaded: {facts.failure}"
    if facts.status is Status.READY and facts.model_note:
        return WARN, facts.model_note
    if facts.status is Status.READY:
        return OK, f"{facts.model} is loaded"
    return OK, "not configured"


def _inference(facts: Facts) -> Diagnosis:
    level, message = OK, f"{facts.scenes} scenes understood"
    if not facts.active:
        message = "inactive"
    elif facts.busy_s > BUSY_WARNING_S:
        level = WARN
        message = f"the model has computed one scene or answer for {facts.busy_s:.0f} s"
    elif facts.clip_failure:
        level, message = ERROR, facts.clip_failure
    elif facts.skipped and facts.status is Status.READY:
        level = WARN
        message = (
            f"overloaded: {facts.skipped} of {facts.keyframes} keyframes skipped within "
            f"{WINDOW_S:.0f} s; a larger keyframe_translation_m asks for fewer, a shorter "
            f"clip_length or a smaller model takes less time"
        )
    elif facts.scenes == 0:
        message = "no scene yet"
    values = {**facts.values, "memory": f"{resident_mib():.0f} MiB"}
    held_mib = gpu_mib()
    if held_mib is not None:
        values["GPU memory"] = f"{held_mib:.0f} MiB"
    return Diagnosis("inference", level, message, values, facts.device or "none")


def model_threads() -> int | None:
    """Threads that PyTorch computes with; None where it is not loaded."""
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def gpu_mib() -> float | None:
    """GPU memory that tensors of this process hold, MiB; None where no GPU is used."""
    torch = sys.modules.get("torch")  # importing it here would stop the node for seconds
    if torch is None or not hasattr(torch, "cuda") or not torch.cuda.is_initialized():
        return None
    return float(torch.cuda.memory_allocated()) / 2**20


def resident_mib() -> float:
    """Resident memory of this process, MiB; NaN where the system does not say."""
    try:
        lines = (
            Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        )
    except OSError:
        return float("nan")
    size_kib = next((line.split()[1] for line in lines if line.startswith("VmRSS:")), "nan")
    return float(size_kib) / 1024
