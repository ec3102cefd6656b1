"""Folders of runs: what is done is never mixed with other settings, and never lost too early."""

from __future__ import annotations

import json
import shutil

import pytest
from support.fake_perceiver import FakePerceiver

from vega3d_ros.cli.main import main
from vega3d_ros.evaluation.run_folder import RunFolder, default_folder, differing
from vega3d_ros.evaluation.schema import RunError


def opened(out, settings, *, overwrite=False, resumes=True):
    return RunFolder(out, settings, overwrite=overwrite, resumes=resumes)


@pytest.fixture
def done(tmp_path):
    """A finished run with the settings {"min_score": 0.3}."""
    folder = opened(tmp_path / "run", {"min_score": 0.3})
    (folder.path / "results.json").write_text("old")
    folder.finish()
    return tmp_path / "run"


def test_settings_of_a_run_that_wrote_nothing_bind_nobody(tmp_path):
    opened(tmp_path, {"min_score": 0.3})
    assert opened(tmp_path, {"min_score": 0.9}).path == tmp_path


def test_the_same_settings_go_on_in_the_same_folder(done):
    assert opened(done, {"min_score": 0.3}).path == done
    assert (done / "results.json").read_text() == "old"


def test_other_settings_in_one_folder_are_refused_with_what_differs_and_the_choice(done):
    with pytest.raises(RunError, match=r"min_score: 0\.3, now 0\.9.*--out.*--overwrite"):
        opened(done, {"min_score": 0.9})
    assert (done / "results.json").read_text() == "old"


def test_a_run_that_replaces_another_takes_its_place_only_when_it_is_done(done):
    (done / "mine.txt").write_text("keep me")
    (done / "report.md").write_text("old")
    folder = opened(done, {"min_score": 0.9}, overwrite=True)
    (folder.path / "results.json").write_text("half")
    assert (done / "results.json").read_text() == "old"
    # Interrupted and repeated, it goes on beside the old one.
    again = opened(done, {"min_score": 0.9}, overwrite=True)
    assert (again.path / "results.json").read_text() == "half"
    again.finish()
    assert (done / "results.json").read_text() == "half"
    assert (done / "mine.txt").read_text() == "keep me"
    assert not (done / "report.md").exists()
    assert sorted(path.name for path in done.parent.iterdir()) == ["run"]
    assert opened(done, {"min_score": 0.9}).path == done


def test_a_run_that_cannot_be_resumed_is_made_anew_beside_the_old_one(done):
    folder = opened(done, {"min_score": 0.3}, resumes=False)
    assert folder.path != done
    assert (done / "results.json").read_text() == "old"


def test_results_of_unknown_settings_are_not_overwritten(tmp_path):
    (tmp_path / "report.md").write_text("a thesis")
    with pytest.raises(RunError, match="another folder"):
        opened(tmp_path, {})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("no result")
    assert opened(tmp_path / "other", {}).path == tmp_path / "other"


def test_recordings_are_added_to_a_run_but_a_changed_one_is_refused(tmp_path):
    one, two = ({"recordings": {name: {"files": [name]}}} for name in "ab")
    opened(tmp_path, one)
    (tmp_path / "bags").mkdir()
    opened(tmp_path, two)
    with pytest.raises(RunError, match=r"recordings\.a\.files"):
        opened(tmp_path, {"recordings": {"a": {"files": ["changed"]}}})


def test_settings_that_only_one_run_has_do_not_differ():
    assert differing({"a": 1, "b": {"c": 2}}, {"b": {"c": 3}, "d": 4}) == {"b.c": (2, 3)}


def test_the_default_folder_names_model_and_day():
    assert default_folder("evaluation", "models/nano").match("runs/evaluation-nano-20*-*-*")


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "BAG"],
        ["compare", "BAG", "BAG"],
        ["replay", "BAG"],
    ],
)
def test_a_folder_that_cannot_be_written_is_one_sentence(words, drive_bag, tmp_path, capsys):
    bag = drive_bag.path
    if words[0] == "compare":
        bag = tmp_path / "run"
        write_run(bag, drive_bag.path)
    given = [str(bag) if word == "BAG" else word for word in words]
    capsys.readouterr()
    assert main([*given, "--out", "/etc/passwd"]) == 2
    told = capsys.readouterr().err.strip()
    assert "cannot write to /etc/passwd: File exists" in told
    assert told.count("\n") == 0


def write_run(out, bag, *words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vega3d_ros.evaluation.bags_command.load_model", lambda *_: FakePerceiver())
        return main(["evaluate", str(bag), "--out", str(out), *words])


def test_runs_of_two_settings_never_share_a_report(drive_bag, tmp_path, capsys):
    out, other = tmp_path / "run", tmp_path / "other"
    shutil.copytree(drive_bag.path, other)
    assert write_run(out, drive_bag.path) == 0
    before = (out / "results.json").read_text()
    assert write_run(out, other, "--min-score", "0.7") == 2
    assert "parameters.min_score" in capsys.readouterr().err
    assert (out / "results.json").read_text() == before
    # The same settings may go on with another recording.
    assert write_run(out, other) == 0
    assert set(json.loads((out / "results.json").read_text())["recordings"]) == {"bag", "other"}
    assert write_run(out, other, "--min-score", "0.7", "--overwrite") == 0
    assert set(json.loads((out / "results.json").read_text())["recordings"]) == {"other"}


def test_compare_says_first_what_differs(drive_bag, tmp_path, capsys):
    for name, score in (("a", "0.05"), ("b", "0.7")):
        assert write_run(tmp_path / name, drive_bag.path, "--min-score", score) == 0
    capsys.readouterr()
    runs = [str(tmp_path / name) for name in "ab"]
    assert main(["compare", *runs, "--out", str(tmp_path / "c")]) == 0
    told = capsys.readouterr().out
    assert "parameters.min_score: A 0.05, B 0.7" in told
    assert told.index("min_score") < told.index("B less A")
    assert "A flip is right in one run and wrong in the other" in " ".join(told.split())
    assert main(["compare", runs[0], runs[0], "--out", str(tmp_path / "c")]) == 0
    assert "The runs have the same settings." in capsys.readouterr().out
