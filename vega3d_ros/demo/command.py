"""``vega3d demo``: plays a recording to a node, asks it questions and reports the results."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from vega3d_ros.core.arguments import thread_number
from vega3d_ros.core.threads import AUTOMATIC
from vega3d_ros.demo import pictures
from vega3d_ros.demo.report import make_report, notes_of, surest
from vega3d_ros.evaluation.bag_run import make_plan
from vega3d_ros.evaluation.failure_images import save
from vega3d_ros.evaluation.live_adapter import live_log
from vega3d_ros.evaluation.question_file import RunError, Truth, load_truth
from vega3d_ros.evaluation.recorded_outputs import (
    RecordedOutputs,
    read_gate_images,
    read_recorded_outputs,
    read_run_outputs,
)
from vega3d_ros.evaluation.results import score_run
from vega3d_ros.evaluation.run_folder import RunFolder
from vega3d_ros.evaluation.truth import RecordedTruth
from vega3d_ros.models.checkpoints.auto_model import resolve
from vega3d_ros.replay.interrupts import interruptible
from vega3d_ros.replay.node_process import node_command
from vega3d_ros.replay.playing import Playing
from vega3d_ros.replay.session import run_live
from vega3d_ros.sensing.bags.reader import Bag, CameraTopics, open_bag

if TYPE_CHECKING:
    import argparse

    from vega3d_ros.evaluation.replies import RunResult
    from vega3d_ros.evaluation.schema import Question

OUTPUTS = ("frames.png", "map.png", "output_bag", "report.md", "report.json", "node.log")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``vega3d demo``."""
    parser.add_argument(
        "--bag",
        type=Path,
        help="rosbag2 folder to play; left out: the simulated recording of the package",
    )
    parser.add_argument("--model", default="nano", help="model of the node (%(default)s)")
    parser.add_argument(
        "--threads",
        type=thread_number,
        default=AUTOMATIC,
        help="threads of the processor for the model; 0: chosen by a measurement (%(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("demo"),
        help="folder for pictures and report (%(default)s)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace a demo with other settings in that folder, once the new one is done",
    )
    parser.add_argument("--rate", type=float, default=1.0, help="speed of playing (%(default)s)")
    parser.add_argument("--seconds", type=float, help="play only so many seconds of the recording")
    parser.add_argument("--questions", type=Path, help="JSON with your questions")
    parser.add_argument("--image", default="", help="image topic; left out: found by type")
    parser.add_argument("--camera-info", default="", help="its camera_info topic; left out: found")
    parser.add_argument("--depth", default="", help="its depth topic; left out: found")
    parser.add_argument(
        "--tf",
        default="",
        help="topic or namespace of its transforms (/robot1/tf, /robot1); left out: found",
    )


def run(args: argparse.Namespace) -> int:
    """Run the demo.

    Raises:
        BagError: If the recording cannot be used.
        RunError: If the node is missing, ends early or publishes nothing.
        RunFolderError: If ``--out`` cannot be written to or holds a run with other settings.
        KeyboardInterrupt: After the node is stopped.
    """
    with interruptible():
        _Demo(args, Console()).run()
    return 0


