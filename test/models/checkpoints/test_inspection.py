"""What `vega3d inspect` says of folders."""

from __future__ import annotations

import pickle
import shutil
from importlib import resources
from pathlib import Path

import pytest
import torch
from support.official_folder import TOWER, golden_state, golden_wan, write_checkpoint

from vega3d_ros.cli import main as cli
from vega3d_ros.models.checkpoints import device_memory as capacity
from vega3d_ros.models.checkpoints import inspection
from vega3d_ros.models.checkpoints import memory_estimate as footprint
from vega3d_ros.models.checkpoints.device_memory import GIB
from vega3d_ros.models.checkpoints.inspection import inspect_folder
from vega3d_ros.models.checkpoints.memory_estimate import estimate
from vega3d_ros.models.checkpoints.official.layout import OfficialError
from vega3d_ros.models.memory import Workload

NANO = Path(str(resources.files("vega3d_ros"))) / "weights" / "nano"


def test_an_official_checkpoint_says_what_it_is(tmp_path, capsys):
    folder = write_checkpoint(tmp_path, shards=2)
    report = inspect_folder(folder)
    assert report.missing == []
    assert report.warnings == [
        "no preprocessor_config.json; Qwen2.5-VL's own values are taken",
    ]
    facts = report.facts
    assert facts["prior"] == "Wan 2.1 text-to-video, width 48, 3 heads, 4 blocks"
    assert facts["hooked block"] == "3 (the last, as it is not set in config.json)"
    assert facts["noise"] == "asked 300, told 299, sigma 0.2999"
    assert facts["working size"].startswith("832x480")
    assert facts["fusion"].startswith("token_gated_residual")
    assert facts["language model"] == "qwen2_5_vl, width 64, 2 layers"
    assert cli.main(["inspect", str(folder)]) == 0
    assert "complete" in capsys.readouterr().out


def test_settings_come_from_the_configuration(tmp_path):
    folder = write_checkpoint(
        tmp_path,
        generative_vision_tower_feat_block_idx=1,
        generative_vision_tower_size="1280*720",
        generative_fusion_method="token_gated",
    )
    facts = inspect_folder(folder).facts
    assert facts["hooked block"] == "1 (from config.json)"
    assert facts["working size"].startswith("1280x720")
    assert facts["fusion"].startswith("token_gated,")


def test_memory_is_told_for_a_device_and_a_type(tmp_path, capsys, monkeypatch):
    folder = str(write_checkpoint(tmp_path))
    assert cli.main(["inspect", folder, "--device", "cpu", "--dtype", "bfloat16"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    needed = estimate(Path(folder), torch.bfloat16, Workload(frames=32))
    assert f"{needed.total / GIB:.2f} GiB (language model" in said
    for word in ("bfloat16", "32 frames, 8 encoded at once", "memory of cpu"):
        assert word in said
    assert "warning: it needs" not in said
    for module in (capacity, inspection, footprint):
        monkeypatch.setattr(module, "available", lambda device: (GIB // 100, 24 * GIB))
    assert cli.main(["inspect", folder, "--device", "cpu", "--frames", "8"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "8 frames, 1 encoded at once" in said
    assert "warning: it needs about" in said
    assert "0.01 of 24.00 GiB free" in said
    assert cli.main(["inspect", folder, "--device", "cuda:7"]) == 2
    assert "cuda:7" in capsys.readouterr().err


def test_a_shipped_model_is_inspected_by_its_name(capsys):
    assert cli.main(["inspect", "nano"]) == 0
    assert "memory needed" in capsys.readouterr().out


def test_what_is_missing_is_named(tmp_path, capsys):
    folder = write_checkpoint(tmp_path, words=False)
    for file in (tmp_path / "wan").iterdir():
        if file.name != "config.json":
            file.unlink()
    missing = " ".join(inspect_folder(folder).missing)
    for name in ("Wan2.1_VAE.pth", "wan_prompt_embedding.pt", "tokenizer"):
        assert name in missing
    assert cli.main(["inspect", str(folder)]) == 1
    assert capsys.readouterr().out.count("missing:") == 3


def fresh(name, value):
    """A tensor as transformers would have drawn it anew."""
    if not name.startswith(TOWER) or "norm" in name or "modulation" in name:
        return value
    return torch.zeros_like(value) if name.endswith("bias") else 0.02 * torch.randn_like(value)


def test_a_prior_that_was_drawn_anew_is_noticed(tmp_path):
    torch.manual_seed(0)
    state = {name: fresh(name, value) for name, value in golden_state().items()}
    found = inspect_folder(write_checkpoint(tmp_path / "a", state=state)).warnings
    assert any("looks re-initialised" in line for line in found)
    # One bias that is not zero, or one weight of another spread, and it is not.
    for i, name in enumerate(("blocks.2.ffn.0.bias", "blocks.2.ffn.0.weight")):
        changed = state | {TOWER + name: state[TOWER + name] + torch.rand(())}
        if name.endswith("weight"):
            changed[TOWER + name] = 5 * state[TOWER + name]
        found = inspect_folder(write_checkpoint(tmp_path / str(i), state=changed)).warnings
        assert not any("re-initialised" in line for line in found)


def test_unknown_tensors_and_pickles_are_mentioned(tmp_path):
    state = golden_state() | {"geometry_encoder.x": torch.zeros(1)}
    folder = write_checkpoint(tmp_path, state=state)
    (folder / "optimizer.pt").write_bytes(pickle.dumps({}))
    found = inspect_folder(folder).warnings
    assert "1 unknown tensors, geometry_encoder.x first; not used" in found
    assert "optimizer.pt is pickled and is never read" in found


def test_a_model_of_this_package(tmp_path):
    report = inspect_folder(NANO)
    assert report.kind == "a model of this package"
    assert report.missing == []
    assert "token_gated" in report.facts["fusion"]
    copy = shutil.copytree(NANO, tmp_path / "nano")
    (copy / "fusion.safetensors").unlink()
    assert inspect_folder(copy).missing == ["fusion.safetensors"]


def test_wan_itself(tmp_path):
    folder = golden_wan(tmp_path / "wan")
    report = inspect_folder(folder)
    assert report.kind == "Wan 2.1, original layout"
    assert len(report.missing) == 1
    assert "diffusion_pytorch_model" in report.missing[0]
    assert report.warnings == []


def test_a_foreign_folder_is_refused(tmp_path, capsys):
    with pytest.raises(OfficialError, match="is no official checkpoint"):
        inspect_folder(tmp_path)
    assert cli.main(["inspect", str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err
