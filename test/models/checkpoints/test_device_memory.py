from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support.official_folder import SIZE, TOWER, write_checkpoint
from support.official_random import Sizes, wan_state, write_random
from support.tiny_models import random_modules, shared_modules
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from vega3d_ros.models.checkpoints import device_memory as capacity
from vega3d_ros.models.checkpoints import memory_estimate as footprint
from vega3d_ros.models.checkpoints.device_memory import (
    DeviceError,
    available,
    pick_device,
    pick_dtype,
    require,
)
from vega3d_ros.models.checkpoints.load import load_modules
from vega3d_ros.models.checkpoints.memory_estimate import estimate, fitting
from vega3d_ros.models.checkpoints.save import save_modules
from vega3d_ros.models.memory import GIB, MemoryEstimate, Workload
from vega3d_ros.models.priors.wan.prior import WanPrior
from vega3d_ros.perception.loading import load_ready


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "random"
    save_modules(shared_modules(), folder)
    return folder


def held(*networks):
    return sum(p.numel() for network in networks for p in network.parameters())


def test_weights_are_counted_exactly(folder):
    modules = shared_modules()
    parts = estimate(folder, torch.float32).parts
    assert parts["language model"] == 4 * held(modules.language.model)
    assert parts["fusion and heads"] == 4 * held(
        modules.fusion, modules.positions, modules.grounding, modules.objects
    )
    prior = held(modules.prior.transformer, modules.prior.vae)
    assert parts["prior"] == 4 * prior
    assert parts["prior"] >= 4 * held(modules.prior.tower)
    half = estimate(folder, torch.bfloat16).parts
    assert half["prior"] == 2 * prior


def test_blocks_after_the_hooked_one_do_not_count(folder, tmp_path):
    modules = random_modules()
    save_modules(modules, tmp_path / "early")
    file = tmp_path / "early" / "model.json"
    description = json.loads(file.read_text())
    description["prior"]["block"] = 0
    file.write_text(json.dumps(description))
    less = estimate(tmp_path / "early", torch.float32).parts["prior"]
    blocks = modules.prior.transformer.blocks
    assert less == estimate(folder, torch.float32).parts["prior"] - 4 * held(*blocks[1:])


def test_longer_clips_need_more(folder):
    short, long = (estimate(folder, torch.float32, Workload(frames=n)) for n in (8, 32))
    for name in ("kept clips", "language model at work"):
        assert long.parts[name] == 4 * short.parts[name]
    assert long.total == sum(long.parts.values())
    assert "kept clips" in str(long)


def test_a_model_without_prior_is_counted_too(tmp_path):
    save_modules(random_modules(with_prior=False), tmp_path / "m")
    assert "prior" not in estimate(tmp_path / "m", torch.float32).parts


