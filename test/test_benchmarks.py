"""The benchmarks run end to end on a tiny model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.onnx_graphs import write_constant
from support.patience import patience

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_speed_benchmark_writes_its_tables(tmp_path):
    budget_s = round(patience(100))
    command = ["benchmarks/speed.py", "--size", "tiny", "--device", "cpu"]
    command += ["--budget", str(budget_s)]
    command += ["--turns", "0", "--keyframes", "60", "--profile"]
    done = subprocess.run(
        [sys.executable, *command, "--threads", "1", "--out", str(tmp_path)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=2 * budget_s,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "speed_tiny.json").read_text())
    sections = document["sections"]
    assert set(sections) == {"prior per keyframe", "pipeline", "memory"}
    priors = sections["prior per keyframe"]
    forms = [(row["block"], row["form"], row["frames at once"]) for row in priors]
    for block in (1, 2):
        for form in (
            ("reference", 3),
            ("reference, one by one", 1),
            ("fast", 1),
            ("fast", 8),
        ):
            assert (block, *form) in forms
    for row in priors:
        assert row["cosine to reference"] > 0.99999
        assert row["TFLOP"] > 0
        assert row["times the floor"] > 0
    assert [row["keyframes"] for row in sections["memory"]] == [50, 60]
    asked = {row["what"]: row["ms"] for row in sections["pipeline"]}
    assert {"clip, cold", "next question, answer of 1 tokens"} <= set(asked)
    assert all(spent > 0 for spent in asked.values())
    for form in ("reference", "fast"):
        assert "aten::" in (tmp_path / f"speed_tiny_profile_tiny_{form}.txt").read_text()
    text = (tmp_path / "speed_tiny.md").read_text()
    assert "### pipeline" in text
    assert document["about"]["command"].endswith(f"--out {tmp_path}")


def test_operations_of_the_true_sizes_are_those_of_the_roofline(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import measure
    import operations

    monkeypatch.setattr(operations, "SIZES", _only(operations.SIZES, (832, 480), 20))
    report = measure.Report(tmp_path / "operations", {})
    operations.count_priors(report, 790)
    operations.count_language(report, 790, 4.3)
    (prior,) = report.sections["prior 1.3b, a frame"]
    assert round(prior["reference, TFLOP"], 2) == 7.37
    assert round(prior["fast, TFLOP"], 2) == 3.88
    assert round(prior["autoencoder, %"] * prior["fast, TFLOP"] / 100, 3) == 0.989
    small, large = report.sections["language model, a clip and a token"]
    assert [round(row["read, TFLOP"], 1) for row in (small, large)] == [54.3, 118.3]
    assert round(large["weights, GB"], 1) == 14.1


def _only(sizes, working, block):
    return sizes | {"1.3b": replace(sizes["1.3b"], working=(working,), blocks=(block,))}


def test_a_failure_costs_its_own_rows_only(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import speed

    def fail(run, until):
        run.report.add("memory", size=run.name, keyframes=1)
        raise RuntimeError("no kernel image\nand more")

    monkeypatch.setitem(speed.SECTIONS, "pipeline", fail)
    monkeypatch.setitem(speed.SECTIONS, "memory", lambda run, until: run.report.note("reached"))
    words = ["speed.py", "--size", "tiny", "--device", "cpu", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [*words, "--sections", "pipeline", "memory"])
    assert speed.main() == 1
    document = json.loads((tmp_path / "speed_tiny.json").read_text())
    assert document["sections"]["memory"] == [{"size": "tiny", "keyframes": 1}]
    assert document["notes"][:2] == [
        "tiny pipeline failed: RuntimeError: no kernel image",
        "reached",
    ]
    assert "Traceback" in capsys.readouterr().err


def test_what_takes_nobody_knows_how_long_comes_last(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import speed

    found = speed.tasks(["1.3b", "7b"], list(speed.SECTIONS))
    assert found == [
        ("1.3b", "prior"),
        ("7b", "pipeline"),
        ("7b", "memory"),
        ("1.3b", "compiled"),
    ]


@pytest.mark.slow
def test_the_photo_benchmark_times_every_call(tmp_path, drive_bag):
    write_constant(
        tmp_path / "yolox_nano.onnx", np.zeros((1, 3549, 85)), input_shape=[1, 3, 416, 416]
    )
    command = ["benchmarks/photo_cpu.py", "--bag", str(drive_bag.path), "--clips", "4"]
    done = subprocess.run(
        [sys.executable, *command, "--out", str(tmp_path)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=patience(100),
        env=os.environ | {"VEGA3D_MODELS": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "photo_cpu.json").read_text())["sections"]["seconds"]
    calls = [(row["threads"], row["call"]) for row in rows]
    assert calls == [(n, c) for n in (1, 2) for c in ("new keyframe", "objects of a clip")]
    assert all(0 < row["median"] <= row["p90"] and row["calls"] == 3 for row in rows)
    assert "| new keyframe |" in (tmp_path / "photo_cpu.md").read_text()
