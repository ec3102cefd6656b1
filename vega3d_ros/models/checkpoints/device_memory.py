"""What a machine has for a model: its device and its memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from vega3d_ros.core.errors import Vega3dError
from vega3d_ros.models.memory import GIB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vega3d_ros.models.memory import MemoryEstimate

# CUDA's context and the kernels of PyTorch, cuBLAS and cuDNN.
CUDA_BYTES = GIB // 2


class DeviceError(Vega3dError, ValueError):
    """A model that does not fit; the message holds the numbers and says what to change."""


def pick_device(device: str) -> str:
    """A device's name; "auto" is CUDA where present, else the CPU.

    Raises:
        DeviceError: If there is no such device.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        msg = f"device {device!r} is not one; set auto, cpu, cuda or cuda:1"
        raise DeviceError(msg) from error
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted.type == "cuda" and (wanted.index or 0) >= count:
        msg = f"device {device!r} is not here ({count} CUDA devices); set auto, cpu or another one"
        raise DeviceError(msg)
    return device


def pick_dtype(dtype: str, device: str) -> torch.dtype:
    """A type by name; "auto" is bfloat16 on GPUs that compute with it, else float32."""
    if dtype == "auto":
        fast = torch.device(device).type == "cuda" and torch.cuda.is_bf16_supported(
            including_emulation=False
        )
        return torch.bfloat16 if fast else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype]


def available(device: str) -> tuple[int, int]:
    """Free and total bytes of a device: a CUDA device, or the memory this process may use."""
    if torch.device(device).type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return int(free) - (0 if torch.cuda.memory_reserved(device) else CUDA_BYTES), int(total)
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 2**62, 2**62  # a system that does not tell; nothing is refused
    values = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    free, total = values.get("MemAvailable", 2**62), values.get("MemTotal", 2**62)
    for limit, used in _container_limits():
        free, total = min(free, limit - used), min(total, limit)
    return free, total


def _container_limits() -> Iterator[tuple[int, int]]:
    """Limit and use of this process's control group, where it has a limit."""
    group = Path("/sys/fs/cgroup")
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        if (group / limit).is_file():
            text = (group / limit).read_text(encoding="ascii").strip()
            if text.isdecimal():  # otherwise "max"
                yield int(text), int((group / used).read_text(encoding="ascii"))


def require(needed: MemoryEstimate, device: str, what: str) -> None:
    """Refuse what does not fit.

    Raises:
        DeviceError: With the numbers.
    """
    free, total = available(device)
    if needed.total <= free:
        return
    msg = (
        f"{what} needs about {needed}, but {device} has {free / GIB:.2f} of "
        f"{total / GIB:.2f} GiB free; set dtype bfloat16, shorten the clip, free memory, or take "
        f"a smaller model or another device"
    )
    raise DeviceError(msg)
