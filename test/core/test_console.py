"""What commands print, in a log and on a terminal."""

import json
import os
from pathlib import Path

import pytest
from rich.console import Console

from vega3d_ros.core import console


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch):
    yield
    console.choose()


def test_progress_without_a_terminal_is_a_line_for_each_tenth(capsys):
    assert list(console.track(range(40), "asking", 40)) == list(range(40))
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"asking: {10 * i} %" for i in range(1, 11)]


def test_progress_of_nothing_is_done(capsys):
    assert list(console.track([], "asking", 0)) == []
    with console.progress() as tell:
        tell("empty", 0, 0)
    assert capsys.readouterr().out == "empty: 100 %\n"


def test_progress_on_a_terminal_is_a_bar():
    with Path(os.devnull).open("w") as nowhere:
        screen = Console(file=nowhere, force_terminal=True, record=True)
        with console.progress(screen) as tell:
            tell("a", 1, 2, "half")
    assert "50 %" in screen.export_text()


def test_quiet_keeps_results_alone(capsys):
    console.choose(quiet=True)
    console.remarks().print("a remark")
    list(console.track([1], "asking", 1))
    console.results().print("a result")
    assert capsys.readouterr().out == "a result\n"


def test_json_is_alone_on_stdout(capsys):
    console.choose(json=True)
    console.remarks().print("a remark")
    console.results().print("a table")
    console.give({"value": float("nan")})
    told = capsys.readouterr()
    assert json.loads(told.out) == {"value": None}
    assert told.err == "a remark\n"


def test_bars_of_other_libraries_stay_out_of_logs(monkeypatch):
    for name in ("TQDM_DISABLE", "HF_HUB_DISABLE_PROGRESS_BARS"):
        monkeypatch.delenv(name, raising=False)
    console.hide_foreign_bars()
    assert os.environ["TQDM_DISABLE"] == os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] == "1"
