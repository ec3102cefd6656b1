import pytest

from vega3d_ros.cli.main import main
from vega3d_ros.simulation.dataset import ClipDataset


@pytest.fixture
def simulate():
    return lambda *words: main(["simulate", *map(str, words)])


def test_clips_and_going_on_where_it_stopped(simulate, factory, tmp_path, capsys):
    words = ["clips", "--out", tmp_path, "--seed", 5, "--workers", 1]
    assert simulate(*words, "--count", 2) == 0
    assert "2 clips in" in capsys.readouterr().out
    dataset = ClipDataset(tmp_path, "train")
    assert dataset.truths[1] == factory.clip(1).truth
    written = dataset.shards[0].stat().st_mtime_ns
    assert simulate(*words, "--count", 2) == 0
    assert dataset.shards[0].stat().st_mtime_ns == written


def test_clips_of_another_seed_are_refused_not_counted(simulate, tmp_path, capsys):
    words = ["clips", "--out", tmp_path, "--workers", 1, "--count", 1]
    assert simulate(*words) == 0
    truth = ClipDataset(tmp_path, "train").truths[0]
    assert simulate(*words, "--seed", 77) == 2
    assert "holds clips of seed 0, not 77" in " ".join(capsys.readouterr().err.split())
    assert ClipDataset(tmp_path, "train").truths[0] == truth


def test_a_shard_with_too_few_clips_is_made_whole(simulate, tmp_path, capsys):
    words = ["clips", "--out", tmp_path, "--workers", 1]
    assert simulate(*words, "--count", 1) == 0
    assert simulate(*words, "--count", 2) == 0
    assert len(ClipDataset(tmp_path, "train")) == 2
    capsys.readouterr()
    # Of two that are there, one is asked for: two are counted.
    assert simulate(*words, "--count", 1) == 0
    assert "2 clips in" in capsys.readouterr().out


def test_errors_are_one_line_and_a_status(simulate, tmp_path, capsys):
    assert simulate("clips", "--out", tmp_path, "--furniture", tmp_path / "none") == 2
    assert "house.xml is missing" in capsys.readouterr().err
    assert simulate("bag", "--out", tmp_path / "b", "--seconds", 0) == 2
    assert "2 to 3600 seconds" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["clips"], ["bag", "--out", "x", "--split", "test"], []])
def test_usage_is_checked(simulate, words, capsys):
    with pytest.raises(SystemExit):
        simulate(*words)
    assert "usage: vega3d simulate" in capsys.readouterr().err


def test_help_says_what_comes_out(simulate, capsys):
    with pytest.raises(SystemExit):
        simulate("bag", "--help")
    text = capsys.readouterr().out
    assert "truth.json" in text
    assert "example:" in text
