"""Whether a model fits a machine: an estimate before loading, and what to do when memory ends.

The estimate counts weights exactly, from the files' headers, and bounds what inference takes by
the largest tensors of each network, times how many of them live at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open

from vega3d_ros.json_files import read_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

T = TypeVar("T")

GIB = 2**30
# CUDA's context and the kernels of PyTorch, cuBLAS and cuDNN.
CUDA_BYTES = GIB // 2
# Live at once at the full resolution of Wan's encoder (a residual block's input, norm, activation,
# output, and the convolution's workspace), and of a transformer block besides its inner width.
_ENCODER_TENSORS = 6
_BLOCK_TENSORS = 10


class CapacityError(ValueError):
    """A model that does not fit; the message holds the numbers and says what to change."""


@dataclass(frozen=True)
class Workload:
    """How much is asked of a model at once.

    Attributes:
        frames: Frames of a clip.
        keyframes: Keyframes whose tokens are kept.
        frames_at_once: Frames that the prior encodes together.
    """

    frames: int = 8
    keyframes: int = 64
    frames_at_once: int = 8


@dataclass(frozen=True)
class Footprint:
    """Bytes by what they are for."""

    parts: Mapping[str, int]

    @property
    def total(self) -> int:
        """All together."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {size / GIB:.2f}" for name, size in self.parts.items())
        return f"{self.total / GIB:.2f} GiB ({parts})"


def estimate(folder: Path, dtype: torch.dtype, workload: Workload | None = None) -> Footprint:
    """What a model folder will take on its device.

    Args:
        folder: With ``model.json``, ``mllm/`` and, unless the model has no prior, ``prior/``.
        dtype: Of the weights in memory.
        workload: How much is asked of it at once.

    Raises:
        OSError, ValueError, KeyError, TypeError, SafetensorError: If configurations or weights
            cannot be read; loading then says what is wrong with which file.
    """
    workload = workload or Workload()
    size = dtype.itemsize
    description = read_object(folder / "model.json")
    language = read_object(folder / "mllm" / "config.json")
    parts = {"language model": size * sum(map(_numel, (folder / "mllm").glob("*.safetensors")))}
    parts["bridge and heads"] = size * sum(map(_numel, folder.glob("*.safetensors")))
    if description["prior"] is not None:
        parts |= _prior(folder / "prior", description["prior"], size, workload)
    parts |= _reading(language, description["image_size"], size, workload)
    return Footprint(parts)


def expected_bytes(folder: Path, dtype: torch.dtype, frames: int) -> int:
    """What a model will take on its device, as far as its files tell.

    Of an official checkpoint only its weights are known, which are of 16 bits; an eighth of them
    is put by for the work.
    """
    try:
        return estimate(folder, dtype, Workload(frames=frames)).total
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        kinds = {".safetensors", ".pth", ".pt"}
        stored = sum(file.stat().st_size for file in folder.rglob("*") if file.suffix in kinds)
        return stored * dtype.itemsize // 2 * 9 // 8


def _prior(
    folder: Path, config: Mapping[str, Any], size: int, workload: Workload
) -> dict[str, int]:
    shape = read_object(folder / "transformer" / "config.json")
    vae = read_object(folder / "vae" / "config.json")
    keep = config["block"] % shape["num_layers"] + 1
    weights = sum(
        _numel(file, lambda key: not key.startswith("blocks.") or int(key.split(".")[1]) < keep)
        for file in (folder / "transformer").glob("*.safetensors")
    )
    weights += sum(
        _numel(file, lambda key: key.startswith(("encoder.", "quant_conv.")))
        for file in (folder / "vae").glob("*.safetensors")
    )
    pixels = config["width"] * config["height"]
    tokens = pixels // 256
    dim = shape["num_attention_heads"] * shape["attention_head_dim"]
    encoder = _ENCODER_TENSORS * pixels * vae["base_dim"] * size
    blocks = tokens * (2 * shape["ffn_dim"] * size + _BLOCK_TENSORS * dim * 4)
    return {
        "prior": size * weights,
        "prior at work": workload.frames_at_once * max(encoder, blocks),
    }


def _reading(
    config: Mapping[str, Any], image_size: list[int], size: int, workload: Workload
) -> dict[str, int]:
    text = config.get("text_config", config)
    vision = config["vision_config"]
    cell = vision["patch_size"] * vision["spatial_merge_size"]
    tokens = (image_size[0] // cell) * (image_size[1] // cell)
    dim, heads = text["hidden_size"], text["num_attention_heads"]
    head_dim = text.get("head_dim") or dim // heads
    pair = 2 * text["num_key_value_heads"] * head_dim * text["num_hidden_layers"]
    read = workload.frames * (tokens + 2)
    patches = workload.frames * tokens * vision["spatial_merge_size"] ** 2
    at_work = max(
        read * (3 * text["intermediate_size"] + _BLOCK_TENSORS * dim),
        patches * (3 * vision["intermediate_size"] + _BLOCK_TENSORS * vision["hidden_size"]),
    )
    return {
        "kept keyframes": size * workload.keyframes * tokens * dim,
        # The newest, the one before while it is read, and where recorded graphs continue it.
        "kept clips": 3 * size * read * pair,
        "language model at work": size * at_work,
    }


def _numel(file: Path, wanted: Callable[[str], bool] = lambda _: True) -> int:
    with safe_open(file, "pt") as tensors:
        return sum(
            prod(tensors.get_slice(key).get_shape())
            for key in tensors.keys()  # noqa: SIM118
            if wanted(key)
        )


def pick_device(device: str) -> str:
    """A device's name; "auto" is CUDA where present, else the CPU.

    Raises:
        CapacityError: If there is no such device.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        msg = f"device {device!r} is not one; set auto, cpu, cuda or cuda:1"
        raise CapacityError(msg) from error
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted.type == "cuda" and (wanted.index or 0) >= count:
        msg = f"device {device!r} is not here ({count} CUDA devices); set auto, cpu or another one"
        raise CapacityError(msg)
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


def require(footprint: Footprint, device: str, what: str) -> None:
    """Refuse what does not fit.

    Raises:
        CapacityError: With the numbers.
    """
    free, total = available(device)
    if footprint.total <= free:
        return
    msg = (
        f"{what} needs about {footprint}, but {device} has {free / GIB:.2f} of "
        f"{total / GIB:.2f} GiB free; set dtype bfloat16, shorten the clip, free memory, or take "
        f"a smaller model or another device"
    )
    raise CapacityError(msg)


def fitting(folder: Path, device: str, dtype: torch.dtype, frames: int) -> Workload:
    """The workload of a clip length that encodes as many frames at once as there is memory for.

    Where not even one fits, or the folder cannot be read, loading says so.
    """
    workload = Workload(frames=frames)
    for at_once in (8, 4, 2, 1):
        workload = Workload(frames=frames, frames_at_once=min(at_once, frames))
        try:
            if estimate(folder, dtype, workload).total <= available(device)[0]:
                break
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            break
    return workload


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that memory has ended, on a GPU or the host."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def retried(call: Callable[[], T], smaller: Callable[[], T], free: Callable[[str], None]) -> T:
    """Call; where memory ends, free what can be freed and try once more, smaller.

    Args:
        call: What is wanted.
        smaller: The same with less memory.
        free: Frees memory; told what the error said.
    """
    try:
        return call()
    except Exception as error:
        if not is_shortage(error):
            raise
        said = str(error).partition("\n")[0]
    # Here, because the error's traceback held on to what had been computed.
    free(said)
    return smaller()
