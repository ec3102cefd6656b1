"""The prior per keyframe: the official protocol and every form of the fast one, in turn."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import measure
import torch
from sizes import PriorSource
from torch.nn.functional import cosine_similarity

if TYPE_CHECKING:
    from collections.abc import Callable

    from sizes import Size
    from speed import Run
    from torch import Tensor

    from vega3d_ros.prior.wan import WanPrior

BATCH = 8
COMPILATION_S = 100.0


def measure_priors(run: Run, source: PriorSource, until: float) -> None:
    """Every block at every working size, the first size (that of the goals) first."""
    configurations = [
        (block, working) for working in run.size.working for block in run.size.blocks
    ]
    published = None
    if run.device.startswith("cuda"):
        # As the official main branch: float32 weights that autocast recasts on every use.
        published = PriorSource(run.size, run.device, torch.float32)
    for index, (block, working) in enumerate(configurations):
        seconds = (until - time.monotonic()) / (len(configurations) - index)
        if seconds <= 0 and index:
            run.report.note(f"{run.name} prior, {working} block {block}: left out, no time left")
            continue
        compiled = run.compiled and working == run.size.working[0]
        compiled = compiled and until - time.monotonic() > COMPILATION_S
        _measure_prior(run, source, published, block, working, seconds, compiled=compiled)
        measure.free()


def _measure_prior(
    run: Run,
    source: PriorSource,
    published: PriorSource | None,
    block: int,
    working: tuple[int, int],
    seconds: float,
    *,
    compiled: bool,
) -> None:
    reference = source.prior(block, working, reference=True)
    calls = {("reference", 1): _encoding(reference, 1, run)}
    if published is not None:
        as_published = _encoding(published.prior(block, working, reference=True), 1, run)

        def recast() -> Tensor:
            with torch.autocast("cuda", torch.bfloat16):
                return as_published()

        calls["reference, float32 weights under autocast", 1] = recast
    calls |= {("fast", n): _encoding(source.prior(block, working), n, run) for n in (1, BATCH)}
    kinds = ["graphs"] if run.device.startswith("cuda") else []
    kinds += ["compile_graphs"] if compiled else []
    for kind in kinds:
        prior = source.prior(block, working)
        prior.frames_at_once = BATCH
        start = time.monotonic()
        prior.accelerate(kind)
        spent = time.monotonic() - start
        run.report.note(f"{run.name} {working} block {block}: {kind} prepared in {spent:.0f} s")
        calls |= {(f"fast, {kind}", n): _encoding(prior, n, run) for n in (1, BATCH)}

    if run.profile and (block, working) == (run.size.blocks[0], run.size.working[0]):
        _profile(calls["fast", BATCH], run)
    names = {f"{kind} {n}": (kind, n) for kind, n in calls}
    times = measure.in_turn(
        {name: calls[key] for name, key in names.items()},
        run.device,
        min(seconds / 3, run.turns_s),
    )
    work = {kind: flop(run.size, block, working, reference=kind == "reference")
            for kind in ("reference", "fast")}  # fmt: skip
    floor_s = work["fast"] / run.ceiling
    base_s = times["reference 1"]
    exact = published.prior(block, working, reference=True) if published else reference
    expected = _encoding(exact, 1, run)()  # in float32
    for name, (kind, frames) in names.items():
        per_frame = times[name] / frames
        operations = work["reference" if kind.startswith("reference") else "fast"]
        row = {
            "size": run.name,
            "working size": f"{working[0]}x{working[1]}",
            "block": block,
            "form": kind,
            "frames at once": frames,
            "ms per frame": per_frame * 1e3,
            "times as fast": base_s / per_frame,
            "TFLOP": operations / 1e12,
            "TFLOP/s": operations / per_frame / 1e12,
            "share of ceiling": operations / per_frame / run.ceiling,
            "floor ms": floor_s * 1e3,
            "times the floor": per_frame / floor_s,
            "peak GiB": measure.peak_gib(calls[kind, frames], run.device),
            "cosine to reference": _cosine(calls[kind, frames]()[:1], expected),
        }
        run.report.add("prior per keyframe", **row)


def _profile(call: Callable[[], object], run: Run) -> None:
    """Write which kernels the fast form spends its time in."""
    call()
    on_gpu = run.device.startswith("cuda")
    with torch.profiler.profile() as profiler:
        call()
        measure.wait(run.device)
    order = "self_cuda_time_total" if on_gpu else "self_cpu_time_total"
    text = profiler.key_averages().table(sort_by=order, row_limit=30)
    path = f"{run.report.path}_profile_{run.name}.txt"
    Path(path).write_text(text, encoding="utf-8")
    run.report.note(f"kernels of the fast prior, {BATCH} frames: {path}")


def _encoding(prior: WanPrior, frames: int, run: Run) -> Callable[[], Tensor]:
    generator = torch.Generator().manual_seed(0)
    frames_on_host = torch.randint(0, 256, (frames, 3, 480, 640), generator=generator)
    images = frames_on_host.to(torch.uint8)  # as frames arrive
    return lambda: prior.encode(images.to(run.device).float() / 255, range(frames))


def _cosine(found: Tensor, expected: Tensor) -> float:
    return round(float(cosine_similarity(found.flatten(1), expected.flatten(1)).min()), 6)


def flop(size: Size, block: int, working: tuple[int, int], *, reference: bool) -> int:
    """Operations for one frame, counted on meta tensors; nothing is allocated."""
    tower = (
        PriorSource(size, "meta", torch.float32).prior(block, working, reference=reference).tower
    )
    pictures = torch.empty(1, 3, working[1], working[0], device="meta")
    noise = torch.empty(1, 16, 1, working[1] // 8, working[0] // 8, device="meta")
    tower = tower.to("meta")
    return measure.count_flop(lambda: tower(pictures, noise))
