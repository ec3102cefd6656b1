"""What the node's parameters make of a model."""

from __future__ import annotations

import pytest
import torch

from vega3d_ros.models.checkpoints.device_memory import DeviceError
from vega3d_ros.perception.settings import Parameters
from vega3d_ros.ros.perception_node import load_perceiver


def test_the_parameters_reach_the_model_and_what_happens_is_told():
    told, short = [], []
    parameters = Parameters(device="cpu", dtype="bfloat16", clip_length=2)
    perceiver = load_perceiver(parameters, told.append, short.append)
    assert perceiver.modules.prior.tower.transformer.blocks[0].qkv.weight.dtype == torch.bfloat16
    assert told[0] == "libraries"
    assert told[-1] == "warm-up"
    perceiver.out_of_memory.report("memory ended")
    assert short == ["memory ended"]


def test_a_device_that_is_not_here_is_named():
    with pytest.raises(DeviceError, match="cuda:99"):
        load_perceiver(Parameters(device="cuda:99"), lambda _: None, lambda _: None)
