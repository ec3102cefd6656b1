"""``vega3d train``: the stages of a model."""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.console import remarks

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
_STAGES = {
    "prior": "train the autoencoder and the video prior on frames without labels",
    "semantic": "train the vision tower on names and boxes, frame by frame",
    "language": "train the language model on questions about true objects, without images",
    "fused": "train gate, projector, language model and grounding head on answers and boxes",
    "answers": "train the language model on answers from the objects that the model detects",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the command line of ``vega3d train``."""
    parser.description = DESCRIPTION
    parser.formatter_class = RawDescriptionHelpFormatter
    stages = parser.add_subparsers(dest="stage", required=True, metavar="STAGE")
    for name, about in _STAGES.items():
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
            for earlier in ("semantic", "language"):
                described = f"run of `train {earlier}`"
                stage.add_argument(f"--{earlier}", type=Path, required=True, help=described)
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
    {
        "prior": _prior,
        "semantic": _vision_tower,
        "language": _language,
        "fused": _fusion,
        "answers": _answers,
    }[args.stage](args)
    return 0


def _settings(kind: type[Any], args: argparse.Namespace, **overrides: Any) -> Any:
    from vega3d_ros.training.settings import load_settings  # noqa: PLC0415

    if args.device:
        overrides["device"] = args.device
    recipes = Path(str(resources.files("vega3d_ros.training"))) / "recipes"
    settings = load_settings(kind, args.config or recipes / f"{args.stage}.yaml", overrides)
    if args.steps is None:
        return settings
    # The prior has two stages, each with a schedule of its own.
    schedules = ("vae", "flow") if args.stage == "prior" else ("schedule",)
    shortened = {n: replace(getattr(settings, n), steps=args.steps) for n in schedules}
    return replace(settings, **shortened)


def _prior(args: argparse.Namespace) -> None:
    from vega3d_ros.training.train_prior import PriorTrainingConfig, train_prior  # noqa: PLC0415

    settings = _settings(PriorTrainingConfig, args, data=args.data)
    train_prior(settings, args.out, resume=not args.fresh)


def _vision_tower(args: argparse.Namespace) -> None:
    from vega3d_ros.training import train_vision_tower as stage  # noqa: PLC0415

    settings = _settings(stage.VisionTowerTraining, args, data=args.data)
    tower = stage.new_vision_tower(settings.seed)
    stage.train_vision_tower(tower, settings, args.out, resume=not args.fresh)


def _language(args: argparse.Namespace) -> None:
    from vega3d_ros.training.pipeline import run_language_stage  # noqa: PLC0415
    from vega3d_ros.training.train_language import LanguageTraining  # noqa: PLC0415

    settings = _settings(LanguageTraining, args)
    run_language_stage(settings, data=args.data, out=args.out, resume=not args.fresh)


def _fusion(args: argparse.Namespace) -> None:
    from vega3d_ros.training.pipeline import run_fusion_stage  # noqa: PLC0415
    from vega3d_ros.training.train_fusion import FusionTraining  # noqa: PLC0415

    settings = _settings(FusionTraining, args)
    settings = replace(settings, sampling=replace(settings.sampling, blind=args.blind))
    folder = run_fusion_stage(
        settings,
        vision_tower=args.semantic,
        language=args.language,
        prior=args.prior,
        **_shared(args),
    )
    remarks().print(f"written to {folder}")


def _answers(args: argparse.Namespace) -> None:
    from vega3d_ros.training.pipeline import run_answer_stage  # noqa: PLC0415
    from vega3d_ros.training.train_fusion import FusionTraining  # noqa: PLC0415

    settings = _settings(FusionTraining, args)
    folder = run_answer_stage(settings, model=args.model, **_shared(args))
    remarks().print(f"written to {folder}")


def _shared(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments that both stages with stored tokens take."""
    return {
        "data": args.data,
        "out": args.out,
        "random_prior": args.random_prior,
        "stored": args.tokens or args.out / "tokens",
        "resume": not args.fresh,
    }
