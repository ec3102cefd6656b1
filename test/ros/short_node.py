"""The perception node with the shipped model, in which memory ends as often as a file says.

The file holds a number, which each shortage lowers. Every call of the prior leaves a line beside
it: frames, keyframes kept, and whether memory ended.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from vega3d_ros.ros.perception_node import load_perceiver, main


def make(parameters, progress, on_out_of_memory):
    perceiver = load_perceiver(parameters, progress, on_out_of_memory)
    left, calls = (Path(os.environ["SHORTAGES"]).with_suffix(end) for end in (".left", ".calls"))
    prior = perceiver.modules.prior
    encode = prior.encode

    def short(images, stamps_ns, **given):
        count = int(left.read_text())
        with calls.open("a") as file:
            file.write(f"{len(images)} {len(perceiver._fused)} {count > 0}\n")
        if count > 0:
            new = left.with_suffix(".lower")
            new.write_text(str(count - 1))
            new.replace(left)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return encode(images, stamps_ns, **given)

    prior.encode = short
    return perceiver


if __name__ == "__main__":
    sys.exit(main(perceiver_factory=make))
