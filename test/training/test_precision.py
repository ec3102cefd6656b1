"""The type that training computes with."""

import torch

from vega3d_ros.training.precision import mixed_precision


def product(device="cpu"):
    with mixed_precision(device):
        return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype


def test_a_processor_computes_in_float32():
    assert product() is torch.float32


def test_a_gpu_of_bfloat16_computes_in_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    context = mixed_precision("cuda:0")
    assert context._enabled
    assert context.fast_dtype is torch.bfloat16
