"""Towers of fixed shapes: compiled, and recorded as CUDA graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import torch

from vega3d_ros.prior.base import PriorError
from vega3d_ros.prior.tower import FastTower, Tower

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

Acceleration = Literal["none", "graphs", "compile", "compile_graphs"]
"""What is done to a prior before it runs.

- none: kernels are launched one by one; any number of frames.
- graphs: CUDA graphs, for a GPU that waits for its CPU. Takes seconds.
- compile: ``torch.compile``, which fuses what lies between the matrix products. Takes minutes.
- compile_graphs: both.
"""
BACKEND = "inductor"
_WARM_UP_RUNS = 3


class StaticTower:
    """Runs a tower for a few fixed numbers of frames; everything is prepared on construction.

    Args:
        tower: The tower, on its device.
        how: What to prepare.
        sizes: Numbers of frames.
        picture: Shape of one picture.
        latent: Shape of one frame's noise.
        device: Of both.

    Raises:
        PriorError: If this tower or device cannot do it.
    """

    def __init__(
        self,
        tower: Tower,
        how: Acceleration,
        sizes: Sequence[int],
        picture: Sequence[int],
        latent: Sequence[int],
        device: torch.device,
    ) -> None:
        if how not in get_args(Acceleration):
            msg = f"acceleration {how!r} must be one of {', '.join(get_args(Acceleration))}"
            raise PriorError(msg)
        graphs, compiled = how.endswith("graphs"), how.startswith("compile")
        if graphs and device.type != "cuda":
            msg = f"CUDA graphs need a CUDA device, not {device}; set acceleration compile or none"
            raise PriorError(msg)
        if compiled and not isinstance(tower, FastTower):
            msg = "the reference runs as it is; set acceleration none or graphs"
            raise PriorError(msg)
        self.tower = tower
        self.sizes = tuple(sizes)
        self._recorded: dict[int, _Recorded] = {}
        if device.type == "cuda":
            torch.backends.cudnn.benchmark = True  # shapes are fixed: look for the best once
        if compiled and isinstance(tower, FastTower):
            # One compilation serves all blocks, which differ in nothing but their weights.
            for block in tower.transformer.blocks:
                block.compile(backend=BACKEND, fullgraph=True, dynamic=False)
            tower.encoder.compile(backend=BACKEND, fullgraph=True, dynamic=False)
        pool = torch.cuda.graph_pool_handle() if graphs else None
        with torch.inference_mode(mode=False), torch.no_grad():
            for size in sorted(sizes, reverse=True):  # the largest first: it sizes the pool
                pictures = torch.zeros(
                    (size, *picture), dtype=tower.picture_dtype, device=device
                )
                noise = torch.zeros((size, *latent), device=device)
                if graphs:
                    self._recorded[size] = _Recorded(tower, pictures, noise, pool)
                else:
                    for _ in range(_WARM_UP_RUNS):
                        tower(pictures, noise)

    def __call__(self, pictures: Tensor, noise: Tensor) -> Tensor:
        """As the tower does; the number of frames must be one of ``sizes``."""
        if len(pictures) not in self.sizes:
            msg = f"{len(pictures)} frames at once were not prepared, only {self.sizes}"
            raise PriorError(msg)
        recorded = self._recorded.get(len(pictures))
        tokens: Tensor = (recorded or self.tower)(pictures, noise)
        return tokens


class _Recorded:
    """A CUDA graph of a tower with its places for input and output."""

    def __init__(
        self, tower: Tower, pictures: Tensor, noise: Tensor, pool: tuple[int, int] | None
    ) -> None:
        self._pictures, self._noise = pictures, noise
        side = torch.cuda.Stream(pictures.device)
        side.wait_stream(torch.cuda.current_stream(pictures.device))
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP_RUNS):  # workspaces, algorithm search, compilation
                tower(pictures, noise)
        torch.cuda.current_stream(pictures.device).wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads of a node may use CUDA meanwhile.
        with torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
            self._tokens = tower(pictures, noise)

    def __call__(self, pictures: Tensor, noise: Tensor) -> Tensor:
        self._pictures.copy_(pictures)
        self._noise.copy_(noise)
        self._graph.replay()
        return self._tokens.clone()
