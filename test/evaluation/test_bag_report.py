"""The report on recordings: its contents, that it is one file, and its layout in a browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.fake_perceiver import FakePerceiver
from support.official_folder import write_checkpoint
from support.patience import patience

from vega3d_ros.cli.main import main
from vega3d_ros.evaluation import compare as comparing
from vega3d_ros.evaluation.bag_run import read_run
from vega3d_ros.evaluation.baselines.recordings import (
    blind_answers,
    blind_objects,
    constant_answers,
    constant_objects,
)
from vega3d_ros.evaluation.report.pages import cell
from vega3d_ros.evaluation.schema import AnswerRow, ClaimRow, ObjectRow, ResultRows
from vega3d_ros.evaluation.statistics import MEAN, METRES, calibration_error, summarise

VOID = {"meta", "img"}


def answer(index, kind="count", truth="2", said="2", score=1.0, sure=0.9, bag="a", at_s=1.0):
    return AnswerRow(
        source=bag,
        index=index,
        kind=kind,
        question=f"question {index}?",
        truth=truth,
        answer=said,
        error="",
        score=score,
        confidence=sure,
        at_s=at_s,
        stamp_ns=5,
        latency_ms=10.0,
    )


def sighting(name, iou, label="chair", bag="a", at_s=1.0, distance=2.0, share=0.1):
    place = (distance, 0.0, 0.0, 0.5, 0.5, 1.0, 0.0)
    error = None if iou == 0 else 0.2
    return ObjectRow(
        source=bag,
        stamp_ns=round(at_s * 1e9),
        at_s=at_s,
        id=name,
        label=label,
        found=iou > 0,
        score=0.8 if iou else None,
        iou=iou,
        iou_oriented=iou,
        error_m=error,
        distance_m=distance,
        size_m=1.0,
        share=share,
        place=place,
    )


@pytest.fixture
def folder(drive_bag, tmp_path, monkeypatch, capsys):
    """A run's folder, made by the command itself with a model in a few lines."""
    monkeypatch.setattr(
        "vega3d_ros.evaluation.bags_command.load_model", lambda *_: FakePerceiver()
    )
    assert main(["evaluate", str(drive_bag.path), "--out", str(tmp_path / "run")]) == 0
    assert "complete" in capsys.readouterr().out
    return tmp_path / "run"


