"""What every prior must keep, whatever its family."""

from __future__ import annotations

import json
import weakref
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from support.closeness import assert_close_to_magnitude, differs_beyond_rounding
from support.tiny_models import make_clip

from vega3d_ros.core.settings import SettingsError, read_settings
from vega3d_ros.models.priors import PRIORS, load_prior
from vega3d_ros.models.priors.base import Prior, PriorError
from vega3d_ros.perception.keyframe_cache import KeyframeCache

STAMPS = [7, 8, 9, 10, 11]


class PriorContract(ABC):
    """Tests of one family; a subclass says how a small prior is made."""

    type: ClassVar[str]
    """Name in the registry."""

    @abstractmethod
    def make(self) -> Prior:
        """A prior with the same random weights in every call, of scope "frame"."""

    def clip_prior(self) -> Prior | None:
        """The same with scope "clip", where the family has one."""
        return None

    @pytest.fixture
    def prior(self) -> Prior:
        return self.make()

    @pytest.fixture
    def images(self) -> torch.Tensor:
        return torch.rand(5, 3, 24, 40, generator=torch.Generator().manual_seed(1))

    def test_the_registry_knows_it_and_it_is_frozen(self, prior):
        assert PRIORS.get(self.type) is type(prior)
        assert prior.config.type == self.type
        assert not prior.training
        assert not any(parameter.requires_grad for parameter in prior.parameters())

    def test_tokens_have_the_grid_and_width_it_names(self, prior, images):
        tokens = prior.encode(images, STAMPS)
        assert tokens.shape == (5, *prior.grid, prior.dim)
        assert tokens.dtype == torch.float32
        assert torch.isfinite(tokens).all()
        assert differs_beyond_rounding(tokens[:1], tokens[1:2])

    def test_the_same_frames_give_the_same_tokens(self, prior, images):
        expected = prior.encode(images, STAMPS)
        assert torch.equal(prior.encode(images, STAMPS), expected)
        assert torch.equal(self.make().encode(images, STAMPS), expected)

    def test_a_frame_alone_equals_it_in_any_batch(self, prior, images):
        together = prior.encode(images, STAMPS)
        alone = torch.cat([prior.encode(images[i : i + 1], [s]) for i, s in enumerate(STAMPS)])
        assert_close_to_magnitude(together, alone, "network")
        turned = prior.encode(images.flip(0), STAMPS[::-1]).flip(0)
        assert_close_to_magnitude(together, turned, "network")
        for at_once in (1, 2):
            prior.frames_at_once = at_once
            assert_close_to_magnitude(prior.encode(images, STAMPS), together, "network")

    def test_training_can_pass_through_its_tokens(self, prior, images):
        layer = torch.nn.Linear(prior.dim, 2)
        with torch.inference_mode():
            tokens = prior.encode(images, STAMPS)
        layer(tokens).sum().backward()
        assert layer.weight.grad is not None

    def test_a_folder_gives_the_same_prior(self, prior, images, tmp_path):
        expected = prior.encode(images, STAMPS)
        prior.save(tmp_path)
        assert json.loads((tmp_path / "prior.json").read_text())["type"] == self.type
        assert all((tmp_path / file).is_file() for file in prior.files)
        again = load_prior(tmp_path)
        assert type(again) is type(prior)
        assert again.config == prior.config
        assert torch.equal(again.encode(images, STAMPS), expected)
        wider = replace(prior.config, width=2 * prior.config.width)
        wide = type(prior).from_folder(tmp_path, wider)
        assert wide.grid == (prior.grid[0], 2 * prior.grid[1])

    def test_half_precision_costs_little(self, prior, images, tmp_path):
        exact = prior.encode(images, STAMPS)
        prior.save(tmp_path, torch.bfloat16)
        assert next(prior.parameters()).dtype == torch.float32
        for dtype in (torch.float32, torch.bfloat16):
            tokens = type(prior).from_folder(tmp_path, dtype=dtype).encode(images, STAMPS)
            assert tokens.dtype == torch.float32
            error = torch.linalg.vector_norm(tokens - exact) / torch.linalg.vector_norm(exact)
            assert 0 < error < 0.05

    def test_a_damaged_folder_gives_one_sentence(self, prior, tmp_path):
        prior.save(tmp_path)
        for file in [p for p in tmp_path.rglob("*") if p.suffix in {".json", ".safetensors"}]:
            content = file.read_bytes()
            for damage in (None, b"", content[: len(content) // 2]):
                file.unlink() if damage is None else file.write_bytes(damage)
                with pytest.raises(PriorError, match=file.parent.name) as error:
                    load_prior(tmp_path)
                assert str(tmp_path) in str(error.value)
            file.write_bytes(content)

    def test_memory_bounds_what_is_measured(self, prior, images, tmp_path):
        prior.save(tmp_path)
        loaded = load_prior(tmp_path)
        loaded.forget_sources()
        bound = type(prior).memory(tmp_path, prior.config, torch.float32, len(images))
        assert bound["prior"] >= sum(p.numel() * p.itemsize for p in loaded.parameters())
        most = most_live(lambda: loaded.encode(images, STAMPS))
        assert bound["prior at work"] / 32 < most <= bound["prior at work"]
        half = type(prior).memory(tmp_path, prior.config, torch.bfloat16, 1)
        assert 2 * half["prior"] == bound["prior"]
        assert half["prior at work"] < bound["prior at work"]

    def test_acceleration_changes_nothing_or_is_refused(self, prior, images, monkeypatch):
        # Compilation without a C++ compiler's minutes.
        monkeypatch.setattr("vega3d_ros.models.priors.wan.acceleration.BACKEND", "eager")
        expected = prior.encode(images, STAMPS)
        prior.accelerate("none")
        for how in ("compile", "graphs", "compile_graphs"):
            faster = self.make()
            try:
                faster.accelerate(how)
            except PriorError as error:
                refusal = str(error)
            else:
                refusal = "set acceleration"
                assert_close_to_magnitude(faster.encode(images, STAMPS), expected, "network")
            assert "set acceleration" in refusal
        torch.compiler.reset()

    def test_the_cache_keeps_what_the_scope_allows(self, images):
        """Of overlapping clips, kept tokens are those of a fresh computation."""
        for prior in (self.make(), self.clip_prior()):
            if prior is None:
                continue
            encoded = []

            def encode(frames, prior=prior):
                shown = torch.stack([images[f.stamp_ns % 5] for f in frames])
                return list(prior.encode(shown, [f.stamp_ns for f in frames]))

            def counted(frames, encoded=encoded):
                encoded.append(len(frames))
                return encode(frames)

            cache, whole = KeyframeCache(64), prior.scope == "clip"
            frames = [make_clip(1, stamp_ns=stamp).frames[0] for stamp in STAMPS]
            for part in (frames[:3], frames[:3], frames[1:5], frames[2:3]):
                kept = torch.stack(cache.of(part, prior, counted, whole=whole))
                assert_close_to_magnitude(kept, torch.stack(encode(part)), "network")
            assert encoded == ([3, 4, 1] if whole else [3, 2])

    def test_an_untrained_control_is_the_same_every_time(self, prior, images):
        state = torch.random.get_rng_state()
        control = prior.randomised(5)
        assert torch.equal(state, torch.random.get_rng_state())
        assert control.config == prior.config
        tokens = control.encode(images, STAMPS)
        assert torch.equal(tokens, prior.randomised(5).encode(images, STAMPS))
        assert differs_beyond_rounding(tokens, prior.encode(images, STAMPS))

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            (torch.rand(3, 8, 8), "N, 3, H, W"),
            (torch.zeros(5, 3, 8, 8, dtype=torch.uint8), "divide bytes by 255"),
            (torch.full((5, 3, 8, 8), 255.0), r"must lie in \[0, 1\]"),
            (torch.rand(4, 3, 8, 8), "4 images need 4 stamps, not 5"),
        ],
        ids=["shape", "bytes", "range", "stamps"],
    )
    def test_wrong_images_give_one_sentence(self, prior, wrong, said):
        with pytest.raises(PriorError, match=said):
            prior.encode(wrong, STAMPS)

    def test_wrong_noise_gives_one_sentence(self, prior, images):
        with pytest.raises(PriorError, match="noise"):
            prior.encode(images, STAMPS, noise=torch.zeros(1, 2, 3))

    def test_wrong_settings_give_one_sentence(self, prior):
        values = prior.config.to_dict()
        assert read_settings(prior.Config, json.loads(json.dumps(values))) == prior.config
        for change, said in (
            ({"width": 0}, "prior.width must be greater than 0, not 0"),
            ({"type": "oracle"}, f"prior.type must be '{self.type}', not 'oracle'"),
            ({"align": "centre"}, "prior.align must be 'full' or 'official', not 'centre'"),
            ({"hight": 8}, r"unknown setting prior.hight \(did you mean height\?\)"),
        ):
            with pytest.raises(SettingsError, match=said):
                read_settings(prior.Config, {**values, **change}, "prior")

    def test_a_size_that_does_not_fit_is_refused(self, prior, tmp_path):
        prior.save(tmp_path)
        odd = replace(prior.config, width=prior.config.width + 1)
        with pytest.raises(PriorError, match="must be a multiple of"):
            type(prior).from_folder(tmp_path, odd)


def most_live(call) -> int:
    """The most bytes that tensors of a call take at once, counted as they are made."""
    live, most = 0, 0

    def forget(size: int) -> None:
        nonlocal live
        live -= size

    class Count(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal live, most
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and not func.is_view:
                size = result.untyped_storage().nbytes()
                live, most = live + size, max(most, live + size)
                weakref.finalize(result, forget, size)
            return result

    with Count():
        call()
    return most