class _Demo:
    def __init__(self, args: argparse.Namespace, console: Console) -> None:
        self._args = args
        self._console = console
        self._begin_s = time.monotonic()
        self._model, _ = resolve(args.model)

    def run(self) -> None:
        args = self._args
        if args.rate <= 0 or (args.seconds is not None and args.seconds <= 0):
            msg = "--rate and --seconds must be positive"
            raise RunError(msg)
        path = args.bag or shipped_bag()
        truth = load_truth(path)
        with open_bag(path) as bag:
            topics = bag.find_topics(
                image=args.image, camera_info=args.camera_info, depth=args.depth, tf=args.tf
            )
            plan = self._plan(truth, bag.duration_s)
            self._introduce(path, bag, topics, truth)
            folder = RunFolder(
                args.out, self._settings(path), overwrite=args.overwrite, resumes=False
            )
            out = folder.path
            result = run_live(
                bag,
                topics,
                plan,
                out,
                self._console,
                Playing(args.rate, seconds=args.seconds),
                command=node_command(self._model, topics, args.threads),
            )
            self._console.print("reading the recording back, drawing ...")
            outputs = read_recorded_outputs(out / "output_bag")
            until_ns = bag.start_ns + round(result.played_s * 1e9)
            self._draw(bag, topics, truth, result, outputs, until_ns, out)
            log = live_log(bag, topics, result, outputs)
            rows = score_run(path.stem, bag.start_ns, log, _source(truth))
        wall_s = time.monotonic() - self._begin_s
        report = make_report(self._model, result, outputs, rows.answers, truth, wall_s)
        for section in report.sections:
            self._console.print(*section.rich(self._console.width))
        for note in report.notes:
            self._console.print(note, style="yellow", highlight=False)
        (out / "report.md").write_text(report.markdown(), encoding="utf-8")
        (out / "report.json").write_text(report.json(), encoding="utf-8")
        if not outputs.scenes:
            msg = f"the node published no scene; see {out / 'node.log'}"
            raise RunError(msg)
        folder.finish()
        self._console.print(f"{', '.join(OUTPUTS)} are in {args.out}/", highlight=False)

    def _settings(self, bag: Path) -> dict[str, Any]:
        return {
            "kind": "demo",
            "bag": str(bag.resolve()),
            "model": self._model,
            "rate": self._args.rate,
            "seconds": self._args.seconds,
            "questions": str(self._args.questions or ""),
        }

    def _plan(self, truth: Truth | None, duration_s: float) -> list[Question]:
        length_s = min(duration_s, self._args.seconds or duration_s)
        plan = make_plan(self._args.questions, _source(truth), length_s)
        return [item for item in plan if item.ask_at_s <= length_s]

    def _introduce(self, path: Path, bag: Bag, topics: CameraTopics, truth: Truth | None) -> None:
        say = self._console.print
        say(f"[bold]vega3d demo[/]: {path}, {bag.duration_s:.1f} s", highlight=False)
        say(f"  image       {topics.image}", highlight=False)
        say(f"  camera_info {topics.camera_info or 'none'}", highlight=False)
        say(f"  depth       {topics.depth or 'none'}", highlight=False)
        say(f"  transforms  {', '.join(topics.tf) or 'none'}", highlight=False)
        for note in (*bag.notes, *bag.damage, *topics.notes):
            say(f"  {note}", highlight=False)
        for note in notes_of(self._model, truth):
            say(note, style="yellow", highlight=False)

    def _draw(
        self,
        bag: Bag,
        topics: CameraTopics,
        truth: Truth | None,
        result: RunResult,
        outputs: RecordedOutputs,
        until_ns: int,
        out: Path,
    ) -> None:
        frames, camera_path = read_run_outputs(bag, topics, outputs.sample_stamps(), until_ns)
        scenes = pictures.choose_scenes(outputs, frames, {} if truth is None else truth.shown)
        gates = read_gate_images(out / "output_bag", {scene.stamp_ns for scene in scenes})
        picture = pictures.frames_picture(scenes, frames, gates, bag.start_ns)
        if picture is not None:
            save(picture, out / "frames.png")
        seen = [] if truth is None else [truth.objects[name] for name in sorted(truth.seen)]
        placed = result.mapped_objects if result.fixed_frame == topics.fixed_frame else ()
        if truth is None:
            # The map shows the objects of the table, to stay readable.
            placed = surest(placed)
        save(pictures.map_picture(placed, seen, camera_path), out / "map.png")


def _source(truth: Truth | None) -> RecordedTruth | None:
    return None if truth is None else RecordedTruth(truth)


def shipped_bag() -> Path:
    """The simulated recording of the package.

    Raises:
        RunError: If it is missing.
    """
    folder = Path(__file__).resolve().parent / "bag"
    if folder.is_dir():
        return folder
    remedy = "give one with --bag, or make one with `vega3d simulate bag`"
    msg = f"the demo's recording is not at {folder}; {remedy}"
    raise RunError(msg)
