"""``vega3d replay``: plays a recording to a node, asks questions, and writes a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.arguments import add_out, thread_number
from vega3d_ros.core.console import give, remarks
from vega3d_ros.core.threads import AUTOMATIC
from vega3d_ros.evaluation.bag_run import (
    COMPLETE,
    BagRun,
    finish_run,
    make_plan,
    read_run,
    topic_record,
    write_record,
)
from vega3d_ros.evaluation.provenance import provenance
from vega3d_ros.evaluation.report.recordings import BAGS, write_report
from vega3d_ros.evaluation.run import load_model
from vega3d_ros.evaluation.run_folder import RunFolder, default_folder, make_folder
from vega3d_ros.evaluation.run_log import LOG, LogWriter
from vega3d_ros.evaluation.schema import RunError
from vega3d_ros.evaluation.sources.live import (
    NODE,
    as_live,
    differences,
    live_log,
    read_recorded_outputs,
)
from vega3d_ros.evaluation.sources.offline import OfflineRun
from vega3d_ros.evaluation.sources.truth import find_truth
from vega3d_ros.perception.settings import Parameters, load_parameters
from vega3d_ros.replay.interrupts import interruptible
from vega3d_ros.replay.node_process import NODE_PARAMETERS, launch_arguments, node_command
from vega3d_ros.replay.playing import Playing
from vega3d_ros.replay.session import run_live
from vega3d_ros.sensing.bags.reader import Bag, open_bag

if TYPE_CHECKING:
    import argparse

    from vega3d_ros.evaluation.run_log import RunLog
    from vega3d_ros.evaluation.schema import Question
    from vega3d_ros.evaluation.sources.live import RecordedOutputs, RunResult
    from vega3d_ros.evaluation.sources.offline import QuestionSchedule
    from vega3d_ros.evaluation.sources.truth import TruthSource
    from vega3d_ros.sensing.bags.reader import CameraTopics


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``vega3d replay``."""
    parser.add_argument("bag", type=Path, help="recording: rosbag2 folder, .mcap, .db3 or .bag")
    parser.add_argument(
        "--model", help="start a node with this model; left out: play to the node that runs"
    )
    parser.add_argument(
        "--threads",
        type=thread_number,
        default=AUTOMATIC,
        help="with --model: threads of the processor for it; 0: by a measurement (%(default)s)",
    )
    parser.add_argument("--node", default=NODE, help="name of the node that runs (%(default)s)")
    add_out(parser, "folder for results (default: runs/replay-MODEL-DATE)")
    parser.add_argument("--rate", type=float, default=1.0, help="speed (%(default)s)")
    parser.add_argument("--start", type=float, default=0.0, help="seconds to leave out at first")
    parser.add_argument("--seconds", type=float, help="seconds to play; left out: all")
    parser.add_argument("--loop", type=int, default=1, help="how often to play (%(default)s)")
    parser.add_argument(
        "--pause",
        action="store_true",
        help="begin paused; go on with the service /vega3d_replay/resume",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="with --model: do the same offline, and fail where live and offline differ",
    )
    parser.add_argument(
        "--topics", action="store_true", help="say what a node would listen to, and play nothing"
    )
    parser.add_argument("--questions", type=Path, help="JSON with questions of your own")
    parser.add_argument("--truth", default="auto", metavar="TOPIC", help="as in vega3d evaluate")
    parser.add_argument("--image", default="", help="image topic; left out: found by type")
    parser.add_argument("--camera-info", default="", help="its camera_info; left out: found")
    parser.add_argument("--depth", default="", help="its depth; left out: found")
    parser.add_argument(
        "--tf",
        default="",
        help="topic or namespace of its transforms (/robot1/tf, /robot1); left out: found",
    )


