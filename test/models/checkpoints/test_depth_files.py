"""A photo model with a depth network: where it is found, what it takes, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from support.onnx_graphs import write_constant
from support.tiny_depth import write_depth_network
from support.tiny_models import make_frame

from vega3d_ros.cli import main as cli
from vega3d_ros.models.checkpoints import depth_files
from vega3d_ros.models.checkpoints.load_model import load_model
from vega3d_ros.models.checkpoints.memory_estimate import estimate
from vega3d_ros.models.checkpoints.model_config import (
    GrounderConfig,
    ModelConfigError,
    read_model_config,
)
from vega3d_ros.models.checkpoints.model_paths import found_parts, shipped
from vega3d_ros.models.checkpoints.modules import CheckpointError

NANODET = "nanodet-plus-m_416.onnx"
NETWORK = {"type": "network", "files": ["small-depth"]}


@pytest.fixture
def model(monkeypatch, tmp_path):
    """Writes a photo model that has its detector and says what is given of depth."""
    monkeypatch.delenv("VEGA3D_MODELS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "photo"
    folder.mkdir()
    write_constant(folder / NANODET, np.zeros((1, 3598, 112)), [1, 3, 416, 416])

    def write(depth):
        description = json.loads((shipped() / "photo-cpu" / "model.json").read_text())
        description["grounder"]["depth"] = depth
        (folder / "model.json").write_text(json.dumps(description))
        return folder

    return write


def without_depth():
    frame = make_frame(0)
    return type(frame)(frame.stamp_ns, frame.image, frame.frame_id, frame.camera)


def test_its_network_is_found_beside_it_and_asked_where_the_sensor_has_nothing(model):
    folder = model(NETWORK)
    write_depth_network(folder / "small-depth", "depth_anything")
    grounder = load_model(folder).grounder
    assert grounder.depth.depth(without_depth()).source == "network"
    assert grounder.look(without_depth()).geometry.grid.source == "network"


def test_its_network_is_found_where_the_variable_says(model, monkeypatch, tmp_path):
    write_depth_network(tmp_path / "mine" / "small-depth", "depth_anything")
    monkeypatch.setenv("VEGA3D_MODELS", str(tmp_path / "mine"))
    assert load_model(model(NETWORK)).grounder.depth.depth(without_depth()) is not None


def test_without_its_network_it_says_where_it_looked_and_what_to_do(model):
    with pytest.raises(CheckpointError, match=r"depth network, small-depth.*VEGA3D_MODELS"):
        load_model(model(NETWORK))


def test_a_network_on_the_hub_is_downloaded_only_when_asked(model, monkeypatch, tmp_path):
    asked = []

    def hub_folder(name, *, revision, download):
        asked.append((name, revision, download))
        return network

    network = write_depth_network(tmp_path / "hub", "depth_anything")
    monkeypatch.setattr(depth_files, "hub_folder", hub_folder)
    folder = model({"type": "network", "hub": "someone/depth", "revision": "abc"})
    load_model(folder)
    assert set(asked) == {("someone/depth", "abc", False)}
    asked.clear()
    load_model(folder, download=True)
    assert asked[0] == ("someone/depth", "abc", True)  # before its memory is estimated


def test_inspect_says_where_it_is_or_that_it_is_missing(model, capsys):
    folder = model(NETWORK)
    assert cli.main(["inspect", str(folder)]) == 1
    assert "needs a depth network, small-depth" in " ".join(capsys.readouterr().out.split())
    network = write_depth_network(folder / "small-depth", "depth_anything")
    assert cli.main(["inspect", str(folder)]) == 0
    assert "small-depth" in capsys.readouterr().out
    description = json.loads((folder / "model.json").read_text())
    assert found_parts(description, folder)["depth network"] == network


def test_the_memory_estimate_counts_it(model):
    folder = model(NETWORK)
    write_depth_network(folder / "small-depth", "depth_anything")
    with_network = estimate(folder, torch.float32)
    assert {"depth network", "depth network at work"} <= with_network.parts.keys()
    assert estimate(model(None), torch.float32).total < with_network.total


def test_the_sensor_alone_needs_no_file(model):
    assert load_model(model({"type": "sensor"})).grounder.depth.depth(without_depth()) is None


@pytest.mark.parametrize(
    ("depth", "said"),
    [
        ({"type": "netwrok", "files": ["a"]}, "did you mean 'network'"),
        ({"type": "network"}, "files or hub"),
        ({"type": "network", "files": ["../a"]}, "without folders"),
        ({"type": "network", "files": ["a"], "canonical_focal": 0.0}, "canonical_focal"),
        ({"type": "network", "file": ["a"]}, "files"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(model, depth, said):
    with pytest.raises(ModelConfigError, match=said):
        read_model_config(model(depth) / "model.json")


def test_a_grounder_without_settings_is_written_as_its_type_alone():
    assert GrounderConfig().to_dict() == {"type": "token_head"}
