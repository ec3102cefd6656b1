"""``vega3d``: the command line of the package.

Each subcommand is a module with ``add_arguments(parser)`` and ``run(args) -> int``. It is imported
only when it is called, so that ``vega3d --help`` needs neither torch nor ROS and answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from vega3d_ros import __version__
from vega3d_ros.core.console import choose, hide_foreign_bars
from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.core.nearest import nearest
from vega3d_ros.core.threads import wait_passively

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE_ERROR = 2
INTERRUPTED = 128 + signal.SIGINT
_MORE = """\
vega3d COMMAND --help says more about one of them.

exit status:
  0    done
  1    done, but a part failed or is missing: a recording, a file of a model
  2    not done: called wrongly, or for the reason that is named
  130  interrupted"""
_OPTIONS = {
    ("-q", "--quiet"): "print results and errors alone, no remarks and no progress",
    ("-v", "--verbose"): "print what other libraries log, too",
    ("--json",): "print results as JSON alone; remarks go to stderr",
    ("--traceback",): "show where an error arose",
}


class Command(NamedTuple):
    """A subcommand.

    Attributes:
        module: What does it.
        summary: What that is, in a few words.
        json: Whether it can give its results as JSON.
    """

    module: str
    summary: str
    json: bool = True


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
        "vega3d_ros.simulation.command", "render rooms: clips and recorded drives", json=False
    ),
    "train": Command("vega3d_ros.training.command", "train the parts of a model", json=False),
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
        "vega3d_ros.evaluation.benchmark_command", "ask a model the questions of a benchmark"
    ),
    "inspect": Command(
        "vega3d_ros.models.checkpoints.inspection", "say what a checkpoint is and needs"
    ),
    "download": Command(
        "vega3d_ros.models.checkpoints.download", "download a released model", json=False
    ),
    "prompt": Command(
        "vega3d_ros.models.checkpoints.prompt",
        "compute the prompt embedding of a prior",
        json=False,
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
    if "_ARGCOMPLETE" in os.environ:
        _complete()
    wait_passively()  # before a command imports NumPy or PyTorch
    hide_foreign_bars()
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
        epilog=f"commands:\n{listing}\n\n{_MORE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"vega3d {__version__}")
    parser.add_argument("command", nargs="?", metavar="COMMAND", help="one of the commands below")
    # Not argparse's subparsers: they would have to import every module to know its arguments.
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="its arguments")
    return parser


def _run(name: str, argv: Sequence[str]) -> int:
    # Taken out here, so that they may also stand behind a subcommand of the command.
    options = {word: words[-1][2:] for words in _OPTIONS for word in words}
    end = argv.index("--") if "--" in argv else len(argv)
    given = {options[word] for word in argv[:end] if word in options}
    rest = [word for at, word in enumerate(argv) if at >= end or word not in options]
    arguments = argparse.Namespace()
    traceback = "traceback" in given
    try:
        parser, module = _parser(name)
        if "json" in given and not COMMANDS[name].json:
            parser.error("its results cannot be given as JSON")
        arguments = parser.parse_args(rest)
        given |= {option for option in options.values() if getattr(arguments, option, False)}
        traceback = "traceback" in given
        choose(quiet="quiet" in given, verbose="verbose" in given, json="json" in given)
        return module.run(arguments)
    except KeyboardInterrupt:
        if traceback:
            raise
        print(f"vega3d {name}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        reason = _reason(error, arguments)
        if traceback or reason is None:
            raise
        print(f"vega3d {name}: {reason}", file=sys.stderr)
        return USAGE_ERROR


def _parser(name: str) -> tuple[argparse.ArgumentParser, CommandModule]:
    """The parser of a command, and its module."""
    module = cast("CommandModule", importlib.import_module(COMMANDS[name].module))
    about = COMMANDS[name].summary
    parser = argparse.ArgumentParser(prog=f"vega3d {name}", description=f"{about.capitalize()}.")
    module.add_arguments(parser)
    for words, what in _OPTIONS.items():
        if words != ("--json",) or COMMANDS[name].json:
            parser.add_argument(*words, action="store_true", help=what)
    return parser, module


def _complete() -> None:
    """Answer the shell, which asks how a command line may go on, and exit; needs argcomplete."""
    import argcomplete  # noqa: PLC0415 - optional

    typed = os.environ["COMP_LINE"].split()[1:2]
    program = argparse.ArgumentParser(prog="vega3d")
    commands = program.add_subparsers()
    for name, command in COMMANDS.items():
        parents = [_parser(name)[0]] if typed == [name] else []
        commands.add_parser(name, help=command.summary, parents=parents, add_help=False)
    argcomplete.autocomplete(program)


def _reason(error: Exception, arguments: argparse.Namespace) -> str | None:
    """Returns the message of an error that is meant for the user; None for a bug."""
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("vega3d_ros"):
        return f"needs the Python package {error.name!r}, which is not installed (see README.md)"
    out = getattr(arguments, "out", None)
    if isinstance(error, OSError) and error.filename and out:
        failed, out = Path(os.fsdecode(error.filename)).absolute(), Path(out).absolute()
        if failed.is_relative_to(out) or out.is_relative_to(failed):
            return f"cannot write to {failed}: {error.strerror}; give another place with --out"
    return str(error) if isinstance(error, Vega3dError) else None


if __name__ == "__main__":
    sys.exit(main())
