"""Runs one recording, scores it, draws it, and writes the results into a folder of its own.

The report reads that folder alone, so any process or machine can run a job. An interrupted job
continues where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import traceback
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from vega3d_ros import __version__
from vega3d_ros.core.json_io import read_json, read_object, write_json
from vega3d_ros.evaluation.figures import run_figures
from vega3d_ros.evaluation.object_list import OBJECTS, write_objects
from vega3d_ros.evaluation.report.cases import draw_run
from vega3d_ros.evaluation.report.recordings import BAGS
from vega3d_ros.evaluation.run_log import LOG, LogWriter, RunLog, read_log
from vega3d_ros.evaluation.schema import ResultRows, RunError
from vega3d_ros.evaluation.scoring import score_run
from vega3d_ros.evaluation.sources.offline import FrameCounts, OfflineRun, QuestionSchedule
from vega3d_ros.evaluation.sources.questions import default_plan, load_plan
from vega3d_ros.evaluation.sources.truth import find_truth
from vega3d_ros.models.checkpoints.auto_model import ELSEWHERE_NOTE, SIMULATION_MODEL
from vega3d_ros.sensing.bags.reader import BagError, open_bag

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from vega3d_ros.evaluation.schema import Question
    from vega3d_ros.evaluation.sources.truth import TruthSource
    from vega3d_ros.perception.settings import Parameters
    from vega3d_ros.perception.worker import PerceiverLike
    from vega3d_ros.sensing.bags.reader import Bag, CameraTopics

RECORD, ROWS, FRAMES, KEY = "record.json", "rows.json", "frames.csv", "settings.json"
TRACEBACK = "traceback.txt"
COMPLETE, PARTIAL, FAILED = "complete", "partial", "failed"


class Interrupted(BaseException):
    """Raised by a job's progress callback to end the job; its results so far are kept."""


@dataclass(frozen=True, kw_only=True)
class BagRun:
    """The job of evaluating a recording.

    Attributes:
        bag: The recording.
        name: Its name in the report; unique among the jobs of a run.
        folder: Folder of its results.
        model_hash: Hash of the model's files.
        parameters: The node's parameters, model and device among them.
        image: Topic; empty: found by type.
        camera_info: Topic; empty: found by type.
        depth: Topic; empty: found by type.
        tf: Topic or namespace of the transforms; empty: found by name.
        truth: ``source`` of ``find_truth``.
        questions: The user's question file; None: the questions of the truth, or a few common
            ones.
        fixed_frame: Frame of the results; None for the root of the recording's transforms.
    """

    bag: Path
    name: str
    folder: Path
    model_hash: str
    parameters: Parameters
    image: str = ""
    camera_info: str = ""
    depth: str = ""
    tf: str = ""
    truth: str = "auto"
    questions: Path | None = None
    fixed_frame: str | None = None

    def topics(self, bag: Bag) -> CameraTopics:
        """The topics of the camera.

        Raises:
            BagError: As ``Bag.find_topics``.
        """
        return bag.find_topics(
            image=self.image,
            camera_info=self.camera_info,
            depth=self.depth,
            tf=self.tf,
            settings=self.parameters.camera_settings,
        )

    def settings(self) -> dict[str, Any]:
        """All that decides the results; a job with other settings is not resumed."""
        plain = {k: v for k, v in asdict(self).items() if k not in ("folder", "name")}
        # A machine with another device may continue the job.
        del plain["parameters"]["device"], plain["parameters"]["threads"]
        asked = self.questions.read_bytes() if self.questions is not None else b""
        settings: dict[str, Any] = json.loads(
            json.dumps(
                {
                    **plain,
                    "bag": str(self.bag.resolve()),
                    "questions": hashlib.sha256(asked).hexdigest(),
                    "files": _files(self.bag),
                    "version": __version__,
                },
                default=str,
            )
        )
        return settings