def run(args: argparse.Namespace) -> int:
    """Replay and write the report.

    Raises:
        BagError: If the recording cannot be used.
        RunError: If the node is missing or ends early, or live and offline differ.
    """
    if args.check and args.model is None:
        msg = "--check needs --model: the model of a running node is not known here"
        raise RunError(msg)
    if args.rate <= 0 or args.start < 0 or args.loop < 1 or (args.seconds or 1) <= 0:
        msg = "--rate, --seconds and --loop must be positive, --start not negative"
        raise RunError(msg)
    console = remarks()
    with open_bag(args.bag) as bag, interruptible():
        topics = bag.find_topics(
            image=args.image, camera_info=args.camera_info, depth=args.depth, tf=args.tf
        )
        if args.topics:
            print(*launch_arguments(topics), sep="\n")  # noqa: T201 - what was asked for
            return 0
        truth, source = find_truth(bag, args.truth)
        plan = _plan(args, bag, truth)
        for note in (*bag.notes, *bag.damage, *topics.notes):
            console.print(f"  {note}", highlight=False)
        out = args.out or default_folder("replay", args.model or args.node.strip("/"))
        run_folder = RunFolder(out, _settings(args, bag), overwrite=args.overwrite, resumes=False)
        folder = make_folder(run_folder.path / BAGS / args.bag.resolve().stem)
        command = None
        if args.model is not None:
            command = node_command(args.model, topics, args.threads)
        playing = Playing(args.rate, args.start, args.seconds, args.loop, args.pause)
        result = run_live(
            bag, topics, plan, folder, console, playing, command=command, node=args.node
        )
        recorded = read_recorded_outputs(folder / "output_bag", args.node)
        log = live_log(bag, topics, result, recorded)
        record = _record(args, bag, topics, log, truth, folder, result, recorded)
        differ = _check(args, bag, topics, as_live(log), log, folder) if args.check else []
    write_record(_job(args, folder), {**record, "truth": source, "status": COMPLETE})
    title = f"Replay of {args.bag.resolve().stem}"
    results, _ = write_report(run_folder.path, *read_run(run_folder.path), _made_with(args), title)
    give(results)
    scenes = results["recordings"][folder.name]["figures"]["scenes"]
    console.print(
        f"{scenes} scenes, {len(result.replies)} replies; written to "
        f"{out}: report.html, report.md, results.json, {BAGS}/{folder.name}/output_bag",
        highlight=False,
    )
    if scenes:
        run_folder.finish()
    else:
        msg = f"{args.node} published no scene; look at /diagnostics, or {folder / 'node.log'}"
        raise RunError(msg)
    if differ:
        msg = "live and offline differ: " + "; ".join(differ)
        raise RunError(msg)
    if args.check:
        console.print("live and offline agree: same scenes, objects, answers and stamps")
    return 0


def _check(
    args: argparse.Namespace,
    bag: Bag,
    topics: CameraTopics,
    schedule: QuestionSchedule,
    live: RunLog,
    folder: Path,
) -> list[str]:
    """Differences between the live results and those of the same model offline."""
    parameters = load_parameters(
        None,
        model=args.model,
        threads=args.threads,
        fixed_frame=topics.fixed_frame,
        **NODE_PARAMETERS,
    )
    with LogWriter(folder / "offline.jsonl", fresh=True) as out:
        offline = OfflineRun(
            bag, topics, load_model(parameters), parameters, schedule, out,
            only={scene.stamp_ns for scene in live.scenes}, start_s=args.start,
        )  # fmt: skip
        offline.run()
    return differences(live, offline.log)


def _plan(args: argparse.Namespace, bag: Bag, truth: TruthSource | None) -> list[Question]:
    end_s = min(bag.duration_s, args.start + (args.seconds or bag.duration_s))
    plan = make_plan(args.questions, truth, bag.duration_s)
    return [item for item in plan if args.start <= item.ask_at_s <= end_s]


def _record(
    args: argparse.Namespace,
    bag: Bag,
    topics: CameraTopics,
    log: RunLog,
    truth: TruthSource | None,
    folder: Path,
    result: RunResult,
    recorded: RecordedOutputs,
) -> dict[str, Any]:
    with LogWriter(folder / LOG, fresh=True) as out:
        for scene in log.scenes:
            out.scene(scene)
        for reply in log.replies:
            out.reply(reply)
    sent = result.published.get(topics.image, 0)
    return {
        "notes": list(bag.notes),
        "damage": "; ".join(bag.damage),
        "topics": topic_record(bag, topics),
        "frames": {
            "in_bag": sent,
            "read": sent,
            "by_fate": {"sent": sent, **_counts(recorded.drops())},
            "lacks": {},
            "details": {},
        },
        "live": {
            "scenes_lost": recorded.lost(),
            "worst_delay_s": result.worst_delay_s,
            "ready_s": result.ready_s,
            "published": result.published,
            "recorded": result.recorded,
            "loops": args.loop,
            "rate": args.rate,
        },
        **finish_run(
            folder, folder.name, bag, topics, log, truth,
            result.played_s - args.start, (result.played_s - args.start) / args.rate,
            result.mapped_objects, result.fixed_frame,
        ),
    }  # fmt: skip


def _counts(drops: dict[str, str]) -> dict[str, int]:
    return {f"live: {name}": int(text) for name, text in drops.items() if text.isdigit()}


def _settings(args: argparse.Namespace, bag: Bag) -> dict[str, Any]:
    return {
        "kind": "replay",
        "bag": str(bag.path.resolve()),
        "model": args.model or args.node,
        **{name: getattr(args, name) for name in ("rate", "start", "seconds", "loop", "truth")},
        "questions": str(args.questions or ""),
    }


def _job(args: argparse.Namespace, folder: Path) -> BagRun:
    return BagRun(
        bag=args.bag, name=folder.name, folder=folder, model_hash="", parameters=Parameters()
    )


def _made_with(args: argparse.Namespace) -> dict[str, Any]:
    """What is known here; a running node may be on another machine."""
    if args.model is None:
        made = provenance(args.node, None, "the node's")
    else:
        from vega3d_ros.models.checkpoints.load import locate  # noqa: PLC0415 - imports torch

        made = provenance(args.model, locate(args.model), "auto")
    return made | {"settings": {"rate": args.rate, "loop": args.loop, "start_s": args.start}}
