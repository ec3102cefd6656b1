"""The prior per keyframe: the official protocol and every form of the fast one, in turn.

The official protocol gives the transformer the frames of a clip as one batch, and the autoencoder
one frame after the other; "one by one" is the same for each frame alone, as it arrives.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import measure
import torch
from sizes import SIZES, PriorSource
from torch.nn.functional import cosine_similarity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from speed import Run
    from torch import Tensor

    from vega3d_ros.models.priors.wan.prior import WanPrior

BATCH = 8
COMPILATION_S = 80.0
REFERENCE, FAST = "reference", "fast"
ONE_BY_ONE = "reference, one by one"
PUBLISHED = "reference, float32 weights under autocast"


@dataclass(frozen=True)
class Form:
    """A way to run the prior.

    Attributes:
        name: What is told of it.
        frames: Frames at once.
        prior: The prior.
        encode: Encodes that many frames.
        pool_gib: GPU memory that was set aside for it beforehand.
    """

    name: str
    frames: int
    prior: WanPrior
    encode: Callable[[], Tensor]
    pool_gib: float = 0.0

    def peak_gib(self, device: str) -> float | None:
        """GPU memory of its weights, and of its work at most; None on a CPU."""
        if not device.startswith("cuda"):
            return None
        grown = measure.growth_gib(self.encode, device)
        weights = sum(p.numel() * p.element_size() for p in self.prior.tower.parameters())
        return weights / measure.GIB + max(grown, self.pool_gib)


def measure_priors(run: Run, until: float) -> None:
    """Every block at every working size, the first size (that of the goals) first."""
    kinds = ("graphs",) if run.on_gpu else ()
    if run.profile:
        run.attempt(f"{run.name} profile", lambda: _profile(run))
    _measure_all(run, until, "prior per keyframe", run.size.working, kinds, 0.0)


def measure_compiled(run: Run, until: float) -> None:
    """The blocks and the encoder compiled too, at the working size of the goals."""
    kinds = ("graphs", "compile_graphs") if run.on_gpu else ("compile",)
    working = run.size.working[:1]
    _measure_all(run, until, "prior per keyframe, compiled", working, kinds, COMPILATION_S)


def _measure_all(
    run: Run,
    until: float,
    section: str,
    sizes: Sequence[tuple[int, int]],
    kinds: Sequence[str],
    least_s: float,
) -> None:
    source = PriorSource(run.size, run.device, run.dtype)
    # As the official main branch: float32 weights that autocast recasts on every use.
    published = PriorSource(run.size, run.device, torch.float32) if run.on_gpu else None
    configurations = [(block, working) for working in sizes for block in run.size.blocks]
    for index, (block, working) in enumerate(configurations):
        what = f"{run.name} {working[0]}x{working[1]} block {block}"
        left = until - time.monotonic()
        if left <= least_s and (index or least_s):
            run.report.note(f"{section}: {what} left out, no time left")
            continue
        seconds = left / (len(configurations) - index)

        def measured(
            block: int = block, working: tuple[int, int] = working, seconds: float = seconds
        ) -> None:
            forms = _forms(run, source, published, block, working, kinds)
            _take_turns(run, section, forms, block, working, seconds)

        run.attempt(f"{section}: {what}", measured)
        measure.free()


def _forms(
    run: Run,
    source: PriorSource,
    published: PriorSource | None,
    block: int,
    working: tuple[int, int],
    kinds: Sequence[str],
) -> list[Form]:
    """The reference first, and every form of the fast one that can be made here."""
    clip = run.size.frames
    reference = source.prior(block, working, reference=True)
    reference.frames_at_once = clip
    forms = [
        Form(name, n, reference, _encoding(reference, n, run))
        for name, n in ((REFERENCE, clip), (ONE_BY_ONE, 1))
    ]
    if published is not None:
        exact = published.prior(block, working, reference=True)
        exact.frames_at_once = clip
        plain = _encoding(exact, clip, run)

        def recast() -> Tensor:
            with torch.autocast("cuda", torch.bfloat16):
                return plain()

        forms.append(Form(PUBLISHED, clip, exact, recast))
    fast = source.prior(block, working)
    forms += [Form(FAST, n, fast, _encoding(fast, n, run)) for n in (1, BATCH)]
    for kind in kinds:
        what = f"{run.name} {working[0]}x{working[1]} block {block}: {kind}"
        prior = source.prior(block, working)
        prior.frames_at_once = BATCH
        start = time.monotonic()

        def accelerate(prior: WanPrior = prior, kind: str = kind) -> float:
            return measure.growth_gib(lambda: prior.accelerate(kind), run.device)

        pool = run.attempt(what, accelerate)
        if pool is None:
            continue
        run.report.note(f"{what} prepared in {time.monotonic() - start:.0f} s")
        forms += [
            Form(f"{FAST}, {kind}", n, prior, _encoding(prior, n, run), pool) for n in (1, BATCH)
        ]
    return forms


def _take_turns(
    run: Run,
    section: str,
    forms: Sequence[Form],
    block: int,
    working: tuple[int, int],
    seconds: float,
) -> None:
    names = {f"{form.name} {form.frames}": form for form in forms}
    calls = {name: form.encode for name, form in names.items()}
    times = measure.in_turn(calls, run.device, min(seconds / 3, run.turns_s))
    work = {which: flop(run.name, block, working, reference=which) for which in (True, False)}
    floor_s = work[False] / run.ceiling
    # In float32 where there is such a one.
    exact = next((form for form in forms if form.name == PUBLISHED), forms[0])
    expected = _encoding(exact.prior, 1, run)()
    first = forms[0]
    reference_s = times[f"{first.name} {first.frames}"] / first.frames
    for name, form in names.items():
        per_frame = times[name] / form.frames
        operations = work[form.name.startswith(REFERENCE)]
        row = {
            "size": run.name,
            "working size": f"{working[0]}x{working[1]}",
            "block": block,
            "form": form.name,
            "frames at once": form.frames,
            "ms per frame": per_frame * 1e3,
            "times as fast": reference_s / per_frame,
            "TFLOP": operations / 1e12,
            "TFLOP/s": operations / per_frame / 1e12,
            "share of ceiling": operations / per_frame / run.ceiling,
            "floor ms": floor_s * 1e3,
            "times the floor": per_frame / floor_s,
            "peak GiB": form.peak_gib(run.device),
            "cosine to reference": _cosine(form.encode()[:1], expected),
        }
        run.report.add(section, **row)


def _profile(run: Run) -> None:
    """Write which kernels the reference and the fast form spend their time in."""
    source = PriorSource(run.size, run.device, run.dtype)
    for name in (REFERENCE, FAST):
        prior = source.prior(run.size.blocks[0], run.size.working[0], reference=name == REFERENCE)
        call = _encoding(prior, BATCH, run)
        call()
        measure.wait(run.device)
        with torch.profiler.profile() as profiler:
            call()
            measure.wait(run.device)
        order = "self_device_time_total" if run.on_gpu else "self_cpu_time_total"
        text = profiler.key_averages().table(sort_by=order, row_limit=30)
        path = f"{run.report.path}_profile_{run.name}_{name}.txt"
        run.report.save()
        Path(path).write_text(text, encoding="utf-8")
        run.report.note(f"kernels of the {name} prior, {BATCH} frames: {path}")


def _encoding(prior: WanPrior, frames: int, run: Run) -> Callable[[], Tensor]:
    generator = torch.Generator().manual_seed(0)
    frames_on_host = torch.randint(0, 256, (frames, 3, 480, 640), generator=generator)
    images = frames_on_host.to(torch.uint8)  # as frames arrive
    return lambda: prior.encode(images.to(run.device).float() / 255, range(frames))


def _cosine(found: Tensor, expected: Tensor) -> float:
    return round(float(cosine_similarity(found.flatten(1), expected.flatten(1)).min()), 6)


@cache
def shapes(name: str) -> PriorSource:
    """Weights of a size without memory."""
    return PriorSource(SIZES[name], "meta", torch.float32)


@cache
def flop(name: str, block: int, working: tuple[int, int], *, reference: bool) -> int:
    """Operations for one frame at a size, counted on meta tensors; nothing is allocated."""
    return sum(flop_by_part(name, block, working, reference=reference).values())


def flop_by_part(
    name: str, block: int, working: tuple[int, int], *, reference: bool
) -> dict[str, int]:
    """``flop`` of the autoencoder, of attention without its projections, and of the rest.

    Attention is what PyTorch counts as batched products; on meta tensors it has no kernel of its
    own. Of the fast form, whose attention to the text is folded, it is the frame's to itself.
    """
    tower = shapes(name).prior(block, working, reference=reference).tower.to("meta")
    pictures = torch.empty(1, 3, working[1], working[0], device="meta")
    noise = torch.empty(1, 16, 1, working[1] // 8, working[0] // 8, device="meta")
    moments = torch.empty(1, 32, *noise.shape[2:], device="meta")
    autoencoder = sum(measure.count_flop(lambda: tower.moments(pictures)).values())
    transformer = measure.count_flop(lambda: tower.tokens(moments, noise))
    attention = transformer.pop("aten.bmm")
    rest = sum(transformer.values())
    return {"autoencoder": autoencoder, "attention": attention, "rest": rest}
