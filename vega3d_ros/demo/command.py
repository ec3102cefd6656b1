"""``vega3d demo``: plays a recording to a node, asks it questions and reports the results."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from vega3d_ros.core.arguments import thread_number
from vega3d_ros.core.threads import AUTOMATIC
from vega3d_ros.demo import pictures
from vega3d_ros.demo.report import make_report, notes_of, surest
from vega3d_ros.evaluation.failure_images import save
from vega3d_ros.evaluation.question_file import (
    Plan,
    RunError,
    Truth,
    default_plan,
    load_plan,
    load_truth,
)
from vega3d_ros.evaluation.recorded_outputs import (
    RecordedOutputs,
    read_gate_images,
    read_recorded_outputs,
    read_run_outputs,
)
from vega3d_ros.models.checkpoints.auto_model import resolve
from vega3d_ros.replay.interrupts import interruptible
from vega3d_ros.replay.node_process import node_command
from vega3d_ros.replay.playing import Playing
from vega3d_ros.replay.session import run_live
from vega3d_ros.sensing.bags.reader import Bag, BagError, CameraTopics, open_bag

if TYPE_CHECKING:
    import argparse

    from vega3d_ros.core.geometry import SE3
    from vega3d_ros.evaluation.replies import RunResult

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
    parser.add_argument("--rate", type=float, default=1.0, help="speed of playing (%(default)s)")
    parser.add_argument("--seconds", type=float, help="play only so many seconds of the recording")
    parser.add_argument("--questions", type=Path, help="JSON with your questions")
    parser.add_argument("--image", default="", help="image topic; left out: found by type")
    parser.add_argument("--camera-info", default="", help="its camera_info topic; left out: found")
    parser.add_argument("--depth", default="", help="its depth topic; left out: found")


def run(args: argparse.Namespace) -> int:
    """Run the demo; returns the exit status."""
    console = Console()
    try:
        with interruptible():
            return _Demo(args, console).run()
    except (RunError, BagError) as error:
        console.print(f"[red]demo failed:[/] {error}", highlight=False, markup=True)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; the node is stopped")
        return 130


class _Demo:
    def __init__(self, args: argparse.Namespace, console: Console) -> None:
        self._args = args
        self._console = console
        self._begin_s = time.monotonic()
        self._model, _ = resolve(args.model)

    def run(self) -> int:
        args = self._args
        if args.rate <= 0 or (args.seconds is not None and args.seconds <= 0):
            msg = "--rate and --seconds must be positive"
            raise RunError(msg)
        path = args.bag or shipped_bag()
        truth = load_truth(path)
        with open_bag(path) as bag:
            topics = bag.find_topics(
                image=args.image, camera_info=args.camera_info, depth=args.depth
            )
            plan = self._plan(truth, bag.duration_s)
            self._introduce(path, bag, topics, truth)
            out = _prepared(args.out)
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
            camera_path = self._draw(bag, topics, truth, result, outputs, until_ns, out)
        wall_s = time.monotonic() - self._begin_s
        report = make_report(self._model, result, outputs, camera_path, truth, wall_s)
        for table in report.tables:
            self._console.print(table.rich())
        for note in report.notes:
            self._console.print(note, style="yellow", highlight=False)
        (out / "report.md").write_text(report.markdown(), encoding="utf-8")
        (out / "report.json").write_text(report.json(), encoding="utf-8")
        self._console.print(f"{', '.join(OUTPUTS)} are in {out}/", highlight=False)
        if not outputs.scenes:
            msg = f"the node published no scene; see {out / 'node.log'}"
            raise RunError(msg)
        return 0

    def _plan(self, truth: Truth | None, duration_s: float) -> Plan:
        length_s = min(duration_s, self._args.seconds or duration_s)
        if self._args.questions is not None:
            return load_plan(self._args.questions, length_s).until(length_s)
        if truth is None:
            return default_plan(length_s)
        return Plan(truth.questions, truth.relations).until(length_s)

    def _introduce(self, path: Path, bag: Bag, topics: CameraTopics, truth: Truth | None) -> None:
        say = self._console.print
        say(f"[bold]vega3d demo[/]: {path}, {bag.duration_s:.1f} s", highlight=False)
        say(f"  image       {topics.image}", highlight=False)
        say(f"  camera_info {topics.camera_info or 'none'}", highlight=False)
        say(f"  depth       {topics.depth or 'none'}", highlight=False)
        say(f"  transforms  {', '.join(topics.tf) or 'none'}", highlight=False)
        for note in topics.notes:
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
    ) -> dict[int, SE3]:
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
        return camera_path


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


def _prepared(out: Path) -> Path:
    """The output folder, without the outputs of an earlier run."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in OUTPUTS:
            path = out / name
            if not path.is_dir():
                path.unlink(missing_ok=True)
            elif {file.name for file in path.iterdir()} <= {"metadata.yaml", f"{name}.mcap"}:
                shutil.rmtree(path)
            else:
                msg = f"{path} is no recording of an earlier demo; give another folder with --out"
                raise RunError(msg)
    except OSError as error:
        msg = f"cannot write to {out}: {error}"
        raise RunError(msg) from error
    return out
