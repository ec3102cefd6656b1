"""What is told of a model's name before anything is loaded."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from vega3d_ros.models.checkpoints.download import NAMES
from vega3d_ros.models.checkpoints.load import locate
from vega3d_ros.models.checkpoints.model_names import DOWNLOADED, why_missing
from vega3d_ros.models.checkpoints.modules import CheckpointError


@pytest.fixture(autouse=True)
def nothing_downloaded(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("VEGA3D_MODELS", raising=False)


@pytest.mark.parametrize("name", ["nano", "auto", "organisation/model"])
def test_a_name_that_may_stand_for_a_model_is_left_to_loading(name):
    assert why_missing(name) == ""


def test_a_folder_is_left_to_loading(tmp_path):
    assert why_missing(str(tmp_path)) == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nanno", "did you mean 'nano'"),
        ("photo-cup", "did you mean 'photo-cpu'"),
        ("vega3d-sr-7", "did you mean 'vega3d-sr-7b'"),
        ("/no/such/folder", "is no folder; give a model folder, or one of: nano"),
        ("vega3d-sr-7b", "not downloaded: run `vega3d download vega3d-sr-7b`"),
        ("photo-cpu", "lacks its detector .*run `vega3d download photo-cpu`"),
        ("photo-8gb", "lacks its .*run `vega3d download photo-8gb`"),
    ],
)
def test_a_wrong_name_is_told_with_the_nearest_and_a_known_one_how_to_get_it(name, words):
    assert re.search(words, why_missing(name))


def test_loading_says_the_same():
    with pytest.raises(CheckpointError, match="not downloaded: run `vega3d download"):
        locate("vega3d-sr-7b")


def test_what_is_said_to_be_downloadable_is():
    assert set(DOWNLOADED) <= set(NAMES)


def test_no_library_is_loaded_to_tell():
    code = (
        "import sys; from vega3d_ros.models.checkpoints.model_names import why_missing;"
        "why_missing('nanno'); sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
