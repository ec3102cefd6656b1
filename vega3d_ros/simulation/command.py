"""``vega3d simulate``: clips for training, bags for demos."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vega3d_ros.core.arguments import natural, positive
from vega3d_ros.core.console import progress
from vega3d_ros.simulation.clips import generate
from vega3d_ros.simulation.dataset import TRUTH_FILE
from vega3d_ros.simulation.furniture import read_furniture
from vega3d_ros.simulation.recording import (
    RecordingOptions,
    record,
)
from vega3d_ros.simulation.rooms import SPLITS

if TYPE_CHECKING:
    import argparse

_FURNITURE_HELP = (
    "folder of furniture meshes (house.xml with OBJ and PNG files); without it, furniture is "
    "built of boxes, cylinders and spheres"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands ``clips`` and ``bag``."""
    commands = parser.add_subparsers(dest="simulate", required=True, metavar="{clips,bag}")
    clips = commands.add_parser(
        "clips",
        help="write short clips with ground truth, for training and evaluation",
        description=(
            "Write clips of 8 frames (RGB, depth, instances, poses, boxes, questions, referring "
            "expressions) in shards of 50. Finished shards are kept: repeat it to continue."
        ),
        epilog="example: vega3d simulate clips --out data --split train --count 1000",
    )
    clips.add_argument("--count", type=positive, default=1000, help="clips (default %(default)s)")
    clips.add_argument("--split", choices=SPLITS, default="train", help="default %(default)s")
    clips.add_argument(
        "--workers",
        type=positive,
        default=os.cpu_count() or 1,
        help="processes (default: one per core, here %(default)s)",
    )
    bag = commands.add_parser(
        "bag",
        help="record a drive through two rooms as a ROS 2 bag (mcap)",
        description=(
            "Drive through a home of two rooms and record camera, depth and transforms as a ROS 2 "
            f"bag, with the ground truth in {TRUTH_FILE} beside it."
        ),
        epilog="example: vega3d simulate bag --out drive --seed 3 && ros2 bag play drive",
    )
    bag.add_argument("--split", choices=SPLITS, default="heldout", help="default %(default)s")
    bag.add_argument("--seconds", type=float, default=40.0, help="length (default %(default)s)")
    bag.add_argument(
        "--rate", type=float, default=10.0, help="images per second (default %(default)s)"
    )
    bag.add_argument("--width", type=positive, default=320, help="pixels (default %(default)s)")
    bag.add_argument("--height", type=positive, default=240, help="pixels (default %(default)s)")
    form = bag.add_mutually_exclusive_group()
    form.add_argument(
        "--compressed",
        dest="compressed",
        action="store_true",
        default=True,
        help="JPEG images and PNG depth (default)",
    )
    form.add_argument(
        "--raw", dest="compressed", action="store_false", help="sensor_msgs/Image, much larger"
    )
    for command in (clips, bag):
        command.add_argument("--out", type=Path, required=True, help="folder to write")
        command.add_argument("--seed", type=natural, default=0, help="default %(default)s")
        command.add_argument("--furniture", type=Path, metavar="FOLDER", help=_FURNITURE_HELP)


def run(args: argparse.Namespace) -> int:
    """Run a parsed command; returns the exit status."""
    return _clips(args) if args.simulate == "clips" else _bag(args)


def _clips(args: argparse.Namespace) -> int:
    furniture = str(args.furniture) if args.furniture else None
    if furniture:
        read_furniture(furniture)  # an error is reported here, not in every worker
    there = 0
    with progress() as tell:
        for finished in generate(
            args.out,
            args.split,
            args.count,
            seed=args.seed,
            furniture=furniture,
            workers=args.workers,
        ):
            there += finished
            tell(f"{args.split} clips", there, args.count)
    sys.stdout.write(f"{there} clips in {args.out / args.split}\n")
    return 0


def _bag(args: argparse.Namespace) -> int:
    options = RecordingOptions(args.seconds, args.rate, args.compressed, args.width, args.height)
    furniture = read_furniture(args.furniture) if args.furniture else None
    total = int(options.seconds * options.rate_hz)
    with progress() as tell:
        for share in record(
            args.out, seed=args.seed, split=args.split, furniture=furniture, options=options
        ):
            tell("images", share, 1.0)
    size = sum(path.stat().st_size for path in args.out.iterdir())
    sys.stdout.write(f"{args.out}: {total} images, {size / 1e6:.1f} MB, truth in {TRUTH_FILE}\n")
    return 0
