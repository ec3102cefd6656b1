"""Clips, keyframes and questions through the whole pipeline, and its memory over time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import measure
import numpy as np
import torch
from sizes import QUESTION, PriorSource, build_modules

from vega3d_ros.core.frames import Camera, Clip, Frame
from vega3d_ros.perception.loading import warm_up
from vega3d_ros.perception.perceiver import Perceiver

if TYPE_CHECKING:
    from speed import Run

    from vega3d_ros.perception.perceiver import Scene

ANSWER_TOKENS = (1, 4, 16)


def frame(number: int) -> Frame:
    """A frame without pose; its content does not matter to the time it takes."""
    rng = np.random.default_rng(number)
    image = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
    return Frame(
        number,
        image,
        "camera",
        Camera(width=640, height=480, fx=500.0, fy=500.0, cx=319.5, cy=239.5),
    )


def _perceiver(run: Run, source: PriorSource) -> Perceiver:
    prior = source.prior(run.size.blocks[-1], run.size.working[0])
    prior.frames_at_once = min(8, run.size.frames)
    if run.on_gpu:
        prior.accelerate("graphs")
    modules = build_modules(run.size, prior, run.device, run.dtype)
    if run.on_gpu:
        modules.language.capture_graphs(run.size.frames)
    perceiver = Perceiver(modules, keyframes=2 * run.size.frames)
    warm_up(perceiver, 2)
    return perceiver


def measure_pipeline(run: Run, until: float) -> None:
    """A cold clip, the next keyframe, the first question and all next ones."""
    source = PriorSource(run.size, run.device, run.dtype)
    perceiver = _perceiver(run, source)
    language, count = perceiver.modules.language, run.size.frames
    frames = [frame(number) for number in range(count + 1)]
    clip, moved_on = Clip(tuple(frames[:-1])), Clip(tuple(frames[1:]))
    fast = perceiver.modules.prior
    reference = source.prior(run.size.blocks[-1], run.size.working[0], reference=True)
    reference.frames_at_once = count

    def cold() -> None:
        perceiver.modules.prior = fast
        perceiver.reset()
        perceiver.observe(clip)

    def as_published() -> None:
        perceiver.modules.prior = reference
        perceiver.reset()
        answer(4, perceiver.observe(clip))
        perceiver.modules.prior = fast

    def new_keyframe() -> None:
        perceiver._encode([frames[-1]])  # noqa: SLF001

    def slid() -> Scene:
        perceiver.reset()
        perceiver._fused.of(  # noqa: SLF001
            moved_on.frames, perceiver.modules, lambda new: [scene_tokens] * len(new)
        )
        return perceiver.observe(moved_on)

    def first_question() -> None:  # and every next one, where no prefix is kept
        answer(4, slid())

    @torch.inference_mode()
    def answer(tokens: int, scene: Scene | None = None) -> None:
        prefix = (scene or kept).reading.prefix
        language.answers(prefix, [QUESTION], tokens)

    cold()
    kept = perceiver.observe(clip)
    scene_tokens = perceiver._encode([frames[0]])[0]  # noqa: SLF001
    calls = {
        "clip, cold": cold,
        "new keyframe, encoders only": new_keyframe,
        "clip moved on: read anew": slid,
        "first question: clip read, answer of 4 tokens": first_question,
        "clip re-encoded by the official protocol, answer of 4 tokens": as_published,
        "a description (no answer to speak)": lambda: kept.ground("the red chair"),
        **{
            f"next question, answer of {tokens} tokens": (lambda tokens=tokens: answer(tokens))
            for tokens in ANSWER_TOKENS
        },
    }
    seconds = min((until - time.monotonic()) / 2, 4 * run.turns_s)
    times = measure.in_turn(calls, run.device, seconds, 2)
    published = next(seconds for name, seconds in times.items() if "official" in name)
    one = times["new keyframe, encoders only"]
    for name, seconds in times.items():
        run.report.add(
            "pipeline",
            size=run.name,
            frames=count,
            tokens=kept.reading.prefix.length,
            what=name,
            ms=seconds * 1e3,
            **{"times as fast": published / seconds, "per second": 1 / seconds},
        )
    both = one + times["clip moved on: read anew"]
    run.report.note(
        f"{run.name}: {1 / one:.3g} keyframes per second sustained by the encoders, "
        f"{1 / both:.3g} where every keyframe's clip of {count} is read; the first question costs "
        f"a cold clip and a next one"
    )
    if run.on_gpu:
        grown = measure.growth_gib(cold, run.device)
        held = measure.held_mib(run.device) / 1024
        run.report.note(
            f"{run.name}: {held:.1f} GiB of GPU memory held, the reference's weights included, "
            f"{grown:.1f} GiB more while a cold clip is understood"
        )


def measure_memory(run: Run, until: float) -> None:
    """Memory held while keyframes come and go."""
    perceiver = _perceiver(run, PriorSource(run.size, run.device, run.dtype))
    length = min(4, run.size.frames)
    frames = [frame(number) for number in range(length)]
    for number in range(length, run.keyframes + length):
        frames = [*frames[1:], frame(number)]
        perceiver.observe(Clip(tuple(frames)))
        seen = number - length + 1
        late = time.monotonic() > until
        if late or seen in {50, 100, 250, 500, run.keyframes}:
            held = measure.held_mib(run.device)
            run.report.add("memory", size=run.name, keyframes=seen, **{"MiB held": held})
        if late:
            run.report.note(f"{run.name}: memory was followed over {seen} keyframes, then no time")
            return
