"""The type that training computes with."""

import torch

from vega3d_ros.models.checkpoints.device_memory import pick_dtype


def mixed_precision(device: str) -> torch.autocast:
    """bfloat16 on GPUs that compute with it; elsewhere float32: few processors do."""
    enabled = pick_dtype("auto", device) is torch.bfloat16
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=enabled)
