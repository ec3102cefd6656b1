"""``vega3d evaluate``: a model on recordings or on simulated clips."""

from __future__ import annotations

import argparse
from pathlib import Path

from vega3d_ros.core.arguments import add_out, thread_number
from vega3d_ros.evaluation.schema import RunError

EPILOG = """\
vega3d evaluate BAG... --model M      recordings, through the node's code
vega3d evaluate M --split heldout     simulated clips, beside baselines
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``vega3d evaluate``."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "subjects",
        nargs="+",
        metavar="BAG",
        help="recordings: rosbag2 folders, .mcap, .db3, or .bag of ROS 1; with --split: the model",
    )
    add_out(
        parser,
        "folder for reports (default: runs/evaluation-MODEL-DATE); the same command continues "
        "where it stopped",
    )
    parser.add_argument(
        "--device",
        help="auto, cpu, cuda, cuda:1, ...; left out: for recordings that of --params, else auto; "
        "for clips cpu",
    )
    bags = parser.add_argument_group("recordings")
    bags.add_argument(
        "--model", help="shipped model or model folder; left out: that of --params, else nano"
    )
    bags.add_argument("--image", default="", help="image topic; left out: found by type")
    bags.add_argument("--camera-info", default="", help="its camera_info; left out: found")
    bags.add_argument("--depth", default="", help="its depth; left out: found")
    bags.add_argument(
        "--tf",
        default="",
        help="topic or namespace of its transforms (/robot1/tf, /robot1); left out: found",
    )
    bags.add_argument(
        "--fixed-frame", help="frame of the results; left out: map, else the root of TF"
    )
    bags.add_argument(
        "--camera-frame", help="optical frame of the images; left out: as they say themselves"
    )
    bags.add_argument(
        "--rectification",
        choices=("auto", "raw", "rectified"),
        help="whether images are; left out: by topic and calibration",
    )
    bags.add_argument(
        "--depth-scale", type=float, help="metres of one unit of depth; left out: by its encoding"
    )
    bags.add_argument(
        "--truth",
        default="auto",
        metavar="TOPIC",
        help="topic of true objects (GroundedObjectArray, Detection3DArray), or none; left out: "
        "truth.json beside the bag",
    )
    bags.add_argument("--questions", type=Path, help="JSON with your questions")
    bags.add_argument("--params", type=Path, help="all parameters, as the node's YAML")
    bags.add_argument("--min-score", type=float, help="objects of a lower score are left out")
    bags.add_argument(
        "--threads",
        type=thread_number,
        help="threads of the processor for each process's model; 0: chosen by a measurement, one "
        "where --workers are several; left out: that of --params",
    )
    bags.add_argument(
        "--workers", type=int, default=1, help="recordings at once, each a process (%(default)s)"
    )
    bags.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="run on a Ray cluster; local: one of --workers on this machine",
    )
    clips = parser.add_argument_group("simulated clips")
    clips.add_argument(
        "--split",
        choices=("heldout", "train"),
        help="ask about clips of it (heldout where --data is given)",
    )
    clips.add_argument("--data", type=Path, help="folder of clips (default: made and kept)")
    clips.add_argument("--clips", type=int, default=200, help="how many (%(default)s)")
    clips.add_argument("--furniture", help="folder of meshes for clips that are made")
    for name, what in (
        ("blind", "trained without images (answers only)"),
        ("no-prior", "trained without the prior"),
        ("random-prior", "trained with a prior of random weights"),
    ):
        clips.add_argument(f"--{name}-model", help=f"folder of the same model {what}")


def run(args: argparse.Namespace) -> int:
    """Evaluate and write the report.

    Raises:
        RunError: If the arguments do not go together.
        CheckpointError: If a model cannot be loaded.
    """
    if args.split is not None or args.data is not None:
        from vega3d_ros.evaluation import clips_command  # noqa: PLC0415 - needs the simulation

        if len(args.subjects) != 1:
            msg = f"--split asks one model about clips, not {', '.join(args.subjects)}"
            raise RunError(msg)
        args.model, args.split = args.subjects[0], args.split or "heldout"
        args.device = args.device or "cpu"
        return clips_command.run(args)
    if args.workers < 1:
        msg = "--workers must be at least 1"
        raise RunError(msg)
    bags = [Path(subject) for subject in args.subjects]
    missing = [str(bag) for bag in bags if not bag.exists()]
    if missing:
        msg = f"there is no {', '.join(missing)}; to ask a model about clips, add --split heldout"
        raise RunError(msg)
    from vega3d_ros.evaluation import bags_command  # noqa: PLC0415 - --help must answer at once

    return bags_command.run(args, bags)
