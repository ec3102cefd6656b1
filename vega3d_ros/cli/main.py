"""``vega3d``: the command line of the package.

Each subcommand is a module with ``add_arguments(parser)`` and ``run(args) -> int``. It is imported
only when it is called, so that ``vega3d --help`` needs neither torch nor ROS and answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from vega3d_ros import __version__
from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.core.nearest import nearest
from vega3d_ros.core.threads import wait_passively

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE_ERROR = 2
INTERRUPTED = 128 + signal.SIGINT


class Command(NamedTuple):
    """A subcommand: the module that does it, and what that is in a few words."""

    module: str
    summary: str


class CommandModule(Protocol):
    """What the module of a subcommand has."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int: ...


COMMANDS = {
    "demo": Command(
        "vega3d_ros.demo.command", "let the node see a recorded drive and question it"
    ),
    "ask": Command("vega3d_ros.cli.ask", "ask about a recording, a video or what a node sees"),
    "simulate": Command(
        "vega3d_ros.simulation.command", "render rooms: clips and recorded drives"
    ),
    "train": Command("vega3d_ros.training.command", "train the parts of a model"),
    "evaluate": Command(
        "vega3d_ros.evaluation.command", "measure a model on recordings or simulated clips"
    ),
    "replay": Command(
        "vega3d_ros.replay.command", "play a recording to a live node, ask it and score it"
    ),
    "compare": Command(
        "vega3d_ros.evaluation.compare", "say what got better and worse between two runs"
    ),
    "benchmark": Command(
        "vega3d_ros.evaluation.benchmarks.command", "ask a model the questions of a benchmark"
    ),
    "inspect": Command(
        "vega3d_ros.models.checkpoints.inspection", "say what a checkpoint is and needs"
    ),
    "download": Command("vega3d_ros.models.checkpoints.download", "download a released model"),
    "prompt": Command(
        "vega3d_ros.models.checkpoints.prompt", "compute the prompt embedding of a prior"
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``vega3d``.

    Args:
        argv: Arguments without the program's name; None for those of the process.

    Returns:
        The exit status of the subcommand; 2 where it was called wrongly or could not do its work
        for a reason that it names, 130 where it was interrupted.
    """
    wait_passively()  # before a command imports NumPy or PyTorch
    program = _program()
    chosen = program.parse_args(argv)
    if chosen.command is None:
        program.print_help()
        return USAGE_ERROR
    if chosen.command not in COMMANDS:
        close = nearest(chosen.command, COMMANDS)
        hint = f"did you mean {close!r}?" if close else f"choose from {', '.join(COMMANDS)}"
        program.error(f"there is no command {chosen.command!r}; {hint}")
    return _run(chosen.command, chosen.arguments)


def _program() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:<{width}}  {COMMANDS[name].summary}" for name in COMMANDS)
    parser = argparse.ArgumentParser(
        prog="vega3d",
        description="Spatial understanding from video for robots.",
        epilog=f"commands:\n{listing}\n\nvega3d COMMAND --help says more about one of them.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"vega3d {__version__}")
    parser.add_argument("command", nargs="?", metavar="COMMAND", help="one of the commands below")
    # Not argparse's subparsers: they would have to import every module to know its arguments.
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="its arguments")
    return parser


def _run(name: str, argv: Sequence[str]) -> int:
    traceback = "--traceback" in argv
    # Taken out here, so that it may also stand behind a subcommand of the command.
    argv = [word for word in argv if word != "--traceback"]
    try:
        module = cast("CommandModule", importlib.import_module(COMMANDS[name].module))
        about = COMMANDS[name].summary
        parser = argparse.ArgumentParser(
            prog=f"vega3d {name}", description=f"{about.capitalize()}."
        )
        module.add_arguments(parser)
        parser.add_argument("--traceback", action="store_true", help="show where an error arose")
        return module.run(parser.parse_args(argv))
    except KeyboardInterrupt:
        if traceback:
            raise
        print(f"vega3d {name}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        reason = _reason(error)
        if traceback or reason is None:
            raise
        print(f"vega3d {name}: {reason}", file=sys.stderr)
        return USAGE_ERROR


def _reason(error: Exception) -> str | None:
    """Returns the message of an error that is meant for the user; None for a bug."""
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("vega3d_ros"):
        return f"needs the Python package {error.name!r}, which is not installed (see README.md)"
    return str(error) if isinstance(error, Vega3dError) else None


if __name__ == "__main__":
    sys.exit(main())
