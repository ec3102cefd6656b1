"""The benchmarks run end to end on a tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_speed_benchmark_writes_its_tables(tmp_path):
    command = ["benchmarks/speed.py", "--size", "tiny", "--device", "cpu", "--budget", "250"]
    command += ["--turns", "0", "--keyframes", "60", "--profile"]
    done = subprocess.run(
        [sys.executable, *command, "--threads", "1", "--out", str(tmp_path)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "speed_tiny.json").read_text())
    sections = document["sections"]
    assert set(sections) == {"prior per keyframe", "pipeline", "memory"}
    priors = sections["prior per keyframe"]
    forms = [(row["block"], row["form"], row["frames at once"]) for row in priors]
    for block in (1, 2):
        for form in (("reference", 1), ("fast", 1), ("fast", 8)):
            assert (block, *form) in forms
    for row in priors:
        assert row["cosine to reference"] > 0.99999
        assert row["TFLOP"] > 0
        assert row["times the floor"] > 0
    assert [row["keyframes"] for row in sections["memory"]] == [50, 60]
    asked = {row["what"]: row["ms"] for row in sections["pipeline"]}
    assert asked["next question, answer of 1 tokens"] < asked["clip, cold"]
    assert "aten::" in (tmp_path / "speed_tiny_profile_tiny.txt").read_text()
    text = (tmp_path / "speed_tiny.md").read_text()
    assert "### pipeline" in text
    assert document["about"]["command"].endswith(f"--out {tmp_path}")


def test_operations_of_the_true_sizes_are_those_of_the_roofline():
    code = (
        "import prior_speed; "
        "print([prior_speed.flop('1.3b', 20, (832, 480), reference=which)"
        "       for which in (True, False)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "benchmarks",
        check=True,
        capture_output=True,
        text=True,
    )
    reference, fast = json.loads(done.stdout)
    assert round(reference / 1e12, 2) == 7.37
    assert round(fast / 1e12, 2) == 3.88
