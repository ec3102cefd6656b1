from __future__ import annotations

import json

import pytest
import torch
from models import random_modules, shared_modules

from vega3d_ros import capacity
from vega3d_ros.capacity import (
    GIB,
    CapacityError,
    Footprint,
    Workload,
    available,
    estimate,
    fitting,
    pick_device,
    pick_dtype,
    require,
)
from vega3d_ros.checkpoint import load_modules, locate, save_modules
from vega3d_ros.loading import load_ready


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
    assert parts["bridge and heads"] == 4 * held(
        modules.bridge, modules.positions, modules.grounding, modules.objects
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


def test_the_estimate_bounds_what_inference_takes():
    """The prior's tensors at work, counted as they are made, on the shipped model."""
    nano = load_modules("nano")
    live, most = 0, 0

    class Count(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal live, most
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and not func.is_view:
                size = result.untyped_storage().nbytes()
                live, most = live + size, max(most, live + size)
                import weakref

                weakref.finalize(result, forget, size)
            return result

    def forget(size):
        nonlocal live
        live -= size

    with Count():
        nano.prior.encode(torch.rand(8, 3, 168, 224), range(8))
    bound = estimate(locate("nano"), torch.float32).parts["prior at work"]
    assert bound / 8 < most < bound


def test_what_does_not_fit_is_refused_before_anything_is_read(folder, monkeypatch):
    monkeypatch.setattr(capacity, "available", lambda device: (GIB // 64, 8 * GIB))
    monkeypatch.setattr("vega3d_ros.checkpoint.WanPrior", None)  # loading would fail differently
    with pytest.raises(CapacityError) as error:
        load_modules(folder)
    for word in ("random needs about", "language model", "0.02 of 8.00 GiB free", "bfloat16"):
        assert word in str(error.value)


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
        monkeypatch.setattr(capacity, "available", lambda device, free=free: (free, GIB))
        assert fitting(folder, "cpu", torch.float32, 8).frames_at_once == expected
    assert fitting(folder / "nowhere", "cpu", torch.float32, 3).frames == 3


def test_what_fits_is_let_through():
    require(Footprint({"weights": 1}), "cpu", "it")
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
        with pytest.raises(CapacityError, match="0 CUDA devices"):
            pick_device(wrong)
    with pytest.raises(CapacityError, match="is not one"):
        pick_device("gpu please")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert pick_device("auto") == "cuda"
    assert pick_dtype("auto", "cuda") == torch.bfloat16
    with pytest.raises(CapacityError, match="1 CUDA devices"):
        pick_device("cuda:1")


def test_a_model_is_loaded_ready_and_says_how_far_it_is():
    told = []
    perceiver = load_ready("nano", device="cpu", frames=2, progress=told.append)
    assert told == ["memory estimate", "prior", "language model", "weights to cpu", "warm-up"]
    assert len(perceiver._kept) == 0
    assert perceiver.modules.prior.frames_at_once == 2
    with pytest.raises(ValueError, match="inference only"):
        perceiver.modules.prior.save_pretrained("nowhere")
    with pytest.raises(ValueError, match="CUDA graphs"):
        load_ready("nano", device="cpu", acceleration="graphs", frames=1)
