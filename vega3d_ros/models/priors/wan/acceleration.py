"""Towers of fixed shapes: compiled, and captured as CUDA graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import torch

from vega3d_ros.models.priors.base import Acceleration, PriorError
from vega3d_ros.models.priors.wan.feature_extractor import FastTower, Tower

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

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
        self._captured: dict[int, _Captured] = {}
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
                pictures = torch.zeros((size, *picture), dtype=tower.picture_dtype, device=device)
                noise = torch.zeros((size, *latent), device=device)
                if graphs:
                    self._captured[size] = _Captured(tower, pictures, noise, pool)
                else:
                    _warm_up(tower, pictures, noise)

    def moments(self, pictures: Tensor) -> Tensor:
        """As the tower does; the number of frames must be one of ``sizes``."""
        if len(pictures) not in self.sizes:
            msg = f"{len(pictures)} frames at once were not prepared, only {self.sizes}"
            raise PriorError(msg)
        captured = self._captured.get(len(pictures))
        return (captured or self.tower).moments(pictures)

    def tokens(self, moments: Tensor, noise: Tensor) -> Tensor:
        """As the tower does; ``moments`` are those that were computed last."""
        captured = self._captured.get(len(noise))
        return (captured or self.tower).tokens(moments, noise)


def _warm_up(tower: Tower, pictures: Tensor, noise: Tensor) -> None:
    """Run as often as workspaces, the search for algorithms and compilation need."""
    for _ in range(_WARM_UP_RUNS):
        tower(pictures, noise)


class _Captured:
    """A tower's two halves as CUDA graphs, with their places for input and output.

    Two, so that the noise can be drawn while the autoencoder runs.
    """

    def __init__(self, tower: Tower, pictures: Tensor, noise: Tensor, pool: Any) -> None:
        self._pictures, self._noise = pictures, noise
        self._first, self._second = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        with torch.cuda.device(pictures.device):
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                _warm_up(tower, pictures, noise)
            torch.cuda.current_stream().wait_stream(side)
            # Other threads of a node may use CUDA meanwhile. Graphs share the pool: what one
            # leaves there is read before another runs. The default stream for captures belongs to
            # the device of the process's first one.
            how = {"pool": pool, "stream": side, "capture_error_mode": "thread_local"}
            with torch.cuda.graph(self._first, **how):
                self._moments = tower.moments(pictures)
            with torch.cuda.graph(self._second, **how):
                self._tokens = tower.tokens(self._moments, noise)

    def moments(self, pictures: Tensor) -> Tensor:
        """The place of the moments, overwritten by the next call."""
        self._pictures.copy_(pictures)
        self._first.replay()
        return self._moments

    def tokens(self, _moments: Tensor, noise: Tensor) -> Tensor:
        """Tokens of the moments in their place."""
        self._noise.copy_(noise)
        self._second.replay()
        return self._tokens.clone()
