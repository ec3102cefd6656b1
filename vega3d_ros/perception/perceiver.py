"""The pipeline that everything calls: a clip in, a scene out, questions asked of it."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from vega3d_ros.models.checkpoints.hub import push_to_hub
from vega3d_ros.models.checkpoints.load_model import load_model
from vega3d_ros.models.checkpoints.save import save_modules
from vega3d_ros.models.fusion.clip_tokens import ClipTokens
from vega3d_ros.models.grounders.token_head.grounder import TokenHeadGrounder
from vega3d_ros.models.mllms.clip_reading import ClipReading
from vega3d_ros.perception.clip_objects import ClipObjects
from vega3d_ros.perception.errors import PerceiverError
from vega3d_ros.perception.finder import Finder
from vega3d_ros.perception.keyframe_cache import KeyframeCache
from vega3d_ros.perception.keyframe_encoder import FusedFrame, encode, encode_frames
from vega3d_ros.perception.object_prompt import ObjectPrompt
from vega3d_ros.perception.out_of_memory import OutOfMemory
from vega3d_ros.perception.scene import Scene, Thresholds
from vega3d_ros.perception.stage_timer import StageTimer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from vega3d_ros.core.frames import Clip, Frame
    from vega3d_ros.models.checkpoints.load_model import Model
    from vega3d_ros.models.checkpoints.modules import Modules
    from vega3d_ros.models.grounders.base import Grounder
    from vega3d_ros.perception.keyframe_encoder import Encoded, Patches

__all__ = ["Perceiver", "PerceiverError", "Scene"]


class Perceiver:
    """Understands clips. Not thread-safe: one thread owns it.

    Args:
        modules: The model; None for a grounder that needs none, such as one of a 2D detector.
        grounder: What finds things, instead of the model's own token head.
        settings: Labels, thresholds and card, where there is no model to have them; see
            ``checkpoints.modules.Modules``.
        keyframes: Keyframes of which something is kept, at most.

    Attributes:
        queries: What ``Scene.objects`` looks for; at first the model's labels, or the names that
            the grounder knows.
        threshold: Score from which on a description that is asked for counts as here.
        listing_threshold: The same for each of ``queries``, most of which are not here.
        measured_answers: Whether answers that geometry can give are measured from boxes before a
            language model is asked.
        described_objects: Whether relational descriptions are resolved over the boxes of the
            things that they name; so they are where answers are measured.
        depth_votes: Whether the tokens of the token head vote for clusters of depth points.
        recall: Share in [0, 1] of the things in view that the grounder finds; "there is none" is
            as sure as that. 0.5 says that nobody has measured it.
        out_of_memory: Halves what does not fit; counts and reports it.
        device: Where it was loaded to.
    """

    def __init__(
        self,
        modules: Modules | None = None,
        *,
        grounder: Grounder[Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        keyframes: int = 64,
    ) -> None:
        self._newest: weakref.ref[ClipReading] | None = None
        self._modules = modules
        self._given_grounder = grounder
        if modules is None and grounder is None:
            msg = "a perceiver needs a model or a grounder"
            raise PerceiverError(msg)
        self._settings_alone = dict(settings or {})
        chosen = self._settings
        names = grounder.vocabulary if grounder is not None else None
        self.queries: tuple[str, ...] = tuple(chosen.get("labels", names or ()))
        self.threshold = float(chosen.get("threshold", 0.5))
        self.listing_threshold = float(chosen.get("listing_threshold", self.threshold))
        self.measured_answers = bool(chosen.get("measured_answers", modules is None))
        self.described_objects = bool(chosen.get("described_objects", False))
        self.depth_votes = bool(chosen.get("depth_votes", False))
        self.recall = 0.5
        self.device = "cpu"
        self.out_of_memory = OutOfMemory(self.reset)
        self._fused: KeyframeCache[FusedFrame] = KeyframeCache(keyframes)
        self._looked: KeyframeCache[Any] = KeyframeCache(keyframes)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        prior: Mapping[str, Any] | None = None,
        reference: bool = False,
        revision: str | None = None,
        download: bool = False,
    ) -> Perceiver:
        """Load a shipped model by name, a model folder, an official checkpoint, or one of the hub.

        Args:
            name: Name, folder, or id on the Hugging Face hub.
            device: Where it runs.
            dtype: Of its weights.
            prior: Settings of the prior instead of the model's own, for example
                ``{"align": "full"}``, by the names of its family's ``Config``.
            reference: Run the prior by the official protocol, to compare with.
            revision: Of a model on the hub: branch, tag or commit.
            download: Whether it may be downloaded; otherwise it must be on this machine.

        Raises:
            DeviceError: If it does not fit the device.
            CheckpointError: If it cannot be loaded.
        """
        model = load_model(
            name,
            device=device,
            dtype=dtype,
            prior=prior,
            reference=reference,
            revision=revision,
            download=download,
        )
        return cls.of(model)

    @classmethod
    def of(cls, model: Model, *, keyframes: int = 64) -> Perceiver:
        """A perceiver of a model that is loaded; ``keyframes`` as for the class."""
        return cls(
            model.modules, grounder=model.grounder, settings=model.settings, keyframes=keyframes
        )

    def save_pretrained(self, folder: Path) -> None:
        """Write the model folder."""
        save_modules(self.modules, folder)

    def push_to_hub(
        self, name: str, *, private: bool = False, message: str = "Upload model"
    ) -> str:
        """Write the model to the hub; see ``models.checkpoints.hub.push_to_hub``."""
        return push_to_hub(self.modules, name, private=private, message=message)

    @property
    def modules(self) -> Modules:
        """The model; set it to go on with another one.

        Raises:
            PerceiverError: If there is none.
        """
        if self._modules is None:
            msg = "there are no networks here, only a grounder: give a model that has them"
            raise PerceiverError(msg)
        return self._modules

    @modules.setter
    def modules(self, modules: Modules) -> None:
        self._modules = modules
        self._newest = None

    @property
    def _settings(self) -> dict[str, Any]:
        return self._modules.settings if self._modules is not None else self._settings_alone

    @property
    def card(self) -> str:
        """What the model is, for people."""
        return str(self._settings.get("card", ""))

    @property
    def grounder(self) -> Grounder[Any] | None:
        """What finds things; None for a model that answers questions only."""
        if self._given_grounder is None and self.modules.grounding is not None:
            return TokenHeadGrounder(self.modules.grounding, votes=self.depth_votes)
        return self._given_grounder

    @property
    def grounds(self) -> bool:
        """Whether it can find objects; official checkpoints cannot by themselves."""
        return self.grounder is not None

    @property
    def has_language(self) -> bool:
        """Whether a language model answers what cannot be measured."""
        return self._modules is not None

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of its input; those of a common camera without a model."""
        return (640, 480) if self._modules is None else self._modules.language.image_size

    def reset(self) -> None:
        """Forget all keyframes."""
        self._fused.clear()
        self._looked.clear()
        self._newest = None

    def observe(
        self, clip: Clip, *, noise: Tensor | None = None, patches: Patches | None = None
    ) -> Scene:
        """Look at a clip. Only keyframes that were not seen before cost the encoders' time.

        Where memory ends, other keyframes are forgotten, fewer frames are encoded at a time, and
        of a clip that cannot be read the newest half is (``Scene.frames_left_out``).

        Args:
            clip: The clip.
            noise: The prior's noise instead of its own draw, see ``encode``.
            patches: What the vision tower is shown instead of the clip's frames, see ``encode``.
                With either, every frame is encoded and none is kept.
        """
        timer = StageTimer()
        if not self.has_language:
            return self._scene(clip, None, None, 0, timer)
        with timer.stage("encode"):
            if noise is not None or patches is not None:
                fused = encode_frames(self.modules, clip.frames, noise=noise, patches=patches)
            else:
                fused = self._fused.of(
                    clip.frames, self.modules, self._encode_batched, whole=self._sees_clips
                )
        return self.scene_of(clip, fused, timer)

    def scene_of(
        self, clip: Clip, fused: Sequence[FusedFrame], timer: StageTimer | None = None
    ) -> Scene:
        """The scene of a clip whose frames are encoded.

        Args:
            clip: The clip.
            fused: Of each frame.
            timer: What it took so far.
        """
        timer = timer or StageTimer()
        with timer.stage("read"):
            reading, count = self.out_of_memory.halved(
                lambda count: self._read(_newest_of(clip, count), fused[-count:]),
                len(clip),
                "the newest {} frames of the clip are read",
            )
        self._newest = weakref.ref(reading)
        gates = [frame.gate.float() for frame in fused[-count:] if frame.gate is not None]
        gate = torch.stack(gates).cpu().numpy() if gates else None
        return self._scene(_newest_of(clip, count), reading, gate, len(clip) - count, timer)

    def _scene(
        self,
        clip: Clip,
        reading: ClipReading | None,
        gate: NDArray[np.float32] | None,
        frames_left_out: int,
        timer: StageTimer,
    ) -> Scene:
        grounder, evidence = self.grounder, []
        if grounder is not None:
            with timer.stage("encode"):
                evidence = self._look(grounder, clip)
        finder = Finder(
            clip,
            grounder,
            evidence,
            reading,
            queries=self.queries,
            labels=self._settings.get("labels", ()),
            out_of_memory=self.out_of_memory,
            timer=timer,
        )
        objects = None
        if grounder is not None:
            objects = ClipObjects(clip, finder, threshold=self.threshold, recall=self.recall)
        prompt = None
        if self._modules is not None and self._modules.objects is not None:
            prompt = ObjectPrompt(self._modules.objects, self._settings["colors"])
        return Scene(
            clip,
            queries=self.queries,
            thresholds=Thresholds(asked=self.threshold, listed=self.listing_threshold),
            finder=finder,
            measured=objects if self.measured_answers else None,
            described=objects if self.described_objects or self.measured_answers else None,
            reading=reading,
            prompt=prompt,
            gate=gate,
            frames_left_out=frames_left_out,
            out_of_memory=self.out_of_memory,
            timer=timer,
        )

    def encode(
        self,
        images: Tensor,
        stamps_ns: Sequence[int],
        *,
        noise: Tensor | None = None,
        patches: Patches | None = None,
    ) -> Encoded:
        """Every stage of the tokens of frames, none of them kept; see ``encode``."""
        return encode(self.modules, images, stamps_ns, noise=noise, patches=patches)

    def _encode(self, frames: Sequence[Frame]) -> list[FusedFrame]:
        return encode_frames(self.modules, frames)

    def _encode_batched(self, frames: list[Frame]) -> list[FusedFrame]:
        if not self._sees_clips:
            return self.out_of_memory.batched(self._encode, frames, "keyframes")
        fused, _ = self.out_of_memory.halved(
            lambda _: self._encode(frames), 1, "the clip is encoded once more"
        )
        return fused

    @property
    def _sees_clips(self) -> bool:
        """Whether the tokens of a frame depend on the other frames of its clip."""
        prior = self.modules.prior
        return prior is not None and prior.scope == "clip"

    @torch.inference_mode()
    def _read(self, clip: Clip, fused: Sequence[FusedFrame]) -> ClipReading:
        tokens = ClipTokens.of(clip, [frame.tokens for frame in fused])
        visual = tokens.visual(self.modules.positions)
        earlier = self._newest() if self._newest is not None else None
        return ClipReading(self.modules.language, tokens, visual, earlier)

    def _look(self, grounder: Grounder[Any], clip: Clip) -> list[Any]:
        return self._looked.of(
            clip.frames,
            self._given_grounder or self._modules,
            lambda frames: self.out_of_memory.batched(
                lambda part: [grounder.look(frame) for frame in part], frames, "keyframes"
            ),
        )


def _newest_of(clip: Clip, count: int) -> Clip:
    return clip if count == len(clip) else replace(clip, frames=clip.frames[-count:])
