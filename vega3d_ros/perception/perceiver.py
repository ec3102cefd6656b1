"""The pipeline that everything calls: a clip in, a scene out, questions asked of it."""

from __future__ import annotations

import logging
import weakref
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vega3d_ros.models.checkpoints.device_memory import retried
from vega3d_ros.models.checkpoints.load import load_modules
from vega3d_ros.models.checkpoints.save import save_modules
from vega3d_ros.perception.keyframe_cache import FusedFrame, KeyframeCache
from vega3d_ros.perception.keyframe_encoder import encode
from vega3d_ros.perception.scene import PerceiverError, Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from vega3d_ros.core.frames import Clip, Frame
    from vega3d_ros.models.checkpoints.modules import Modules
    from vega3d_ros.perception.keyframe_encoder import Encoded, Patches

__all__ = ["Perceiver", "PerceiverError", "Scene"]

_LOGGER = logging.getLogger(__name__)


class Perceiver:
    """Understands clips. Not thread-safe: one thread owns it.

    Args:
        modules: The model.
        keyframes: Keyframes whose fused tokens are kept, at most.

    Attributes:
        queries: What ``Scene.objects`` looks for.
        threshold: Presence above which a description that is asked for counts as here.
        listing_threshold: The same for each of ``queries``, most of which are not here.
        out_of_memory_count: How often memory ended and a clip was understood with less.
        on_out_of_memory: Called each time with what happened; logs a warning if not replaced.
    """

    def __init__(self, modules: Modules, *, keyframes: int = 64) -> None:
        self.modules = modules
        self.queries: tuple[str, ...] = tuple(modules.settings.get("labels", ()))
        self.threshold = float(modules.settings.get("threshold", 0.5))
        self.listing_threshold = float(modules.settings.get("listing_threshold", self.threshold))
        self.out_of_memory_count = 0
        self.on_out_of_memory: Callable[[str], None] = _LOGGER.warning
        self._kept = KeyframeCache(keyframes)
        self._newest: weakref.ref[Scene] | None = None

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        prior: Mapping[str, Any] | None = None,
        reference: bool = False,
    ) -> Perceiver:
        """Load a shipped model by name, a model folder, or an official checkpoint.

        Args:
            name: Name or folder.
            device: Where it runs.
            dtype: Of its weights.
            prior: Settings of the prior instead of the model's own, for example
                ``{"align": "full"}``, by the names of its family's ``Config``.
            reference: Run the prior by the official protocol, to compare with.

        Raises:
            DeviceError: If it does not fit the device.
            CheckpointError: If it cannot be loaded.
        """
        return cls(
            load_modules(name, device=device, dtype=dtype, prior=prior, reference=reference)
        )

    def save_pretrained(self, folder: Path) -> None:
        save_modules(self.modules, folder)

    @property
    def card(self) -> str:
        """What the model is, for people."""
        return str(self.modules.settings.get("card", ""))

    @property
    def grounds(self) -> bool:
        """Whether the model can find objects; official checkpoints cannot."""
        return self.modules.grounding is not None

    def reset(self) -> None:
        """Forget all keyframes."""
        self._kept.clear()
        self._newest = None

    def observe(
        self, clip: Clip, *, noise: Tensor | None = None, patches: Patches | None = None
    ) -> Scene:
        """Look at a clip. Only keyframes that were not seen before cost the encoders' time.

        Where memory ends, what is kept is forgotten, and the clip is tried once more frame by
        frame, and read as far as its newest half.

        Args:
            clip: The clip.
            noise: The prior's noise instead of its own draw, see ``encode``.
            patches: What the vision tower is shown instead of the clip's frames, see ``encode``.
                With either, every frame is encoded and none is kept.
        """
        scene = Scene(self, clip)
        if noise is not None or patches is not None:
            with scene.stage("encode"):
                given = self._encode(list(clip.frames), noise, patches)
            with scene.stage("read"):
                scene.take(given)
            return scene
        with scene.stage("encode"):
            kept = retried(
                lambda: self._kept.of(clip.frames, self.modules, self._encode, len(clip)),
                lambda: self._kept.of(clip.frames, self.modules, self._encode, 1),
                lambda said: self.free(f"{said}; keyframes are encoded one by one"),
            )
        with scene.stage("read"):
            earlier = self._newest() if self._newest is not None else None
            retried(
                lambda: scene.take(kept, earlier),
                lambda: scene.take_newest(kept),
                lambda said: self.free(f"{said}; the newest half of the clip was read"),
            )
        self._newest = weakref.ref(scene)
        return scene

    def free(self, what: str) -> None:
        """Give back all memory that can be recovered, and say so."""
        self.reset()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.out_of_memory_count += 1
        self.on_out_of_memory(what)

    def _encode(
        self, frames: list[Frame], noise: Tensor | None = None, patches: Patches | None = None
    ) -> list[FusedFrame]:
        images = torch.stack([torch.from_numpy(np.array(frame.image)) for frame in _alike(frames)])
        images = images.to(self.modules.language.model.device).permute(0, 3, 1, 2)
        images = images if images.is_floating_point() else images.float() / 255
        stamps = [frame.stamp_ns for frame in frames]
        encoded = self.encode(images, stamps, noise=noise, patches=patches)
        gates: Iterable[Tensor | None] = encoded.gate if encoded.gate is not None else repeat(None)
        return [FusedFrame(*one) for one in zip(encoded.tokens, gates, strict=False)]

    def encode(
        self,
        images: Tensor,
        stamps_ns: Sequence[int],
        *,
        noise: Tensor | None = None,
        patches: Patches | None = None,
    ) -> Encoded:
        """Every stage of the tokens of frames, none of them kept; see :func:`encoding.encode`."""
        return encode(self.modules, images, stamps_ns, noise=noise, patches=patches)


def _alike(frames: list[Frame]) -> list[Frame]:
    sizes = {frame.image.shape for frame in frames}
    if len(sizes) > 1:
        msg = f"the frames of a clip must have one size, not {sorted(sizes)}"
        raise PerceiverError(msg)
    return frames
