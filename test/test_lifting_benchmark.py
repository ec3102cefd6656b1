"""The benchmark of lifting runs end to end on a rendered room."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.render
@pytest.mark.parametrize("words", [[], ["--sensitivity", "--parameters", "accepted"]])
def test_the_lifting_benchmark_writes_its_tables(tmp_path, words):
    pytest.importorskip("mujoco")
    command = ["benchmarks/lifting.py", "--clips", "1", "--sensors", "worn", *words]
    done = subprocess.run(
        [sys.executable, *command, "--out", str(tmp_path)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if "needs EGL" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("*.json")
    sections = json.loads(file.read_text())["sections"]
    if words:
        values = [row["value"] for row in sections["sensitivity"]]
        assert values[0] is None
        assert len(set(values)) == len(values) >= 5
    else:
        assert [row["recipe"] for row in sections["recipes"]][-1] == "voxel evidence"
        assert len(sections["recipes"]) == 5
