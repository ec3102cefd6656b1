"""What LLMDet-tiny and SAM 2.1 tiny take of memory beside their weights.

    python benchmarks/detector_memory.py

Builds each network with random weights of its published size, runs it once on the processor for an
image of 4:3, and prints how far the process's resident memory rose. The constants of
``vega3d_ros/models/checkpoints/detector_memory.py`` are these figures, rounded up.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers

if TYPE_CHECKING:
    from collections.abc import Callable

_MIB = 2**20
_TOKENS = 200  # of a prompt of about eighty names


def resident_bytes() -> int:
    """Resident memory of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def llmdet() -> tuple[Any, Callable[[Any], object]]:
    """LLMDet-tiny and one run of it."""
    backbone = transformers.SwinConfig(
        image_size=224,
        embed_dim=96,
        depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24],
        out_features=["stage2", "stage3", "stage4"],
    )
    config = transformers.MMGroundingDinoConfig(backbone_config=backbone)
    ids = torch.randint(1100, 2000, (1, _TOKENS))
    inputs = {
        "pixel_values": torch.zeros(1, 3, 800, 1066),
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "token_type_ids": torch.zeros_like(ids),
    }
    network = transformers.MMGroundingDinoForObjectDetection(config)
    return network, lambda made: made(**inputs)


def sam2() -> tuple[Any, Callable[[Any], object]]:
    """SAM 2.1 tiny and one run of it, with the boxes that are given at once."""
    pixels, boxes = torch.zeros(1, 3, 1024, 1024), torch.rand(1, 16, 4) * 1024

    def run(made: Any) -> object:
        embedded = made.get_image_embeddings(pixels)
        return made(image_embeddings=embedded, input_boxes=boxes, multimask_output=False)

    return transformers.Sam2Model(transformers.Sam2Config()), run


def measured_bytes(network: Any, run: Callable[[Any], object]) -> int:
    """How far resident memory rises while the network runs."""
    before, peak, done = resident_bytes(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.01):
            peak = max(peak, resident_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with torch.inference_mode():
            run(network.eval())
    finally:
        done.set()
        watcher.join()
    return peak - before


def main() -> None:
    """Measure both."""
    torch.set_num_threads(1)
    for name, make in (("LLMDet-tiny", llmdet), ("SAM 2.1 tiny", sam2)):
        network, run = make()
        weights = sum(one.numel() * one.element_size() for one in network.parameters())
        work = measured_bytes(network, run)
        print(f"{name}: weights {weights / _MIB:.0f} MiB, at work {work / _MIB:.0f} MiB more")


if __name__ == "__main__":
    main()
