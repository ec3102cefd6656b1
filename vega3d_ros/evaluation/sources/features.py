"""The prior's tokens on disk: a scene is encoded once for all of its questions.

A file holds the tokens of one scene's frames. Its name is a digest of the prior's weights and
settings, the images and their stamps: whatever changes the tokens changes the name.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from vega3d_ros.core.json_io import replacing
from vega3d_ros.models.priors.base import Prior

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def prior_digest(prior: Prior) -> str:
    """A name for a prior's weights and settings."""
    digest = hashlib.blake2b(json.dumps(prior.config.to_dict()).encode(), digest_size=16)
    # Buffers by themselves: the state leaves out those that are not saved, such as the prompt.
    for name, tensor in [*prior.named_parameters(), *prior.named_buffers()]:
        digest.update(name.encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()


class StoredPrior(Prior):
    """A prior that reads its tokens from a folder if they are there.

    Args:
        prior: Encodes what is not there.
        digest: Its ``prior_digest``.
        folder: Made where missing.
        dtype: Of the tokens on disk and of those returned, stored or fresh. With the type that the
            model computes in, nothing is lost.
    """

    def __init__(self, prior: Prior, digest: str, folder: Path, dtype: torch.dtype) -> None:
        super().__init__()
        self.config, self.dim, self.grid = prior.config, prior.dim, prior.grid
        self.scope, self.frames_at_once = prior.scope, prior.frames_at_once
        self._prior, self._digest, self._folder, self._dtype = prior, digest, folder, dtype
        folder.mkdir(parents=True, exist_ok=True)

    def encode(
        self, images: torch.Tensor, stamps_ns: Sequence[int], *, noise: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Tokens of the folder, or of the prior; with noise that is given, nothing is stored."""
        if noise is not None:
            return self._prior.encode(images, stamps_ns, noise=noise)
        name = hashlib.blake2b(self._digest.encode(), digest_size=16)
        name.update(json.dumps([list(images.shape), *stamps_ns]).encode())
        name.update(_bytes(images))
        path = self._folder / f"{name.hexdigest()}.safetensors"
        try:
            tokens = load_file(path)["tokens"]
        except (OSError, SafetensorError, KeyError):
            # Not there yet, or written in part by a run that was killed.
            tokens = self._prior.encode(images, stamps_ns).to(self._dtype).cpu()
            with replacing(path) as scratch:
                save_file({"tokens": tokens.contiguous()}, scratch)
        return tokens.to(images.device).float()
