"""`vega3d download photo-cpu`, against places on the web that are none."""

from __future__ import annotations

import io
import json
import socket
import urllib.error

import numpy as np
import pytest
from support.onnx_graphs import write_constant

from vega3d_ros.cli import main as cli
from vega3d_ros.models.checkpoints import published
from vega3d_ros.models.checkpoints.auto_model import automatic
from vega3d_ros.models.checkpoints.download import DETECTORS_OF
from vega3d_ros.models.checkpoints.model_paths import detector_downloads, shipped

NANODET, YOLOX = "nanodet-plus-m_416.onnx", "yolox_nano.onnx"


@pytest.fixture
def web(monkeypatch, tmp_path):
    """Content or error by file name; what is not there cannot be reached. Records the asked."""
    asked, content = [], {}

    def open_url(url, timeout):
        asked.append(url)
        found = content.get(url.rpartition("/")[2])
        if found is None:
            raise urllib.error.URLError(socket.gaierror("no such host"))
        return io.BytesIO(found)

    monkeypatch.delenv("VEGA3D_MODELS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(published, "urlopen", open_url)
    content["asked"] = asked
    return content


@pytest.fixture
def files(tmp_path):
    """Both detectors, as their authors would send them."""
    input_shape = [1, 3, 416, 416]
    nanodet = write_constant(tmp_path / NANODET, np.zeros((1, 3598, 112)), input_shape)
    yolox = write_constant(tmp_path / YOLOX, np.zeros((1, 3549, 85)), input_shape)
    return {NANODET: nanodet.read_bytes(), YOLOX: yolox.read_bytes()}


def download():
    return cli.main(["download", "photo-cpu"])


def left():
    folder = detector_downloads()
    return sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []


def test_the_model_is_complete_afterwards(web, files, capsys):
    web |= files
    assert automatic() == "nano"
    assert download() == 0
    assert left() == [NANODET]
    assert (detector_downloads() / NANODET).read_bytes() == files[NANODET]
    assert automatic() == "photo-cpu"
    assert cli.main(["inspect", "photo-cpu"]) == 0
    told = capsys.readouterr().out
    assert told.index("Apache-2.0") < told.index("no checksum is published")


def test_the_licence_is_told_before_the_network_is_asked(web, capsys):
    assert download() == 2
    told = capsys.readouterr().out
    assert told.index("licence Apache-2.0") < told.index("cannot be downloaded")


def test_where_the_first_cannot_be_had_the_next_is(web, files, capsys):
    web[YOLOX] = files[YOLOX]
    assert download() == 0
    assert left() == [YOLOX]
    assert "no such host" in capsys.readouterr().out


def test_what_is_there_is_not_asked_for_again(web, files):
    web |= files
    assert download() == 0
    assert download() == 0
    assert len(web["asked"]) == 1


@pytest.mark.parametrize("part", [0, 1000, -1])
def test_a_file_that_is_cut_off_is_not_kept(web, files, part, capsys):
    web[NANODET] = files[NANODET][:part]
    assert download() == 2
    assert left() == []
    assert "does not give a detector: what came" in capsys.readouterr().err


def test_a_page_in_place_of_the_file_is_not_kept(web, capsys):
    web |= dict.fromkeys((NANODET, YOLOX), b"<html>404</html>")
    assert download() == 2
    assert left() == []
    assert "does not give a detector" in capsys.readouterr().err


def test_without_network_it_says_where_to_copy_a_file(web, capsys):
    assert download() == 2
    said = capsys.readouterr().err
    for part in ("no such host", NANODET, YOLOX, str(detector_downloads()), "github.com/RangiLyu"):
        assert part in said


@pytest.mark.parametrize("name", DETECTORS_OF)
def test_what_is_downloaded_is_what_the_model_looks_for(name):
    description = json.loads((shipped() / name / "model.json").read_text())
    assert tuple(description["grounder"]["detector"]["files"]) == DETECTORS_OF[name]
