from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import vega3d_ros
from vega3d_ros.cli import main as cli
from vega3d_ros.core.console import choose, give, remarks
from vega3d_ros.core.errors import Vega3dError


@pytest.fixture(autouse=True)
def nothing_chosen():
    yield
    choose()


@pytest.fixture
def command(monkeypatch):
    """Makes `vega3d fake [--number N]` call the function that it is given."""

    def install(run):
        module = types.ModuleType("vega3d_ros.fake")
        module.add_arguments = lambda parser: parser.add_argument("--number", type=int, default=0)
        module.run = run
        monkeypatch.setitem(sys.modules, "vega3d_ros.fake", module)
        monkeypatch.setitem(cli.COMMANDS, "fake", cli.Command("vega3d_ros.fake", "for tests"))

    return install


def test_a_command_gets_its_arguments_and_gives_the_exit_status(command):
    command(lambda args: args.number)
    assert cli.main(["fake", "--number", "3"]) == 3


def test_every_command_can_be_imported_and_explains_itself(capsys):
    for name in cli.COMMANDS:
        with pytest.raises(SystemExit) as exit_:
            cli.main([name, "--help"])
        assert exit_.value.code == 0
        assert f"usage: vega3d {name}" in capsys.readouterr().out


def test_help_lists_every_command_and_imports_nothing_heavy():
    code = (
        "import sys; from vega3d_ros.cli import main as cli\n"
        "try: cli.main(['--help'])\n"
        "finally: print(sorted({'torch', 'numpy', 'rclpy', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for name, about in cli.COMMANDS.items():
        assert name in done.stdout
        assert about.summary in done.stdout


def test_no_command_prints_the_help_and_is_a_mistake(capsys):
    assert cli.main([]) == cli.USAGE_ERROR
    assert "simulate" in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out.strip() == f"vega3d {vega3d_ros.__version__}"


@pytest.mark.parametrize(
    ("typed", "hint"),
    [("simulat", "did you mean 'simulate'?"), ("quux", "choose from demo, ask")],
)
def test_a_mistyped_command_gets_a_suggestion(typed, hint, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main([typed])
    assert exit_.value.code == cli.USAGE_ERROR
    assert hint in capsys.readouterr().err


def test_an_error_of_the_package_is_one_line(command, capsys):
    def run(args):
        raise Vega3dError("the folder is empty")

    command(run)
    assert cli.main(["fake"]) == cli.USAGE_ERROR
    assert capsys.readouterr().err == "vega3d fake: the folder is empty\n"
    with pytest.raises(Vega3dError):
        cli.main(["fake", "--traceback"])


def test_a_bug_keeps_its_traceback(command):
    def run(args):
        raise ValueError("not on purpose")

    command(run)
    with pytest.raises(ValueError, match="not on purpose"):
        cli.main(["fake"])


def test_a_package_that_is_not_installed_is_named(command, capsys):
    def run(args):
        import not_installed_anywhere  # noqa: F401

    command(run)
    assert cli.main(["fake"]) == cli.USAGE_ERROR
    assert "'not_installed_anywhere', which is not installed" in capsys.readouterr().err


def test_a_missing_module_of_our_own_is_a_bug(monkeypatch):
    monkeypatch.setitem(cli.COMMANDS, "fake", cli.Command("vega3d_ros.no_such", "for tests"))
    with pytest.raises(ModuleNotFoundError):
        cli.main(["fake"])


def test_interruption(command, capsys):
    def run(args):
        raise KeyboardInterrupt

    command(run)
    assert cli.main(["fake"]) == cli.INTERRUPTED == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_one_sentence(monkeypatch, command, capsys):
    def run(args):
        args.out.mkdir(parents=True)

    command(run)
    module = sys.modules["vega3d_ros.fake"]
    module.add_arguments = lambda parser: parser.add_argument("--out", type=Path)
    for place in ("/etc/passwd", "/etc/passwd/new/folder"):
        assert cli.main(["fake", "--out", place]) == cli.USAGE_ERROR
        told = capsys.readouterr().err
        assert "cannot write to /etc/passwd" in told
        assert "--out" in told
        assert told.count("\n") == 1


def test_what_is_printed_can_be_chosen_anywhere_on_the_line(command, capsys):
    def run(args):
        remarks().print("a remark")
        give({"number": args.number})
        return 0

    command(run)
    for words in (["--json", "--number", "3"], ["--number", "3", "-q", "--json"]):
        assert cli.main(["fake", *words]) == 0
        assert json.loads(capsys.readouterr().out) == {"number": 3}
    assert cli.main(["fake", "--number", "3", "-q"]) == 0
    assert capsys.readouterr().out == ""


def test_a_command_without_results_refuses_json(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["prompt", "a", "b", "--json"])
    assert exit_.value.code == cli.USAGE_ERROR
    assert "cannot be given as JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("vega3d eva", {"evaluate"}), ("vega3d evaluate --overw", {"--overwrite"})],
)
def test_the_shell_completes_commands_and_options(typed, expected, tmp_path):
    pytest.importorskip("argcomplete", reason="the extra [completion] is not installed")
    answer = tmp_path / "answer"
    code = "from vega3d_ros.cli.main import main; main([])"
    asked = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "COMP_LINE": typed,
        "COMP_POINT": str(len(typed)),
    }
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **asked}, check=False)
    assert {word.strip() for word in answer.read_text().splitlines()} == expected
