"""Arguments that several commands have, and numbers that argparse refuses with a clear word."""

from __future__ import annotations

import argparse
from pathlib import Path

from vega3d_ros.core.threads import MOST


def positive(text: str) -> int:
    """A whole number from 1."""
    value = int(text)
    if value < 1:
        msg = f"must be at least 1, not {value}"
        raise argparse.ArgumentTypeError(msg)
    return value


def natural(text: str) -> int:
    """A whole number from 0."""
    value = int(text)
    if value < 0:
        msg = f"must not be negative: {value}"
        raise argparse.ArgumentTypeError(msg)
    return value


def add_out(parser: argparse.ArgumentParser, about: str) -> None:
    """Declare ``--out``, and ``--overwrite`` for a folder that holds a run already."""
    parser.add_argument("--out", type=Path, help=about)
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace a run with other settings in that folder, once the new one is done",
    )


def thread_number(text: str) -> int:
    """A number of threads; 0 leaves it to a measurement."""
    value = natural(text)
    if value > MOST:
        msg = f"must be at most {MOST}, not {value}"
        raise argparse.ArgumentTypeError(msg)
    return value