def run_settings(jobs: Sequence[BagRun]) -> dict[str, Any]:
    """Settings of a run: those that its jobs share, and the files of each recording."""
    settings = [job.settings() for job in jobs]
    recordings = {
        job.name: {"bag": one.pop("bag"), "files": one.pop("files")}
        for job, one in zip(jobs, settings, strict=True)
    }
    return {"kind": "recordings", **settings[0], "recordings": recordings}


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record that an earlier job wrote into a folder; None if there is none."""
    path = folder / RECORD
    return read_object(path) if path.is_file() else None


def read_run(folder: Path) -> tuple[dict[str, dict[str, Any]], ResultRows]:
    """The records of a run's recordings by name, and all their rows."""
    records, rows = {}, ResultRows()
    for path in sorted((folder / BAGS).iterdir()) if (folder / BAGS).is_dir() else ():
        record = read_record(path)
        if record is not None:
            records[path.name] = record
            rows.extend(ResultRows.read(read_json(path / ROWS)))
    return records, rows


def is_done(job: BagRun) -> bool:
    """Whether an earlier job with the same settings is complete."""
    record = read_record(job.folder)
    return record is not None and record["status"] == COMPLETE and _same_settings(job)


def run_bag(
    job: BagRun, perceiver: PerceiverLike, on_progress: Callable[[float, float], None]
) -> dict[str, Any]:
    """Do a job. Errors go into the record and are not raised.

    ``on_progress`` is called with the seconds done and in all; it may raise ``Interrupted``.

    Returns:
        The record that was written.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {"status": FAILED}
    try:
        with open_bag(job.bag) as bag:
            record["notes"] = list(bag.notes)
            try:
                record |= _run(job, bag, perceiver, on_progress)
            finally:
                record["damage"] = "; ".join(filter(None, [*bag.damage, record.get("damage", "")]))
    except (BagError, RunError) as error:
        record["error"] = str(error)
    except Exception as error:  # noqa: BLE001 - it must not cost the other recordings of a run
        (job.folder / TRACEBACK).write_text(traceback.format_exc(), encoding="utf-8")
        record["error"] = f"{type(error).__name__}: {error} (see {job.folder / TRACEBACK})"
    return write_record(job, record)


def write_record(job: BagRun, record: dict[str, Any]) -> dict[str, Any]:
    """Write the record of a job, and no rows if it failed."""
    job.folder.mkdir(parents=True, exist_ok=True)
    record = {"name": job.name, "bag": str(job.bag), **record}
    if "error" in record:
        write_json(job.folder / ROWS, ResultRows().json())
    write_json(job.folder / RECORD, record)
    return record


def _run(
    job: BagRun, bag: Bag, perceiver: PerceiverLike, on_progress: Callable[[float, float], None]
) -> dict[str, Any]:
    topics = job.topics(bag)
    truth, source = find_truth(bag, job.truth)
    plan = make_plan(job.questions, truth, bag.duration_s)
    fixed_frame = topics.fixed_frame if job.fixed_frame is None else job.fixed_frame
    parameters = replace(job.parameters, fixed_frame=fixed_frame)
    resume = _same_settings(job)
    write_json(job.folder / KEY, job.settings())
    done = read_log(job.folder / LOG) if resume else RunLog()
    status = COMPLETE
    with LogWriter(job.folder / LOG, fresh=not resume) as out:
        offline = OfflineRun(
            bag,
            topics,
            perceiver,
            parameters,
            QuestionSchedule.by_time(plan, bag.start_ns),
            out,
            done=done,
            on_progress=lambda done_s: on_progress(done_s, bag.duration_s),
        )
        try:
            offline.run()
        except (KeyboardInterrupt, Interrupted):
            status = PARTIAL
    counts = offline.counts
    failed = {}
    if status == COMPLETE and not offline.log.scenes:
        status, failed = FAILED, {"error": _no_scene(counts, topics.image)}
    _write_frame_statuses(job.folder / FRAMES, counts.frame_statuses)
    simulated = truth is not None and truth.record is not None
    misled = job.parameters.model == SIMULATION_MODEL and not simulated
    return {
        "status": status,
        "notes": [*bag.notes, *counts.notes, *([ELSEWHERE_NOTE] if misled else [])],
        "truth": source,
        "topics": topic_record(bag, topics),
        "frames": {
            "in_bag": bag.counts[topics.image],
            "read": counts.images,
            "by_fate": counts.by_status(),
            "lacks": counts.lacks,
            "details": counts.details,
            "notes": counts.notes,
            "unreadable_messages": dict(counts.unreadable),
            "time_set_back": counts.resets,
        },
        "damage": counts.damage,
        "warnings": counts.warnings,
        "failures": counts.failures,
        **failed,
        "resumed_scenes": min(len(done.scenes), len(offline.log.scenes)),
        **finish_run(job.folder, job.name, bag, topics, offline.log, truth, counts.read_s,
                       counts.wall_s, counts.mapped_objects, fixed_frame),
    }  # fmt: skip


def _no_scene(counts: FrameCounts, image: str) -> str:
    """Why a run that ended has nothing to show."""
    became = ", ".join(f"{number} {status}" for status, number in counts.by_status().items())
    said = [counts.details[one] for one in counts.by_status() if one in counts.details]
    reasons = "; ".join([*said, *counts.failures[:1]])
    return (
        f"no scene came of {counts.images} images on {image}"
        f"{f' ({became})' if became else ''}{f': {reasons}' if reasons else ''}"
    )


def finish_run(
    folder: Path, name: str, bag: Bag, topics: CameraTopics, log: RunLog,
    truth: TruthSource | None, read_s: float, wall_s: float, mapped_objects: Any, fixed_frame: str,
) -> dict[str, Any]:  # fmt: skip
    """Score and draw a run, offline or live; returns the fields of its record."""
    rows = score_run(name, bag.start_ns, log, truth)
    write_json(folder / ROWS, rows.json())
    write_objects(folder / OBJECTS, mapped_objects, fixed_frame, bag.start_ns)
    placed = [item for item in mapped_objects if item.frame_id == fixed_frame]
    cases = draw_run(folder, bag, topics, log, rows, truth, placed, fixed_frame)
    return {
        "start_ns": bag.start_ns,
        "figures": run_figures(log, read_s, wall_s)
        | {"remembered": len(mapped_objects), "fixed_frame": fixed_frame},
        "cases": cases,
    }


def make_plan(
    questions: Path | None, truth: TruthSource | None, duration_s: float
) -> tuple[Question, ...]:
    """The user's questions, those of the simulator's truth, or a few common ones."""
    if questions is not None:
        return load_plan(questions, duration_s)
    if truth is not None and truth.record is not None:
        return truth.record.questions
    return default_plan(duration_s)


def _same_settings(job: BagRun) -> bool:
    path = job.folder / KEY
    return path.is_file() and read_json(path) == job.settings()


def topic_record(bag: Bag, topics: CameraTopics) -> dict[str, Any]:
    """The topics that were chosen, in plain values."""
    return {
        "image": topics.image,
        "image_type": bag.topics[topics.image],
        "camera_info": topics.camera_info,
        "depth": topics.depth,
        "depth_camera_info": topics.depth_camera_info,
        "tf": list(topics.tf),
        "frame_id": topics.frame_id,
        "fixed_frame": topics.fixed_frame,
        "notes": list(topics.notes),
        "settings": asdict(topics.settings),
    }


def _files(bag: Path) -> list[list[Any]]:
    files = sorted(f for f in bag.rglob("*") if f.is_file()) if bag.is_dir() else [bag]
    return [[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files if f.exists()]


def _write_frame_statuses(path: Path, frame_statuses: list[tuple[int, str]]) -> None:
    lines = [f"{stamp},{status}" for stamp, status in frame_statuses]
    path.write_text("stamp_ns,fate\n" + "\n".join(lines) + "\n", encoding="utf-8")
