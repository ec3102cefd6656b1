"""What Qwen2.5-VL takes of its device's memory, from its configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vega3d_ros.models.memory import BLOCK_TENSORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from vega3d_ros.models.memory import Workload


def memory(
    weights: int,
    config: Mapping[str, Any],
    image_size: tuple[int, int],
    dtype: torch.dtype,
    workload: Workload,
) -> dict[str, int]:
    """Bytes by what they are for.

    Args:
        weights: Numbers in vision tower and language model.
        config: Of the model, with or without ``text_config``.
        image_size: Width and height that the vision tower is shown, pixels.
        dtype: Of the weights in memory.
        workload: How much is asked at once.
    """
    size = dtype.itemsize
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
        read * (3 * text["intermediate_size"] + BLOCK_TENSORS * dim),
        patches * (3 * vision["intermediate_size"] + BLOCK_TENSORS * vision["hidden_size"]),
    )
    return {
        "language model": size * weights,
        "kept keyframes": size * workload.keyframes * tokens * dim,
        # The newest, the one before while it is read, and where CUDA graphs continue it.
        "kept clips": 3 * size * read * pair,
        "language model at work": size * at_work,
    }