def test_what_does_not_fit_is_refused_before_anything_is_read(folder, monkeypatch):
    monkeypatch.setattr(capacity, "available", lambda device: (GIB // 64, 8 * GIB))
    # Loading would fail differently.
    monkeypatch.setattr("vega3d_ros.models.checkpoints.load.load_language_model", None)
    monkeypatch.setattr(WanPrior, "from_folder", None)
    with pytest.raises(DeviceError) as error:
        load_modules(folder)
    for word in ("random needs about", "language model", "0.02 of 8.00 GiB free", "bfloat16"):
        assert word in str(error.value)


QWEN_7B = {
    "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
    "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064,
    "vision_config": {
        "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16,
        "patch_size": 14, "spatial_merge_size": 2, "out_hidden_size": 3584,
        "fullatt_block_indexes": [7, 15, 23, 31], "window_size": 112,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("official"))


def test_an_official_checkpoint_is_counted_from_its_headers(official):
    modules = load_modules(official, prior=SIZE)
    parts = estimate(official, torch.float32, prior=SIZE).parts
    assert parts["language model"] == 4 * held(modules.language.model)
    assert parts["fusion and heads"] == 4 * held(modules.fusion)
    assert parts["prior"] == 4 * held(modules.prior.transformer, modules.prior.vae)
    early = estimate(official, torch.float32, prior={**SIZE, "block": 1}).parts["prior"]
    assert early == parts["prior"] - 4 * held(*modules.prior.transformer.blocks[2:])
    # Two layers, two heads of 16, 285 tokens and two marks a frame, three copies.
    assert parts["kept clips"] == 3 * 4 * 8 * 287 * 2 * 2 * 2 * 16
    whole = estimate(official, torch.float32).parts["prior at work"]
    assert whole == pytest.approx(parts["prior at work"] * 832 * 480 / (208 * 128))


def test_diffusers_autoencoder_is_counted_alike(tmp_path):
    sizes = [
        estimate(write_random(tmp_path / str(i), Sizes(vae_official=which))[0], torch.float32)
        for i, which in enumerate((True, False))
    ]
    assert sizes[0] == sizes[1]


def test_an_official_checkpoint_that_does_not_fit_is_refused_unread(official, monkeypatch):
    monkeypatch.setattr(capacity, "available", lambda device: (GIB // 64, 8 * GIB))
    monkeypatch.setattr("vega3d_ros.models.checkpoints.load.load_official", None)
    with pytest.raises(DeviceError, match=r"checkpoint needs about .* 0\.02 of 8\.00 GiB free"):
        load_modules(official)


@pytest.fixture
def released(tmp_path):
    """A folder of the released sizes, whose files are holes: headers, and no values."""
    with torch.device("meta"):
        language = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**QWEN_7B))
    state = {}
    for name, value in language.state_dict().items():
        old = name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")
        state[old] = value
    sizes = Sizes(dim=1536, heads=12, ffn=8960, layers=30, freq=256, text=4096, vae=96)
    with torch.device("meta"):
        tower = wan_state(sizes, None)
    state |= {TOWER + name: value for name, value in tower.items()}
    folder = write_checkpoint(
        tmp_path, state={}, words=False, **QWEN_7B, generative_merger_hidden_dim=4096
    )
    header, end = {}, 0
    for name, value in state.items():
        start, end = end, end + 2 * value.numel()
        header[name] = {"dtype": "BF16", "shape": list(value.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    (tmp_path / "wan" / "Wan2.1_VAE.pth").unlink()
    (tmp_path / "wan" / "vae").mkdir()
    (tmp_path / "wan" / "vae" / "config.json").write_text(json.dumps({"base_dim": 96}))
    return folder


def test_the_released_sizes_fit_a_gpu_of_24_gb_in_half_precision_only(released):
    preset = Workload(frames=16, keyframes=64, frames_at_once=1)
    half, full = (estimate(released, kind, preset) for kind in (torch.bfloat16, torch.float32))
    assert 20 * GIB < half.total < 22.5 * GIB  # what a GPU of 24 GB has left beside CUDA's own
    assert full.total > 39 * GIB


def test_the_host_must_hold_what_goes_through_it(folder, monkeypatch):
    needed = estimate(folder, torch.bfloat16).parts["language model"]
    free = {"cuda": GIB, "cpu": needed - 1}
    monkeypatch.setattr(capacity, "available", lambda device: (free[device], GIB))
    with pytest.raises(DeviceError, match=r"loading model random .* cpu has"):
        load_modules(folder, device="cuda", dtype=torch.bfloat16)


def test_fewer_frames_are_encoded_at_once_where_memory_is_short(folder, monkeypatch):
    needed = {
        n: estimate(folder, torch.float32, Workload(frames=8, frames_at_once=n)).total
        for n in (8, 4, 2, 1)
    }
    for free, expected in (
        (needed[8], 8),
        (needed[8] - 1, 4),
        (needed[2], 2),
        (needed[2] - 1, 1),
        (0, 1),
    ):
        monkeypatch.setattr(footprint, "available", lambda device, free=free: (free, GIB))
        assert fitting(folder, "cpu", torch.float32, 8).frames_at_once == expected
    assert fitting(folder / "nowhere", "cpu", torch.float32, 3).frames == 3


def test_what_fits_is_let_through():
    require(MemoryEstimate({"weights": 1}), "cpu", "it")
    free, total = available("cpu")
    assert 0 < free <= total


def test_a_container_s_limit_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(capacity, "_container_limits", lambda: iter([(3 * GIB, GIB)]))
    free, total = available("cpu")
    assert (free, total) == (min(free, 2 * GIB), 3 * GIB)


def test_devices_and_types_are_picked(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == "cpu"
    assert pick_dtype("auto", "cpu") == torch.float32
    assert pick_dtype("bfloat16", "cpu") == torch.bfloat16
    for wrong in ("cuda", "cuda:1"):
        with pytest.raises(DeviceError, match="0 CUDA devices"):
            pick_device(wrong)
    with pytest.raises(DeviceError, match="is not one"):
        pick_device("gpu please")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert pick_device("auto") == "cuda"
    assert pick_dtype("auto", "cuda") == torch.bfloat16
    with pytest.raises(DeviceError, match="1 CUDA devices"):
        pick_device("cuda:1")


def test_a_model_is_loaded_ready_and_says_how_far_it_is():
    told = []
    perceiver = load_ready("nano", device="cpu", frames=2, progress=told.append)
    assert [what.split(":")[0] for what in told] == [
        "memory estimate", "prior", "language model", "weights to cpu", "threads", "warm-up"
    ]  # fmt: skip
    assert len(perceiver._fused) == 0
    assert perceiver.modules.prior.frames_at_once == 2
    with pytest.raises(ValueError, match="inference only"):
        perceiver.modules.prior.save(Path("nowhere"))
    with pytest.raises(ValueError, match="CUDA graphs"):
        load_ready("nano", device="cpu", acceleration="graphs", frames=1)
