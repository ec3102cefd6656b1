"""Every example runs as it stands, and the README's Python snippet runs as pasted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from vega3d_ros.core.frames import Clip

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
BAG = ROOT / "vega3d_ros" / "demo" / "bag"


def run(*arguments):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for index, frame in enumerate(Clip.from_bag(BAG, 3).frames):
        cv2.imwrite(str(folder / f"{index}.png"), cv2.cvtColor(frame.picture, cv2.COLOR_RGB2BGR))
    return folder


def test_ask_a_bag_lists_objects_and_answers():
    out = run(EXAMPLES / "ask_a_bag.py", BAG, "How many chairs are there?")
    assert out.startswith("In 'map':")
    assert re.search(r"at x -?\d", out)
    assert re.search(r"How many chairs are there\?  \w+  \(\d+% sure\)", out)


def test_ask_a_video_answers_about_pictures(pictures):
    out = run(EXAMPLES / "ask_a_video.py", pictures, "Is there a door?")
    assert re.search(r"Is there a door\?  \w+  \(\d+% sure\)", out)


def test_a_custom_prior_takes_its_place_in_a_model():
    out = run(EXAMPLES / "custom_prior.py", BAG, "How many chairs are there?")
    assert out.startswith("6x8 tokens of 6 channels a frame")
    assert re.search(r"How many chairs are there\?  .*\(\d+% sure\)", out)


def test_every_example_is_listed_in_their_readme():
    listed = set(re.findall(r"\]\((\w+\.py)\)", (EXAMPLES / "README.md").read_text()))
    assert listed == {file.name for file in EXAMPLES.glob("*.py")}


def test_the_python_snippet_of_the_readme_runs_as_pasted(tmp_path):
    (snippet,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    script = tmp_path / "snippet.py"
    script.write_text(snippet)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