class Balance(HTMLParser):
    """Fails where tags do not nest."""

    def __init__(self):
        super().__init__()
        self.open, self.sources = [], []

    def handle_starttag(self, tag, attributes):
        self.sources += [v for k, v in attributes if k in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.slow
def test_a_model_without_a_grounding_head_answers_and_says_that_it_finds_nothing(
    drive_bag, tmp_path, capsys
):
    model = write_checkpoint(tmp_path, generative_vision_tower_size="208*128")
    words = [str(drive_bag.path), "--model", str(model), "--out", str(tmp_path / "run")]
    assert main(["evaluate", *words]) == 0
    assert "it gives no objects" in " ".join(capsys.readouterr().out.split())
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    record = next(iter(results["recordings"].values()))
    assert record["failures"] == []
    assert record["figures"]["scenes"] > 3
    rows = json.loads((tmp_path / "run" / "bags" / "bag" / "rows.json").read_text())
    said = {row["kind"]: row for row in rows["answers"]}
    assert said["count"]["error"] == ""
    assert "no grounding head" in said["relation"]["error"]
    assert rows["objects"]
    assert not any(row["found"] for row in rows["objects"])
    assert "no grounding head" in (tmp_path / "run" / "report.md").read_text()


def test_the_page_stands_alone(folder):
    text = (folder / "report.html").read_text()
    parser = Balance()
    parser.feed(text)
    assert parser.open == []
    assert len(parser.sources) >= 4
    assert all(source.startswith("data:image/") for source in parser.sources)
    assert not re.findall(r"https?://|url\(", text)
    for word in (
        "How large is the chair",
        "Worst cases",
        "Maps",
        "Calibration of objects",
        "viewport",
    ):
        assert word in text


def test_results_name_everything_that_made_them(folder):
    def refuse(constant):
        raise AssertionError(constant)

    results = json.loads((folder / "results.json").read_text(), parse_constant=refuse)
    assert {"torch", "python", "vega3d_ros"} <= set(results["versions"])
    assert len(results["model"]["sha256"]) == 64
    assert {"command", "hardware", "seeds", "settings", "recordings"} <= set(results)
    assert results["figures"]["answers"]["count"]["model"]["value"] == 1.0
    assert results["recordings"]["bag"]["frames"]["in_bag"] == 30
    assert "| count | 100.0" in (folder / "report.md").read_text()


def test_an_answer_that_holds_markup_stays_text(folder):
    rows = json.loads((folder / "bags" / "bag" / "record.json").read_text())
    rows["cases"][0].update(question="<script>alert(1)</script>", badness=2.0)
    (folder / "bags" / "bag" / "record.json").write_text(json.dumps(rows))
    from vega3d_ros.evaluation.report.recordings import write_report

    made = json.loads((folder / "results.json").read_text())
    write_report(folder, *read_run(folder), made, "again")
    text = (folder / "report.html").read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_answers_are_shown_where_no_truth_is_known(drive_bag, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "vega3d_ros.evaluation.bags_command.load_model", lambda *_: FakePerceiver()
    )
    evaluate = ["evaluate", str(drive_bag.path), "--truth", "none", "--out", str(tmp_path)]
    assert main(evaluate) == 0
    assert "complete" in capsys.readouterr().out
    page = (tmp_path / "report.html").read_text()
    assert "Worst cases" not in page
    shown = page.partition("Answers to which no truth is known")[2]
    assert shown.count("data:image/jpeg") == 12
    assert "How many chairs can you see?" in shown


def test_a_second_run_repeats_nothing(folder, drive_bag, monkeypatch, capsys):
    monkeypatch.setattr("vega3d_ros.evaluation.bags_command.load_model", None)
    assert main(["evaluate", str(drive_bag.path), "--out", str(folder)]) == 0
    assert "done by an earlier run" in capsys.readouterr().out


def test_a_bad_bag_fails_alone(drive_bag, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "vega3d_ros.evaluation.bags_command.load_model", lambda *_: FakePerceiver()
    )
    (tmp_path / "bad.mcap").write_bytes(b"not a bag" * 9)
    bags = [str(tmp_path / "bad.mcap"), str(drive_bag.path)]
    assert main(["evaluate", *bags, "--out", str(tmp_path / "run")]) == 1
    told = capsys.readouterr().out
    assert "failed" in told
    assert "complete" in told
    assert main(["evaluate", str(tmp_path / "nowhere"), "--out", str(tmp_path / "x")]) == 2


def test_the_baseline_gives_the_typical_answer_of_the_others():
    rows = [answer(i, truth=t) for i, t in enumerate(("2", "2", "3"))]
    assert constant_answers(rows) == [1.0, 1.0, 0.4]  # always 2
    foreign = [*rows, answer(9, truth="3", bag="b")]
    assert constant_answers(foreign)[2] == 1.0  # another recording's answers come first


def test_between_two_things_the_constant_takes_the_place_that_is_right_elsewhere():
    asked = "Which is closer to the bed, the {} or the {}?".format
    pairs = [("a", "sofa", "tv"), ("a", "desk", "plant"), ("b", "lamp", "chair")]
    rows = [
        replace(answer(i, "relative_distance", first, bag=bag), question=asked(first, second))
        for i, (bag, first, second) in enumerate(pairs)
    ]
    assert constant_answers(rows) == [1.0, 1.0, 1.0]
    alone = replace(answer(9, "relative_direction", "left", bag="c"), question="?")
    assert constant_answers([*rows, alone])[-1] == 0.0  # nothing tells what is usual


def test_blind_knows_the_words_and_the_other_recordings_alone():
    asked = "Which is closer to the bed, the chair or the table?"
    rows = [
        replace(answer(i, "relative_distance", truth, bag=bag), question=asked)
        for i, (truth, bag) in enumerate([("chair", "a"), ("table", "b"), ("table", "c")])
    ]
    # Of two tables a guesses a table, which is wrong; one each is a tie, and the first named wins.
    assert blind_answers(rows) == [0.0, 0.0, 0.0]
    four = [*rows, replace(rows[1], source="d", index=3)]
    assert blind_answers(four) == [0.0, 1.0, 1.0, 1.0]
    assert blind_answers([*four, answer(9, "count", "2", bag="a")])[-1] is None
    assert blind_answers(rows[:1]) == [None]


def test_blind_stands_beside_answers_to_the_same_questions_only():
    rows = ResultRows([answer(0), answer(1, bag="b"), answer(2, "size", "90", "90")])
    answers = summarise(rows).answers
    assert answers["count"].blind.value == 1.0
    assert not answers["size"].blind.count
    assert not answers[MEAN].blind.count
    assert answers[MEAN].constant.count == 3


def test_the_baselines_claim_the_typical_place_of_the_others():
    rows = [sighting("a", 0.5), sighting("b", 0.5), sighting("c", 0.0, distance=8.0)]
    assert [row.found for row in blind_objects(rows)] == [False, False, False]
    pair = [sighting("a", 0.5), sighting("b", 0.0)]
    assert [row.iou for row in blind_objects(pair)] == [1.0, 1.0]
    other = [*pair, sighting("c", 0.5, "bed", distance=8.0), sighting("d", 0.5, "bed")]
    assert [row.iou for row in blind_objects(other)] == [1.0, 1.0, 0.0, 0.0]
    # What is not a chair takes part in the median of all.
    assert [row.iou for row in constant_objects(other)] == [1.0, 1.0, 0.0, 1.0]


def test_figures_of_known_rows():
    rows = ResultRows(
        [answer(0), answer(1, "yes_no", "yes", "no", 0.0), answer(2, "size", "unknown", "9", 0.0)],
        [sighting(name, 0.6 - 0.3 * (i % 3), at_s=12 * i) for i, name in enumerate("abcdef")],
        [
            ClaimRow(source="a", stamp_ns=5, at_s=1.0, label="chair", score=0.9, right=True),
            ClaimRow(source="a", stamp_ns=5, at_s=1.0, label="bed", score=0.9, right=False),
        ],
    )
    summary = summarise(rows)
    assert summary.answers[MEAN].model.value == 0.5
    assert summary.answers["unknown: said of unanswerable (right)"].model.value == 0.0
    assert summary.objects["Acc@0.25"].model.value == pytest.approx(2 / 3)
    assert summary.objects[METRES].model.value == pytest.approx(0.2)
    assert summary.objects["Acc@0.25"].model.low <= 0.5
    assert list(summary.by["distance"]) == ["1.5 to 3 m"]
    assert calibration_error(summary.calibration["objects"]) == pytest.approx(0.4)


def test_one_part_of_a_recording_has_no_interval():
    figure = summarise(ResultRows([answer(0)], [sighting("a", 0.6)])).objects["Acc@0.25"]
    assert np.isnan(figure.model.low)
    assert cell("Acc@0.25", figure.model) == "100.0"
    assert cell(METRES, figure.model) == "1.00"
    assert cell("Acc@0.25", figure.constant) == "0.0"
    changes, _ = comparing.compare(ResultRows([answer(0)]), ResultRows([answer(0, score=0.0)]))
    assert changes["answers: count"].verdict == "no clear difference"


def test_figures_of_nothing():
    summary = summarise(ResultRows())
    assert summary.answers == summary.objects == summary.by == {}


def test_compare_names_what_flipped():
    often = [sighting("x", 0.6, at_s=1 + 12 * i) for i in range(5)]
    a = ResultRows([answer(0), answer(1, said="1", score=0.0)], often)
    b = ResultRows([answer(0), answer(1)], [sighting("x", 0.0, at_s=1 + 12 * i) for i in range(5)])
    changes, flips = comparing.compare(a, b)
    assert changes["answers: count"].difference.value == 0.5
    assert changes["objects: Acc@0.25"].verdict == "worse"
    assert {(flip.case, flip.better) for flip in flips} == {
        ("q001", True),
        (sighting("x", 0).case, False),
    }
    assert comparing.compare(a, a)[1] == []
    assert all(c.difference.value == 0 for c in comparing.compare(a, a)[0].values())


def test_compare_of_two_runs_writes_its_pictures(folder, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    path = other / "bags" / "bag" / "rows.json"
    rows = json.loads(path.read_text())
    for row in rows["answers"]:
        row["score"] = 1.0
    path.write_text(json.dumps(rows))
    assert main(["compare", str(folder), str(other), "--out", str(tmp_path / "cmp")]) == 0
    assert "2 cases flipped to right, 0 to wrong" in " ".join(capsys.readouterr().out.split())
    page = (tmp_path / "cmp" / "compare.html").read_text()
    assert page.count("data:image/jpeg") == 4
    assert main(["compare", str(folder), str(tmp_path)]) == 2


def browser():
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = os.environ.get("CHROME") or next(filter(None, map(shutil.which, names)), None)
    return found or pytest.skip("no Chromium or Chrome on the PATH or in $CHROME")


@pytest.mark.slow
def test_the_report_in_a_browser(folder, tmp_path):
    """Nothing runs over the edge of a phone, every picture shows, and there is ink on the page."""
    report = folder / "report.html"
    probe = tmp_path / "probe.html"
    probe.write_text(
        f"""<body style="margin:0"><iframe id="f" src="file://{report}" width="390" height="3000"
        style="border:0"></iframe><pre id="out"></pre><script>
        onload = () => {{ const d = document.getElementById("f").contentDocument;
          const broken = [...d.images].filter(i => !i.naturalWidth).length;
          document.getElementById("out").textContent = JSON.stringify({{
            wide: d.documentElement.scrollWidth, broken, pictures: d.images.length,
            rows: d.querySelectorAll("tr").length }}); }};</script></body>"""
    )
    command = [
        browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--allow-file-access-from-files", f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=500,3000",
    ]  # fmt: skip
    shown = subprocess.run(
        [*command, "--dump-dom", f"file://{probe}"],
        capture_output=True, text=True, timeout=patience(60), check=True,
    ).stdout  # fmt: skip
    found = json.loads(re.search(r'<pre id="out">(.*?)</pre>', shown).group(1))
    assert found["wide"] <= 390
    assert found["broken"] == 0
    assert found["pictures"] >= 4
    assert found["rows"] > 20
    picture = tmp_path / "phone.png"
    subprocess.run(
        [*command, f"--screenshot={picture}", f"file://{report}"],
        capture_output=True, timeout=patience(60), check=True,
    )  # fmt: skip
    pixels = cv2.imread(str(picture))
    assert np.ptp(pixels) > 200
    assert (pixels.min(axis=2) < 100).mean() > 0.005


def test_names_of_bags_do_not_collide(tmp_path):
    from vega3d_ros.evaluation.bags_command import _names
    from vega3d_ros.evaluation.schema import RunError

    assert _names([Path("/x/a.mcap"), Path("/x/b")]) == ["a", "b"]
    assert _names([Path("/x/bag"), Path("/y/bag")]) == ["x-bag", "y-bag"]
    with pytest.raises(RunError, match="run them separately"):
        _names([Path("/x/bag"), Path("/x/bag")])


def test_rows_of_another_version_are_refused_in_one_sentence(folder, tmp_path, capsys):
    path = folder / "bags" / "bag" / "rows.json"
    rows = json.loads(path.read_text())
    rows["answers"][0]["bag"] = rows["answers"][0].pop("source")
    path.write_text(json.dumps(rows))
    assert main(["compare", str(folder), str(folder), "--out", str(tmp_path / "c")]) == 2
    assert "another version of this package" in capsys.readouterr().err


def test_rows_survive_being_written():
    rows = ResultRows(
        [answer(0)],
        [sighting("a", 0.5)],
        [ClaimRow(source="a", stamp_ns=5, at_s=1.0, label="chair", score=0.9, right=True)],
    )
    again = ResultRows.read(json.loads(json.dumps(rows.json())))
    assert again == rows
    assert replace(rows.answers[0], index=3).case == "q003"
