"""``vega3d train``: the stages of a model."""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    import argparse

DESCRIPTION = """\
Train a nano in five stages, each resumable (run the same command again):

  vega3d simulate clips --out clips --split train --count 6000
  vega3d train prior    --data clips --out runs/prior
  vega3d train semantic --data clips --out runs/semantic
  vega3d train language --data clips --out runs/language
  vega3d train fused    --data clips --out runs/fused --tokens runs/tokens \\
                        --semantic runs/semantic --language runs/language --prior runs/prior
  vega3d train answers  --data clips --out runs/nano --tokens runs/tokens --model runs/fused/model
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the command line of ``vega3d train``."""
    parser.description = DESCRIPTION
    parser.formatter_class = RawDescriptionHelpFormatter
    stages = parser.add_subparsers(dest="stage", required=True, metavar="STAGE")
    for name, about in (
        ("prior", "autoencoder and video prior, on frames without labels"),
        ("semantic", "the vision tower learns names and boxes, frame by frame"),
        ("language", "the language model learns to look things up, in rooms it is told of"),
        (
            "fused",
            "gate, projector, language model and grounding head learn from answers and boxes",
        ),
        ("answers", "the language model learns to answer from what the model finds itself"),
    ):
        stage = stages.add_parser(name, help=about, description=about)
        stage.add_argument("--data", required=True, help="folder of `vega3d simulate clips`")
        stage.add_argument("--out", required=True, type=Path, help="folder of the run")
        stage.add_argument(
            "--config", type=Path, help="YAML of settings (default: the shipped one)"
        )
        stage.add_argument("--device", help="cpu or cuda (default: as in the YAML)")
        stage.add_argument("--steps", type=int, help="optimiser steps, instead of the YAML's")
        stage.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
        stage.add_argument("--fresh", action="store_true", help="start anew instead of resuming")
        if name in ("fused", "answers"):
            stage.add_argument(
                "--tokens", type=Path, help="folder of stored tokens (default: in the run)"
            )
            stage.add_argument(
                "--random-prior",
                action="store_true",
                help="control: the transformer of the prior has random weights",
            )
        if name == "fused":
            stage.add_argument(
                "--semantic", type=Path, required=True, help="run of `train semantic`"
            )
            stage.add_argument(
                "--language", type=Path, required=True, help="run of `train language`"
            )
            stage.add_argument(
                "--prior", type=Path, help="run of `train prior`; without: no prior"
            )
            stage.add_argument(
                "--blind", action="store_true", help="baseline: learn answers without any image"
            )
        if name == "answers":
            stage.add_argument(
                "--model", type=Path, required=True, help="model folder of `train fused`"
            )


def run(args: argparse.Namespace) -> int:
    """Train one stage."""
    import torch  # noqa: PLC0415 - slow to import

    torch.set_num_threads(args.threads)
    overrides: dict[str, Any] = {"device": args.device} if args.device else {}
    config = args.config or _shipped(args.stage)
    train = {
        "prior": _prior,
        "semantic": _semantic,
        "language": _language,
        "fused": _fused,
        "answers": _answers,
    }[args.stage]
    train(args, config, overrides)
    return 0


def _shipped(stage: str) -> Path:
    return Path(str(resources.files("vega3d_ros.training"))) / "recipes" / f"{stage}.yaml"


def _prior(args: argparse.Namespace, config: Path, overrides: dict[str, Any]) -> None:
    from vega3d_ros.training.settings import load_settings  # noqa: PLC0415
    from vega3d_ros.training.train_prior import PriorTrainingConfig, train_prior  # noqa: PLC0415

    settings = load_settings(PriorTrainingConfig, config, {**overrides, "data": args.data})
    train_prior(settings, args.out, resume=not args.fresh)


def _semantic(args: argparse.Namespace, config: Path, overrides: dict[str, Any]) -> None:
    from vega3d_ros.training.settings import load_settings  # noqa: PLC0415
    from vega3d_ros.training.train_vision_tower import SemanticTraining, new_tower, train_semantic  # noqa: PLC0415

    settings = load_settings(SemanticTraining, config, {**overrides, "data": args.data})
    settings = _with_steps(settings, args.steps)
    train_semantic(new_tower(settings.seed), settings, args.out, resume=not args.fresh)


def _language(args: argparse.Namespace, config: Path, overrides: dict[str, Any]) -> None:
    from vega3d_ros.training.pipeline import build_language  # noqa: PLC0415
    from vega3d_ros.training.settings import load_settings  # noqa: PLC0415
    from vega3d_ros.training.train_language import LanguageTraining  # noqa: PLC0415

    settings = _with_steps(load_settings(LanguageTraining, config, overrides), args.steps)
    build_language(settings, data=args.data, out=args.out, resume=not args.fresh)


def _fused(args: argparse.Namespace, config: Path, overrides: dict[str, Any]) -> None:
    from vega3d_ros.training.pipeline import build_fused  # noqa: PLC0415
    from vega3d_ros.training.settings import load_settings  # noqa: PLC0415
    from vega3d_ros.training.train_fusion import FusedTraining  # noqa: PLC0415

    settings = _with_steps(load_settings(FusedTraining, config, overrides), args.steps)
    settings = replace(settings, lesson=replace(settings.lesson, blind=args.blind))
    folder = build_fused(
        settings,
        data=args.data,
        out=args.out,
        semantic=args.semantic,
        language=args.language,
        prior=args.prior,
        random_prior=args.random_prior,
        stored=args.tokens or args.out / "tokens",
        resume=not args.fresh,
    )
    Console().print(f"written to {folder}")


def _answers(args: argparse.Namespace, config: Path, overrides: dict[str, Any]) -> None:
    from vega3d_ros.training.pipeline import build_answers  # noqa: PLC0415
    from vega3d_ros.training.settings import load_settings  # noqa: PLC0415
    from vega3d_ros.training.train_fusion import FusedTraining  # noqa: PLC0415

    settings = _with_steps(load_settings(FusedTraining, config, overrides), args.steps)
    folder = build_answers(
        settings,
        data=args.data,
        out=args.out,
        model=args.model,
        random_prior=args.random_prior,
        stored=args.tokens or args.out / "tokens",
        resume=not args.fresh,
    )
    Console().print(f"written to {folder}")


def _with_steps(settings: Any, steps: int | None) -> Any:
    if steps is None:
        return settings
    return replace(settings, schedule=replace(settings.schedule, steps=steps))
